//! What the light format means, once it is accepted.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::time::Duration;

use diagram::{
    CodeJobNode, CodeSource, ConditionKind, ConditionNode, ContentType, DEFAULT_TIMEOUT, Edge,
    ExecutableDiagram, Handle, Language, Location, Node, NodeIndex, NodeKind, OnError, TriggerMode,
    load_light,
};
use serde_json::json;

fn load(text: &str) -> ExecutableDiagram {
    load_light(text, "test.light.yaml").unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

fn node<'a>(diagram: &'a ExecutableDiagram, label: &str) -> &'a Node {
    diagram.nodes().iter().find(|node| node.label == label).unwrap()
}

fn code(node: &Node) -> &CodeJobNode {
    let NodeKind::CodeJob(code) = &node.kind else { panic!("{node:?}") };
    code
}

fn condition(node: &Node) -> &ConditionNode {
    let NodeKind::Condition(condition) = &node.kind else { panic!("{node:?}") };
    condition
}

fn ends(diagram: &ExecutableDiagram) -> Vec<(usize, Handle, usize, Handle)> {
    let end =
        |edge: &Edge| (edge.source.index(), edge.source_handle, edge.target.index(), edge.target_handle);
    diagram.edges().iter().map(end).collect()
}

/// One code_job with these properties, behind a start node.
fn job(properties: &str) -> CodeJobNode {
    let text = format!(
        "nodes:\n- {{label: S, type: start}}\n- {{label: J, type: code_job, {properties}}}\nconnections: [{{from: S, to: J}}]"
    );
    code(node(&load(&text), "J")).clone()
}

#[test]
fn short_form_wins_over_props_and_null_counts_as_absent() {
    let diagram = load(
        "
nodes:
- label: S
  type: START
  trigger_mode: manual
  custom_data: {a: 1}
  props: {trigger_mode: none, custom_data: null}
- {label: J, type: Code_Job, timeout: null, props: {code: x, timeout: 5, functionName: null}}
connections: [{from: S, to: J}]
",
    );
    let NodeKind::Start(start) = &node(&diagram, "S").kind else { panic!() };
    assert_eq!(start.trigger_mode, TriggerMode::Manual);
    assert_eq!(json!(start.custom_data), json!({"a": 1}));
    let job = code(node(&diagram, "J"));
    assert_eq!((job.timeout, job.function.as_str(), job.function_given), (DEFAULT_TIMEOUT, "main", false));
    assert_eq!(node(&diagram, "J").node_type.as_str(), "code_job");
}

#[test]
fn ids_are_positions_and_labels_may_be_missing() {
    let diagram = load(
        "nodes: [{type: start, id: begin}, {type: endpoint}]\nconnections: [{from: node_0, to: node_1}]",
    );
    let names: Vec<_> = diagram.nodes().iter().map(|node| (node.id.as_str(), node.label.as_str())).collect();
    assert_eq!(names, [("node_0", "node_0"), ("node_1", "node_1")]);
    assert_eq!(diagram.nodes()[1].location, Location { line: 1, column: 35 });
}

#[test]
fn code_jobs_know_their_old_names() {
    let inline = job("code: result = 1");
    assert_eq!(inline.source, CodeSource::Inline("result = 1".to_owned()));
    assert_eq!((inline.language, inline.timeout), (Language::Python, DEFAULT_TIMEOUT));
    assert_eq!(job("code: x, code_type: Shell").language, Language::Bash);
    assert_eq!(job("code: x, code_type: cobol, language: bash").language, Language::Bash);
    for name in ["filePath", "file_path"] {
        assert_eq!(job(&format!("{name}: a.py")).source, CodeSource::File { path: "a.py".to_owned() });
    }
    for name in ["functionName", "function_name"] {
        let named = job(&format!("filePath: a.py, {name}: go"));
        assert_eq!((named.function.as_str(), named.function_given), ("go", true));
    }
    assert_eq!(job("code: x, file_path: ''").source, CodeSource::Inline("x".to_owned()));
}

#[test]
fn times_are_seconds_however_they_are_written() {
    for (written, expected) in [
        ("30", Duration::from_secs(30)),
        ("'7'", Duration::from_secs(7)),
        ("0.25", Duration::from_millis(250)),
        ("0", DEFAULT_TIMEOUT),
        ("~", DEFAULT_TIMEOUT),
        ("1:30", Duration::from_secs(90)),
    ] {
        assert_eq!(job(&format!("code: x, timeout: {written}")).timeout, expected, "{written}");
    }
}

