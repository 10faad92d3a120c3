//! What a node's failure means for its run.

use core_events::NodeId;
use diagram::{CodeJobNode, ConditionNode, Language, NodeKind, OnError};
use serde_json::json;

use crate::support::{Graph, Ran, Seen, Setup, run, run_with};

async fn failing(on_error: OnError) -> Ran {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let code = NodeKind::CodeJob(CodeJobNode::inline(Language::Python, "\nraise ValueError('boom')"));
    let boom = graph.with_on_error("Boom", on_error, code);
    let end = graph.end("End");
    graph.edge(start, boom);
    graph.edge(boom, end);
    run(graph).await
}

#[tokio::test]
async fn unset_hands_on_the_message_and_counts_the_failure() {
    let ran = failing(OnError::Unset).await;
    assert_eq!(ran.status(), "COMPLETED");
    assert_eq!(ran.output("End"), json!("ValueError: boom (line 2)"));
    assert!(ran.seen.contains(&Seen::NodeError("Boom".into(), "ValueError: boom (line 2)".into(), false)));
    assert_eq!(ran.outcome.failed_nodes, [NodeId::from("node_1")]);
}

#[tokio::test]
async fn continue_hands_on_the_message_and_does_not_count() {
    let ran = failing(OnError::Continue).await;
    assert_eq!(ran.status(), "COMPLETED");
    assert_eq!(ran.output("End"), json!("ValueError: boom (line 2)"));
    assert!(ran.seen.contains(&Seen::NodeError("Boom".into(), "ValueError: boom (line 2)".into(), true)));
    assert!(ran.outcome.failed_nodes.is_empty());
}

#[tokio::test]
async fn fail_fails_the_run_and_stops_the_others() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let code = NodeKind::CodeJob(CodeJobNode::inline(Language::Bash, "echo oops >&2; exit 3"));
    let boom = graph.with_on_error("Boom", OnError::Fail, code);
    let other = graph.bash("Other", "sleep 1000");
    let end = graph.end("End");
    graph.edge(start, other);
    graph.edge(start, boom);
    graph.edge(boom, end);
    let ran = run(graph).await;
    assert_eq!(ran.status(), "FAILED");
    let Some(Seen::Failed(failure)) = ran.seen.last() else { panic!() };
    assert_eq!(failure.reason, "node_failed");
    assert_eq!(failure.error, "`Boom` failed: bash exited with status 3: oops");
    assert_eq!(failure.node, Some(NodeId::from("node_1")));
    assert_eq!(failure.failed_nodes, [NodeId::from("node_1")]);
    let stopped: Vec<_> = failure.stopped.iter().map(|start| (&*start.node.label, start.iteration)).collect();
    assert_eq!(stopped, [("Other", 1)]);
    assert_eq!(ran.skipped(), ["End"]);
}

#[tokio::test]
async fn a_condition_that_fails_hands_its_message_on_by_the_false_branch() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let check = graph.condition("Check", "x.y > 3");
    let (yes, no) = (graph.end("Yes"), graph.end("No"));
    graph.edge(start, check);
    graph.yes(check, yes);
    graph.no(check, no);
    let ran = run(graph).await;
    let message = "the expression failed at 1:1: `>` can't compare None with int";
    assert_eq!(ran.error("Check"), message);
    assert_eq!(ran.output("No"), json!(message));
    assert_eq!(ran.skipped(), ["Yes"]);
    assert_eq!(ran.outcome.failed_nodes, [NodeId::from("node_1")]);

    let mut graph = Graph::new();
    let condition = NodeKind::Condition(ConditionNode::custom("x["));
    let check = graph.with_on_error("Check", OnError::Fail, condition);
    let end = graph.end("End");
    graph.no(check, end);
    let ran = run(graph).await;
    assert_eq!(ran.status(), "FAILED");
    assert!(ran.error("Check").starts_with("the expression failed at 1:2: subscripts like `a[0]`"));
}

#[tokio::test]
async fn a_node_that_fails_in_every_round_is_named_once() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let body = graph.python("Body", "raise KeyError('k')");
    let check = graph.counting("Check", "i < 2", "i");
    graph.edge(start, body);
    graph.edge(body, check);
    graph.yes(check, body);
    let ran = run(graph).await;
    assert_eq!(ran.started().iter().filter(|label| **label == "Body").count(), 3);
    assert_eq!(ran.outcome.failed_nodes, [NodeId::from("node_1")]);
}

#[tokio::test]
async fn values_that_are_too_deep_or_too_large_fail_their_node() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    for (label, code) in [
        ("Deep", "result = 1\nfor _ in range(101): result = [result]"),
        ("Deeper", "result = 1\nfor _ in range(500): result = [result]"),
        ("Deepest", "result = 1\nfor _ in range(100000): result = [result]"),
        ("Large", "result = 'x' * (8 * 1024 * 1024)"),
        ("Fits", "result = 'x' * (8 * 1024 * 1024 - 2)"),
        ("Level", "result = 1\nfor _ in range(100): result = [result]"),
    ] {
        let node = graph.python(label, code);
        graph.edge(start, node);
    }
    let large = graph.bash("Large bash", "head -c 9000000 /dev/zero | tr '\\0' x; sleep 1000");
    graph.edge(start, large);
    let ran = run(graph).await;
    let deep = "the output is nested more than 100 levels deep";
    let long = "the output is larger than 8388608 bytes of JSON; write it to a file and hand on the path";
    assert_eq!(ran.error("Deep"), deep);
    assert_eq!(ran.error("Deeper"), deep);
    assert!(ran.error("Deepest").contains("RecursionError"), "{}", ran.error("Deepest"));
    assert_eq!(ran.error("Large"), long);
    assert_eq!(ran.error("Large bash"), long);
    assert_eq!(ran.output("Fits").as_str().map(str::len), Some(8 * 1024 * 1024 - 2));
    assert!(ran.output("Level").is_array());
}

#[tokio::test]
async fn too_many_waiting_values_fail_the_run() {
    // The loop feeds a join that can't run while the loop lives.
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let turn = graph.condition("Loop", "True");
    let join = graph.end("Join");
    let exit = graph.condition("Exit", "True");
    graph.edge(start, turn);
    graph.yes(turn, turn);
    graph.yes(turn, join);
    graph.no(turn, exit);
    graph.yes(exit, join);
    let ran = run_with(graph, Setup::default()).await;
    let Some(Seen::Failed(failure)) = ran.seen.last() else { panic!() };
    assert_eq!(failure.reason, "edge_overflow");
    assert_eq!(
        failure.error,
        "too many values wait on `arrow_2` from `Loop` to `Join`, which has not taken them"
    );
    let turns = ran.started().iter().filter(|label| **label == "Loop").count();
    assert_eq!(turns, 1_001);
}
