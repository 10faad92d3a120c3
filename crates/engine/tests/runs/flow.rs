//! Who runs, who is skipped, and what they receive.

use serde_json::{Value, json};

use crate::support::{Graph, Seen, Setup, run, run_with};

#[tokio::test]
async fn a_branch_that_merges_runs_one_side_and_the_merge() {
    for (value, taken, skipped) in [(5, "Yes", "No"), (1, "No", "Yes")] {
        let mut graph = Graph::new();
        let start = graph.start("Start");
        let check = graph.condition("Check", "default.v > 3");
        let (yes, no) = (graph.condition("Yes", "True"), graph.condition("No", "True"));
        let (merge, other) = (graph.end("Merge"), graph.end("Other"));
        graph.edge(start, check);
        graph.yes(check, yes);
        graph.no(check, no);
        graph.yes(yes, merge);
        graph.yes(no, merge);
        graph.no(no, other);
        let ran = run_with(graph, Setup { variables: json!({"v": value}), ..Setup::default() }).await;
        assert_eq!(ran.started(), ["Start", "Check", taken, "Merge"]);
        assert!(ran.skipped().contains(&skipped));
        assert!(ran.skipped().contains(&"Other"));
        assert_eq!(ran.output("Merge"), json!({"v": value}));
        assert_eq!(ran.status(), "COMPLETED");
        // Skipped when it is decided, not at the end.
        let is_skip = |seen: &Seen| *seen == Seen::Skipped(skipped.to_owned());
        assert!(ran.position(is_skip) < ran.position(|seen| *seen == Seen::NodeStart(taken.to_owned(), 1)));
    }
}

#[tokio::test]
async fn a_loop_that_is_entered_from_a_node_that_is_no_start() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let init = graph.condition("Init", "True");
    let body = graph.condition("Body", "True");
    let check = graph.counting("Check", "i < 3", "i");
    let end = graph.end("End");
    graph.edge(start, init);
    graph.yes(init, body);
    graph.yes(body, check);
    graph.yes(check, body);
    graph.no(check, end);
    let ran = run(graph).await;
    let mut expected = vec!["Start", "Init"];
    expected.extend(["Body", "Check"].repeat(4));
    expected.push("End");
    assert_eq!(ran.started(), expected);
    assert!(ran.seen.contains(&Seen::NodeStart("Check".into(), 4)));
    assert!(ran.skipped().is_empty());
}

#[tokio::test]
async fn two_starts_both_begin_and_a_join_waits_for_both() {
    let mut graph = Graph::new();
    let (one, two) = (graph.start("One"), graph.start("Two"));
    let long = graph.condition("Long", "True");
    let join = graph.end("Join");
    graph.named(one, join, "a");
    graph.edge(two, long);
    graph.yes(long, join);
    let ran = run_with(graph, Setup { variables: json!({"x": 1}), ..Setup::default() }).await;
    assert_eq!(ran.started(), ["One", "Two", "Long", "Join"]);
    // Unwrapped once per delivery: the start's `default`, and the condition's.
    assert_eq!(ran.output("Join"), json!({"a": {"x": 1}, "default": {"x": 1}}));
}

#[tokio::test]
async fn what_no_start_reaches_is_skipped_before_anything_runs() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let end = graph.end("End");
    let (island, beach) = (graph.condition("Island", "True"), graph.end("Beach"));
    graph.edge(start, end);
    graph.yes(island, beach);
    let ran = run(graph).await;
    assert_eq!(ran.seen[1..3], [Seen::Skipped("Island".into()), Seen::Skipped("Beach".into())]);
    assert_eq!(ran.started(), ["Start", "End"]);
    assert_eq!(ran.status(), "COMPLETED");
}

#[tokio::test]
async fn without_a_start_node_everything_without_a_predecessor_begins() {
    let mut graph = Graph::new();
    let (a, b) = (graph.condition("A", "missing == None"), graph.condition("B", "True"));
    let end = graph.end("End");
    graph.yes(a, end);
    graph.yes(b, end);
    let ran = run(graph).await;
    assert_eq!(ran.started(), ["A", "B", "End"]);
}

#[tokio::test]
async fn a_dead_lock_is_told() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let (left, right) = (graph.condition("Left", "True"), graph.condition("Right", "True"));
    graph.edge(start, left);
    graph.edge(start, right);
    graph.yes(left, right);
    graph.yes(right, left);
    let ran = run(graph).await;
    assert_eq!(ran.status(), "FAILED");
    let Some(Seen::Failed(failure)) = ran.seen.last() else { panic!() };
    assert_eq!(failure.reason, "deadlock");
    assert_eq!(failure.error, "the run is stuck: `Left` waits for `Right`; `Right` waits for `Left`");
    assert_eq!(ran.skipped(), ["Left", "Right"]);
}

