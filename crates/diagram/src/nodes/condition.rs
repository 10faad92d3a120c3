//! `condition`: chooses between two branches.

use super::Fields;
use crate::{
    diagnostic::{Diagnostic, Location},
    graph::NodeIndex,
    model::Names,
    yaml::{Data, Value},
};

/// Configuration of a condition.
#[derive(Debug, Clone)]
pub struct ConditionNode {
    /// What decides.
    pub kind: ConditionKind,
    /// The variable that receives how often this node ran before, if any.
    pub expose_index_as: Option<String>,
    /// Whether a node behind it that has other sources may run without it.
    pub skippable: bool,
}

/// What decides.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConditionKind {
    /// An expression over the inputs.
    Custom {
        /// Its text.
        expression: String,
        /// Where the file has it.
        location: Location,
    },
    /// Whether all of these nodes have run.
    CheckNodesExecuted {
        /// At least one.
        nodes: Vec<NodeIndex>,
    },
}

const KINDS: [&str; 4] = ["custom", "check_nodes_executed", "detect_max_iterations", "llm_decision"];

// === impl ConditionNode ===

impl ConditionNode {
    /// A condition that `expression` decides.
    pub fn custom(expression: impl Into<String>) -> Self {
        Self::new(ConditionKind::Custom { expression: expression.into(), location: Location::NOWHERE })
    }

    const fn new(kind: ConditionKind) -> Self {
        Self { kind, expose_index_as: None, skippable: false }
    }
}

pub(super) fn read(fields: &mut Fields<'_>, names: &Names<'_>) -> ConditionNode {
    let kind = match fields.word("condition_type") {
        None => custom(fields),
        Some(word) => match word.value.as_str() {
            "custom" => custom(fields),
            "check_nodes_executed" => check_nodes_executed(fields, names),
            other => {
                let label = fields.label();
                let diagnostic = if KINDS.contains(&other) {
                    Diagnostic::error(
                        word.at,
                        format!("`{label}`: condition type `{other}` is not supported yet"),
                    )
                    .help("use `custom` or `check_nodes_executed`")
                } else {
                    let help = match fields.report().nearest(other, KINDS) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "write `custom` or `check_nodes_executed`".to_owned(),
                    };
                    Diagnostic::error(word.at, format!("`{label}` has an unknown condition type `{other}`"))
                        .help(help)
                };
                fields.report().push(diagnostic);
                ConditionKind::CheckNodesExecuted { nodes: Vec::new() }
            }
        },
    };
    // Editors keep what belongs to the other kinds of condition.
    fields.accept(&[
        "expression",
        "node_indices",
        "person",
        "judge_by",
        "judge_by_file",
        "memorize_to",
        "at_most",
    ]);
    ConditionNode {
        expose_index_as: fields
            .text("expose_index_as")
            .map(|name| name.value)
            .filter(|name| !name.is_empty()),
        skippable: fields.boolean("skippable").unwrap_or_default(),
        ..ConditionNode::new(kind)
    }
}

fn custom(fields: &mut Fields<'_>) -> ConditionKind {
    let given = fields.value("expression");
    let expression = fields.text("expression");
    match expression {
        Some(text) if !text.value.trim().is_empty() => {
            ConditionKind::Custom { expression: text.value, location: text.at }
        }
        _ => {
            // An `expression` of the wrong type has been reported.
            if given.is_none_or(|value| value.text().is_some()) {
                let at = given.map_or(fields.location(), |value| value.at);
                let label = fields.label();
                fields.report().push(
                    Diagnostic::error(at, format!("the condition `{label}` has no expression"))
                        .help("give it one over its inputs, for instance `expression: count > 3`"),
                );
            }
            ConditionKind::Custom { expression: String::new(), location: fields.location() }
        }
    }
}

fn check_nodes_executed(fields: &mut Fields<'_>, names: &Names<'_>) -> ConditionKind {
    let label = fields.label();
    let wanted: Vec<&Value> = match fields.value("node_indices") {
        None => Vec::new(),
        Some(Value { data: Data::List(values), .. }) => values.iter().collect(),
        Some(value) => vec![value],
    };
    if wanted.is_empty() {
        let at = fields.location();
        fields.report().push(
            Diagnostic::error(at, format!("the condition `{label}` watches no nodes"))
                .help("list labels under `node_indices:`"),
        );
    }
    let found = wanted.into_iter().filter_map(|value| match value.text() {
        Some(name) => names.watched(name, value.at, fields.report()),
        None => {
            fields.report().push(Diagnostic::error(
                value.at,
                format!(
                    "`node_indices` of `{label}` should be labels, ids or positions, not {}",
                    value.describe()
                ),
            ));
            None
        }
    });
    ConditionKind::CheckNodesExecuted { nodes: found.collect() }
}
