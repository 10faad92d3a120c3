//! Whatever text comes, and whatever graph is built: no panic, and every fault lies within the text (I15).

#![expect(clippy::indexing_slicing, reason = "helpers of tests may panic as tests may")]

use diagram::{
    CodeJobNode, ConditionNode, Diagnostic, EdgeDraft, EndpointNode, ExecutableDiagram, Handle, Language,
    NodeDraft, NodeIndex, NodeKind, StartNode, load_light,
};
use proptest::{prelude::*, sample::Index};

const VALID: [&str; 3] = [
    include_str!("probe/g02_condition_true.light.yaml"),
    include_str!("probe/g21_person_loop.light.yaml"),
    include_str!("broken/condition_fields.light.yaml"),
];

/// Pieces that YAML or the format gives a meaning.
const PIECES: [&str; 32] = [
    "\n",
    "  ",
    "\t",
    "- ",
    ": ",
    ",",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "'",
    "\"",
    "|\n",
    "#",
    "---\n",
    "\r",
    "\u{feff}",
    "é",
    "null",
    "0",
    "nodes:",
    "label",
    "type: ",
    "from: ",
    "_condtrue",
    "[condtrue]",
    "\\x",
    "? ",
];

fn check(text: &str) {
    let result = load_light(text, "f");
    let diagnostics: Vec<&Diagnostic> = match &result {
        Ok(diagram) => diagram.warnings().iter().collect(),
        Err(diagnostics) => {
            assert!(diagnostics.errors().count() > 0);
            diagnostics.iter().collect()
        }
    };
    let lines: Vec<&str> =
        text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect();
    for diagnostic in &diagnostics {
        let (line, column) = (diagnostic.location.line as usize, diagnostic.location.column as usize);
        let length = lines.get(line.wrapping_sub(1)).map(|line| line.chars().count());
        assert!(
            length.is_some_and(|length| (1..=length + 1).contains(&column)),
            "{diagnostic} lies outside of {text:?}"
        );
    }
    assert!(diagnostics.is_sorted_by_key(|diagnostic| diagnostic.location));
}

/// A text cut into the pieces of a valid file, some of them replaced, removed, repeated or followed by a piece.
fn mutated() -> impl Strategy<Value = String> {
    let changes = prop::collection::vec(
        (any::<Index>(), 0..4_u8, any::<Index>(), prop::sample::select(&PIECES[..])),
        1..8,
    );
    (prop::sample::select(&VALID[..]), changes).prop_map(|(valid, changes)| {
        let mut characters: Vec<char> = valid.chars().collect();
        for (at, change, other, piece) in changes {
            let at = at.index(characters.len());
            let end = (at + 1 + other.index(12)).min(characters.len());
            match change {
                0 => drop(characters.splice(at..at, piece.chars())),
                1 => drop(characters.splice(at..end, piece.chars())),
                2 => drop(characters.drain(at..end)),
                _ => {
                    let copy = characters[at..end].to_vec();
                    let to = other.index(characters.len());
                    characters.splice(to..to, copy);
                }
            }
            if characters.is_empty() {
                break;
            }
        }
        characters.into_iter().collect()
    })
}

fn kind() -> impl Strategy<Value = NodeKind> {
    prop_oneof![
        Just(NodeKind::Start(StartNode::default())),
        Just(NodeKind::Endpoint(EndpointNode::default())),
        Just(NodeKind::CodeJob(CodeJobNode::inline(Language::Bash, "true"))),
        Just(NodeKind::Condition(ConditionNode::custom("x"))),
    ]
}

fn handle() -> impl Strategy<Value = Handle> {
    prop::sample::select(vec![
        Handle::Default,
        Handle::CondTrue,
        Handle::CondFalse,
        Handle::First,
        Handle::Error,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        check(&pieces.concat());
    }

    #[test]
    fn a_changed_file(text in mutated()) {
        check(&text);
    }

    #[test]
    fn any_graph(
        kinds in prop::collection::vec(kind(), 0..12),
        edges in prop::collection::vec((0..14_usize, handle(), 0..14_usize), 0..30),
    ) {
        let mut builder = ExecutableDiagram::builder();
        for (i, kind) in kinds.iter().enumerate() {
            builder.node(NodeDraft::new(format!("n{}", i % 7), kind.clone()));
        }
        for (from, handle, to) in &edges {
            builder.edge(EdgeDraft::new(NodeIndex::new(*from), NodeIndex::new(*to)).leaving_by(*handle));
        }
        if let Ok(diagram) = builder.build() {
            prop_assert!(!diagram.entries().is_empty());
            for (i, edge) in diagram.edges().iter().enumerate() {
                let source = diagram.node(edge.source).unwrap();
                prop_assert!(!matches!(source.kind, NodeKind::Endpoint(_)));
                prop_assert!(diagram.outgoing(edge.source).iter().any(|other| other.index() == i));
                prop_assert!(diagram.incoming(edge.target).iter().any(|other| other.index() == i));
                let branch = matches!(edge.source_handle, Handle::CondTrue | Handle::CondFalse);
                prop_assert_eq!(branch, matches!(source.kind, NodeKind::Condition(_)));
            }
        }
    }
}