#[test]
fn handles_are_named_in_brackets_or_after_an_underscore() {
    let diagram = load(
        "
nodes:
- {label: Start, type: start}
- {label: My Check, type: condition, expression: x}
- {label: My_Check_2, type: condition, expression: x}
- {label: Work~1, type: code_job, code: x}
- {label: 'Odd[label]', type: code_job, code: x}
- {label: Yes, type: endpoint}
connections:
- {from: Start, to: 'My Check[default]'}
- {from: Start_default, to: My_Check_2}
- {from: 'My Check[ condtrue ]', to: Work~1}
- {from: My_Check_condfalse, to: 'Odd[label]'}
- {from: My Check_condfalse, to: Yes}
- {from: My_Check_2_condtrue, to: Yes_default}
- {from: My_Check_2, to: Yes, data: {branch: 'false', id: last}}
- {from: Work~1, to: Yes__first}
",
    );
    use Handle::{CondFalse, CondTrue, Default, First};
    assert_eq!(
        ends(&diagram),
        [
            (0, Default, 1, Default),
            (0, Default, 2, Default),
            (1, CondTrue, 3, Default),
            (1, CondFalse, 4, Default),
            (1, CondFalse, 5, Default),
            (2, CondTrue, 5, Default),
            (2, CondFalse, 5, Default),
            (3, Default, 5, First),
        ]
    );
    assert_eq!(diagram.edges()[6].id, "last");
    assert_eq!(diagram.edges()[7].input_name(), "first");
    let [warning] = diagram.warnings() else { panic!("{:?}", diagram.warnings()) };
    assert_eq!(warning.message, "`Yes` (endpoint) has no input `first`");
}

#[test]
fn edges_carry_names_and_content_types() {
    let diagram = load(
        "
nodes:
- {label: S, type: start}
- {label: C, type: condition, expression: x}
- {label: E, type: endpoint}
connections:
- {from: S, to: C, content_type: object, type: raw_text, label: x}
- {from: C_condtrue, to: E}
- {from: C_condfalse, to: E, type: variable, label: ''}
- {from: S, to: E}
",
    );
    let carried: Vec<_> = diagram.edges().iter().map(|edge| (edge.content_type, edge.input_name())).collect();
    assert_eq!(
        carried,
        [
            (ContentType::Object, "x"),
            (ContentType::Object, "default"),
            (ContentType::Variable, "default"),
            (ContentType::RawText, "default"),
        ]
    );
    let indices = |edges: &[diagram::EdgeIndex]| edges.iter().map(|edge| edge.index()).collect::<Vec<_>>();
    assert_eq!(indices(diagram.outgoing(NodeIndex::new(0))), [0, 3]);
    assert_eq!(indices(diagram.incoming(NodeIndex::new(2))), [1, 2, 3]);
    assert_eq!(indices(diagram.incoming(NodeIndex::new(9))), [0; 0]);
}

#[test]
fn conditions_watch_nodes_by_label_id_or_position() {
    let diagram = load(
        "
nodes:
- {label: S, type: start}
- {label: A, type: code_job, code: x}
- label: C
  type: condition
  condition_type: check_nodes_executed
  node_indices: [A, node_0, 1, '2']
  skippable: 'true'
  expose_index_as: i
connections: [{from: S, to: A}, {from: A, to: C}]
",
    );
    let condition = condition(node(&diagram, "C"));
    let ConditionKind::CheckNodesExecuted { nodes } = &condition.kind else { panic!("{condition:?}") };
    assert_eq!(nodes.iter().map(|node| node.index()).collect::<Vec<_>>(), [1, 0, 1, 2]);
    assert!(condition.skippable);
    assert_eq!(condition.expose_index_as.as_deref(), Some("i"));
}

#[test]
fn expressions_know_their_place() {
    let diagram = load("nodes:\n- label: C\n  type: condition\n  props:\n    expression: a > 3\n");
    let ConditionKind::Custom { expression, location } = &condition(&diagram.nodes()[0]).kind else {
        panic!()
    };
    assert_eq!((expression.as_str(), *location), ("a > 3", Location { line: 5, column: 17 }));
}

#[test]
fn every_node_says_what_its_errors_mean() {
    let diagram = load(
        "nodes: [{label: S, type: start}, {label: A, type: endpoint, on_error: Fail}, {label: B, type: endpoint, props: {on_error: continue}}]",
    );
    let on_error: Vec<_> = diagram.nodes().iter().map(|node| node.on_error).collect();
    assert_eq!(on_error, [OnError::Unset, OnError::Fail, OnError::Continue]);
}

