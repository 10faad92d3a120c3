//! The reducer (I2).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use core_events::{
    CallbackContext, Envelope, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    ExecutionState, ExecutionStatus, LogLevel, LogLine, NodeComplete, NodeError, NodeId, NodeOutput, NodeRef,
    NodeSkipped, NodeStart, NodeStatus, Timestamp, TokenUsage, facts,
};
use proptest::prelude::*;
use serde_json::json;

fn id() -> ExecutionId {
    ExecutionId::parse("exec_1").unwrap()
}

fn cx(step: u64) -> CallbackContext {
    let time = Timestamp::from_micros(1_000_000 * i64::try_from(step).unwrap());
    CallbackContext { execution: id(), parent: None, root: id(), step, time }
}

fn node(name: &str) -> NodeRef {
    NodeRef { id: NodeId::new(name), node_type: "code_job".into(), label: name.to_uppercase() }
}

fn start(name: &str, iteration: u32) -> NodeStart {
    NodeStart { node: node(name), iteration }
}

fn done(name: &str, iteration: u32, tokens: u64) -> NodeComplete {
    NodeComplete {
        node: node(name),
        iteration,
        status: NodeStatus::Completed,
        output: NodeOutput::new(json!({"n": iteration})),
        started_at: Timestamp::from_micros(1),
        token_usage: Some(TokenUsage { input: tokens, output: 1, cached: None, total: Some(tokens + 1) }),
    }
}

fn failed(name: &str, tolerated: bool) -> NodeError {
    NodeError {
        node: node(name),
        iteration: 1,
        error: "no".into(),
        tolerated,
        started_at: Timestamp::from_micros(1),
    }
}

fn run() -> Vec<Envelope> {
    let begin = ExecutionStart { diagram_id: Some("d".into()), diagram_name: Some("demo".into()) };
    let line = LogLine {
        node: Some("a".into()),
        level: LogLevel::Info,
        logger: "stdout".into(),
        message: "hello".into(),
        truncated: false,
    };
    let facts = [
        facts::execution_start(&cx(1), &begin),
        facts::node_start(&cx(2), &start("a", 1)),
        facts::log(&cx(3), &line),
        facts::node_complete(&cx(4), &done("a", 1, 10)),
        facts::node_start(&cx(5), &start("a", 2)),
        facts::node_complete(&cx(6), &done("a", 2, 20)),
        facts::node_start(&cx(7), &start("b", 1)),
        facts::node_error(&cx(8), &failed("b", false)),
        facts::node_start(&cx(9), &start("c", 1)),
        facts::node_error(&cx(10), &failed("c", true)),
        facts::node_skipped(&cx(11), &NodeSkipped { node: node("d") }),
        facts::execution_complete(&cx(12), &ExecutionComplete { failed_nodes: vec!["b".into()] }),
    ];
    (1..).zip(facts).map(|(seq, fact)| fact.into_envelope(seq)).collect()
}

#[test]
fn a_run_folds_to_its_state() {
    let state = ExecutionState::fold(id(), &run());
    assert_eq!(state.status, ExecutionStatus::Completed);
    assert_eq!((state.diagram_id.as_deref(), state.diagram_name.as_deref()), (Some("d"), Some("demo")));
    assert_eq!((state.started_at, state.ended_at), (Some(cx(1).time), Some(cx(12).time)));
    assert_eq!(state.failed_nodes.iter().map(NodeId::as_str).collect::<Vec<_>>(), ["b"]);
    assert_eq!(state.token_usage, TokenUsage { input: 30, output: 2, cached: None, total: Some(32) });
    assert_eq!((state.log_lines, state.last_seq), (1, Some(12)));
    let a = &state.nodes["a"];
    assert_eq!((a.status.clone(), a.iterations, a.log_lines), (NodeStatus::Completed, 2, 1));
    assert_eq!(a.output, Some(json!({"n": 2})));
    assert_eq!(state.nodes["b"].error.as_deref(), Some("no"));
    let counts: Vec<_> = state.counts().into_iter().collect();
    assert_eq!(counts, [("COMPLETED", 1), ("FAILED", 2), ("SKIPPED", 1)]);
}

#[test]
fn a_failure_keeps_its_error_and_its_reason() {
    let failure = ExecutionFailure {
        error: "too long".into(),
        reason: "timeout".into(),
        node: None,
        stopped: vec![start("a", 1)],
        failed_nodes: vec![],
    };
    let events: Vec<_> = (1..)
        .zip(
            [facts::node_start(&cx(1), &start("a", 1))]
                .into_iter()
                .chain(facts::execution_error(&cx(2), &failure)),
        )
        .map(|(seq, fact)| fact.into_envelope(seq))
        .collect();
    let state = ExecutionState::fold(id(), &events);
    assert_eq!(state.status, ExecutionStatus::Failed);
    assert_eq!((state.error.as_deref(), state.reason.as_deref()), (Some("too long"), Some("timeout")));
    assert_eq!(state.nodes["a"].status, NodeStatus::Aborted);
}

#[test]
fn a_node_that_runs_again_remembers_why_it_failed() {
    let facts = [
        facts::node_start(&cx(1), &start("a", 1)),
        facts::node_error(&cx(2), &failed("a", false)),
        facts::node_start(&cx(3), &start("a", 2)),
    ];
    let events: Vec<_> = (1..).zip(facts).map(|(seq, fact)| fact.into_envelope(seq)).collect();
    let state = ExecutionState::fold(id(), &events);
    let node = &state.nodes["a"];
    assert_eq!((node.error.as_deref(), node.last_error.as_deref()), (None, Some("no")));
    assert!(state.failed_nodes.contains("a"));
}

#[test]
fn nothing_follows_the_terminal_event() {
    let mut state = ExecutionState::fold(id(), &run());
    let late = facts::node_start(&cx(13), &start("z", 1)).into_envelope(13);
    assert!(!state.apply(&late));
    assert!(!state.nodes.contains_key("z"));
}

#[test]
fn events_of_another_execution_do_not_count() {
    let mut state = ExecutionState::new(ExecutionId::parse("other").unwrap());
    assert!(run().iter().all(|event| !state.apply(event)));
}

#[test]
fn the_state_round_trips_as_json() {
    let state = ExecutionState::fold(id(), &run());
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<ExecutionState>(&json).unwrap(), state);
}

proptest! {
    /// A reader that resumes a little early sees events twice; by `seq` they count once.
    #[test]
    fn repeated_events_count_once(cuts in prop::collection::vec(0_usize..12, 0..6)) {
        let events = run();
        let mut state = ExecutionState::new(id());
        for (at, event) in events.iter().enumerate() {
            state.apply(event);
            for back in cuts.iter().filter(|cut| **cut <= at) {
                state.apply(&events[*back]);
            }
        }
        prop_assert_eq!(state, ExecutionState::fold(id(), &events));
    }
}