#[tokio::test]
async fn of_inputs_with_one_name_the_last_edge_wins() {
    let mut graph = Graph::new();
    let (a, b) = (graph.condition("A", "True"), graph.condition("B", "True"));
    let (first, second) = (graph.python("P", "result = 'p'"), graph.python("Q", "result = 'q'"));
    let end = graph.end("End");
    graph.yes(a, first);
    graph.yes(b, second);
    graph.named(second, end, "x");
    graph.named(first, end, "x");
    let ran = run(graph).await;
    assert_eq!(ran.output("End"), json!({"x": "p"}));
}

#[tokio::test]
async fn check_nodes_executed_looks_at_what_ran() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let gate = graph.condition("Gate", "False");
    let (never, end) = (graph.end("Never"), graph.end("End"));
    let both = graph.executed("Both", &[start, never]);
    let some = graph.executed("Some", &[start, gate]);
    graph.edge(start, gate);
    graph.yes(gate, never);
    graph.no(gate, both);
    graph.no(both, some);
    graph.yes(some, end);
    let ran = run(graph).await;
    assert_eq!(ran.started(), ["Start", "Gate", "Both", "Some", "End"]);
}

#[tokio::test]
async fn variables_are_globals_and_win_over_inputs() {
    let mut graph = Graph::new();
    let source = graph.python("Source", "result = {'x': 1}");
    let check = graph.condition("Check", "v.x == 1 and w == 'variable' and y == None");
    let end = graph.end("End");
    graph.named(source, check, "v");
    graph.named(source, check, "w");
    graph.yes(check, end);
    let ran = run_with(graph, Setup { variables: json!({"w": "variable"}), ..Setup::default() }).await;
    assert_eq!(ran.output("End"), json!({"v": {"x": 1}, "w": {"x": 1}}), "variables are no inputs");
}

#[tokio::test]
async fn nodes_run_at_the_same_time_up_to_the_limit() {
    // Each waits until all four are there: with less parallelism it would time out.
    let code = |i: i32| {
        format!(
            "import os, time\nopen(globals['dir'] + '/{i}', 'w').close()\nwhile len(os.listdir(globals['dir'])) < 4: time.sleep(0.01)\nresult = {i}"
        )
    };
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let end = graph.end("End");
    for i in 0..4 {
        let node = graph.python(&format!("P{i}"), &code(i));
        graph.edge(start, node);
        graph.named(node, end, &format!("p{i}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let variables = json!({"dir": dir.path().to_str().unwrap()});
    let ran = run_with(graph, Setup { variables, ..Setup::default() }).await;
    assert_eq!(ran.output("End"), json!({"p0": 0, "p1": 1, "p2": 2, "p3": 3}));

    let mut graph = Graph::new();
    let start = graph.start("Start");
    for i in 0..3 {
        let node = graph.bash(&format!("B{i}"), "true");
        graph.edge(start, node);
    }
    let options = engine::EngineOptions { max_parallel_nodes: 1, ..Default::default() };
    let ran = run_with(graph, Setup { options, ..Setup::default() }).await;
    let order: Vec<&str> = ran
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::NodeStart(label, _) | Seen::NodeComplete(label, _) => Some(&**label),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["Start", "Start", "B0", "B0", "B1", "B1", "B2", "B2"]);
}

#[tokio::test]
async fn an_endpoint_saves_what_it_receives() {
    let dir = tempfile::tempdir().unwrap();
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let kind = |file_name: Option<&str>| {
        let file_name = file_name.map(str::to_owned);
        diagram::NodeKind::Endpoint(diagram::EndpointNode { save_to_file: true, file_name })
    };
    let named = graph.add("Named", kind(Some("out/named.json")));
    let unnamed = graph.add("Unnamed", kind(None));
    let refused = graph.add("Refused", kind(Some("out/named.json/x")));
    graph.edge(start, named);
    graph.named(start, unnamed, "v");
    let wait = graph.bash("Wait", "until [ -f out/named.json ]; do sleep 0.01; done; echo done");
    graph.edge(start, wait);
    graph.edge(wait, refused);
    let variables = json!({"x": 1});
    let ran = run_with(graph, Setup { variables, base_dir: dir.path().into(), ..Setup::default() }).await;
    let read = |name: &str| {
        serde_json::from_str::<Value>(&std::fs::read_to_string(dir.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("out/named.json"), json!({"x": 1}));
    assert_eq!(read("output_node_2.json"), json!({"v": {"x": 1}}));
    let error = ran.error("Refused");
    assert!(
        error.starts_with(&format!("can't write {}", dir.path().join("out/named.json/x").display())),
        "{error}"
    );
}