#[test]
fn values_are_pyyaml_s() {
    let diagram = load(
        "
base: &base {n: 1, m: 2}
nodes:
- label: S
  type: start
  trigger_mode: manual
  custom_data:
    <<: *base
    m: 012
    on: yes
    text: 1e3
    day: 2026-01-02
    again: *base
    quoted: 'no'
    __typename: gone
    list: [~, 1.5, {__x: 1, y: !!str 5}]
- {label: E, type: endpoint, save_to_file: 'yes', file_path: 2024}
connections: [{from: S, to: E}]
",
    );
    let NodeKind::Start(start) = &node(&diagram, "S").kind else { panic!() };
    assert_eq!(
        json!(start.custom_data),
        json!({
            "m": 10, "on": true, "text": "1e3", "day": "2026-01-02", "again": {"n": 1, "m": 2}, "quoted": "no",
            "list": [null, 1.5, {"y": "5"}], "n": 1,
        })
    );
    let NodeKind::Endpoint(endpoint) = &node(&diagram, "E").kind else { panic!() };
    assert_eq!((endpoint.save_to_file, endpoint.file_name.as_deref()), (true, Some("2024")));
}

#[test]
fn dotted_keys_make_maps() {
    let diagram = load(
        "nodes: [{label: S, type: start, trigger_mode: manual, custom_data: {a: 1}, custom_data.b.c: 2, custom_data.a: 3}]",
    );
    let NodeKind::Start(start) = &node(&diagram, "S").kind else { panic!() };
    assert_eq!(json!(start.custom_data), json!({"a": 3, "b": {"c": 2}}));
}

#[test]
fn a_run_begins_at_start_nodes_or_else_where_nothing_ends() {
    let entries = |text: &str| load(text).entries().iter().map(|entry| entry.index()).collect::<Vec<_>>();
    let job = |label: &str| format!("{{label: {label}, type: code_job, code: x}}");
    let (a, b) = (job("A"), job("B"));
    assert_eq!(
        entries(&format!("nodes: [{a}, {{label: S, type: start}}, {{label: T, type: start}}]")),
        [1, 2]
    );
    assert_eq!(entries(&format!("nodes: [{a}, {b}]\nconnections: [{{from: B, to: A}}]")), [1]);
}

#[test]
fn faults_never_quote_megabytes() {
    let text = format!("nodes: [{{label: A, type: {}é}}]", "x".repeat(3_000_000));
    let told = load_light(&text, "test.light.yaml").unwrap_err().to_string();
    assert!(told.len() < 3_000, "{} bytes", told.len());
    assert!(told.starts_with("test.light.yaml:1:") && told.contains(" … "), "{told}");
}

#[test]
fn a_file_may_say_who_it_is() {
    let nodes = "nodes: [{type: start}]";
    let named = load(&format!("{nodes}\nname: outer\nmetadata: {{id: abc, name: inner}}"));
    assert_eq!((named.id(), named.name()), (Some("abc"), Some("inner")));
    assert_eq!(load(&format!("{nodes}\nname: outer")).name(), Some("outer"));
}

#[test]
fn a_byte_order_mark_and_windows_lines_are_read() {
    let diagram = load(
        "\u{feff}version: light\r\nnodes:\r\n- label: S\r\n  type: start\r\n- {label: E, type: endpoint}\r\nconnections:\r\n- {from: S, to: E}\r\n",
    );
    assert_eq!(diagram.nodes()[1].location, Location { line: 5, column: 3 });
}

#[test]
fn sizes_are_bounded() {
    let refused = |text: &str| load_light(text, "big.light.yaml").unwrap_err();
    let long = format!("nodes: [{{type: start, label: {}}}]", "x".repeat(diagram::MAX_TEXT_BYTES));
    assert!(refused(&long).to_string().contains("at most 8388608 are read"));
    let label = format!("nodes: [{{type: start, label: {}}}]", "x".repeat(500));
    assert!(refused(&label).to_string().contains("at most 400 are allowed"));
    let many = format!("nodes:\n{}", "- {type: strat}\n".repeat(5_000));
    let diagnostics = refused(&many);
    assert_eq!((diagnostics.iter().count(), diagnostics.dropped()), (100, 4_900));
    assert!(diagnostics.to_string().ends_with("\nand 4900 more"));
}
#[test]
fn a_diagram_without_a_name_is_called_like_its_file() {
    let named = |text: &str, file: &str| load_light(text, file).unwrap().name().map(str::to_owned);
    let text = "nodes: [{label: A, type: start}]";
    assert_eq!(named(text, "reports/weekly.light.yaml").as_deref(), Some("weekly"));
    assert_eq!(named(text, "a.b.yml").as_deref(), Some("a.b"));
    assert_eq!(named(text, "<stdin>"), None);
    let text = "metadata: {name: Own}\nnodes: [{label: A, type: start}]";
    assert_eq!(named(text, "weekly.light.yaml").as_deref(), Some("Own"));
}
