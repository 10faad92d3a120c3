//! Freezes the JSON of every event type and control frame, and proves that it round-trips.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use core_events::{
    CallbackContext, ControlFrame, EndReason, Envelope, Epoch, Event, EventType, ExecutionAborted,
    ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart, ExecutionStatus, Fact, Gap, GapReason,
    LogLevel, LogLine, NodeComplete, NodeError, NodeId, NodeOutput, NodeProgress, NodeRef, NodeSkipped,
    NodeStart, NodeStatus, Prompt, PromptResponse, StatusChange, Timestamp, TokenUsage, event::Extra, facts,
    limits,
};
use serde_json::json;

fn time() -> Timestamp {
    "2026-11-23T09:00:00.123456Z".parse().unwrap()
}

fn cx() -> CallbackContext {
    let id = ExecutionId::parse("exec_0192").unwrap();
    CallbackContext { execution: id.clone(), parent: None, root: id, step: 3, time: time() }
}

fn child() -> CallbackContext {
    let root = ExecutionId::parse("exec_0192").unwrap();
    let execution = ExecutionId::parse("exec_child").unwrap();
    CallbackContext { execution, parent: Some(root.clone()), root, step: 9, time: time() }
}

fn node() -> NodeRef {
    NodeRef { id: NodeId::new("node_1"), node_type: "code_job".into(), label: "Make".into() }
}

fn complete(value: serde_json::Value) -> NodeComplete {
    NodeComplete {
        node: node(),
        iteration: 1,
        status: NodeStatus::Completed,
        output: NodeOutput::new(value),
        started_at: "2026-11-23T09:00:00Z".parse().unwrap(),
        token_usage: None,
    }
}

fn every_event() -> Vec<(&'static str, Fact)> {
    let cx = cx();
    let stopped = vec![NodeStart { node: node(), iteration: 2 }];
    let failed = vec![NodeId::new("node_7")];
    let start = ExecutionStart { diagram_id: None, diagram_name: Some("report".into()) };
    let usage = TokenUsage { input: 10, output: 5, cached: None, total: Some(15) };
    let mut with_tokens = complete(json!("said"));
    with_tokens.status = NodeStatus::MaxIterReached;
    with_tokens.token_usage = Some(usage);
    let error = |tolerated| NodeError {
        node: node(),
        iteration: 1,
        error: "ValueError: boom".into(),
        tolerated,
        started_at: time(),
    };
    let line = |truncated| LogLine {
        node: Some(NodeId::new("node_1")),
        level: if truncated { LogLevel::Warning } else { LogLevel::Info },
        logger: "stdout".into(),
        message: "fünf \"lines\"\tof text".into(),
        truncated,
    };
    let failure = ExecutionFailure {
        error: "the run passed its limit of 5 s".into(),
        reason: "timeout".into(),
        node: None,
        stopped: stopped.clone(),
        failed_nodes: failed.clone(),
    };
    let aborted = ExecutionAborted { reason: "interrupted".into(), stopped, failed_nodes: vec![] };
    let prompt =
        Prompt { node: node(), prompt: "Your name?".into(), timeout: Some(60.0), default_value: None };
    let mut list = vec![
        ("execution_start", facts::execution_start(&cx, &start)),
        ("execution_start_of_a_sub_run", facts::execution_start(&child(), &start)),
        ("node_start", facts::node_start(&cx, &NodeStart { node: node(), iteration: 1 })),
        ("node_complete", facts::node_complete(&cx, &complete(json!({"b": 1, "a": [null, "é"]})))),
        ("node_complete_with_tokens", facts::node_complete(&cx, &with_tokens)),
        ("node_error", facts::node_error(&cx, &error(false))),
        ("node_error_tolerated", facts::node_error(&cx, &error(true))),
        ("node_skipped", facts::node_skipped(&cx, &NodeSkipped { node: node() })),
        ("status_changed", {
            let change = StatusChange { status: ExecutionStatus::Paused, reason: Some("by hand".into()) };
            facts::status_changed(&cx, &change)
        }),
        ("execution_complete", facts::execution_complete(&cx, &ExecutionComplete { failed_nodes: failed })),
        ("interactive_prompt", facts::interactive_prompt(&cx, &prompt)),
        ("interactive_response", {
            facts::interactive_response(&cx, &PromptResponse { node: node(), response: "Ada".into() })
        }),
        ("log", facts::log(&cx, &line(false))),
        ("log_truncated", facts::log(&cx, &line(true))),
    ];
    list.extend(facts::execution_error(&cx, &failure).into_iter().map(|fact| ("execution_error", fact)));
    list.extend(facts::execution_aborted(&cx, &aborted).into_iter().map(|fact| ("execution_aborted", fact)));
    list
}

#[test]
fn every_event_type_has_its_frozen_json() {
    let mut golden = String::new();
    for (seq, (name, fact)) in (1..).zip(every_event()) {
        let (envelope, record) = fact.seal(seq, 100 + seq).unwrap();
        golden += &format!("{name}\n{}\n", String::from_utf8_lossy(&record.json));
        assert_eq!(Envelope::decode(&record.json).unwrap(), envelope, "{name}");
    }
    let progress = NodeProgress {
        node_id: "node_1".into(),
        text: "Once".into(),
        position: 0,
        timestamp: Some(time()),
        extra: Extra::new(),
    };
    let progress = Envelope {
        event: Event::NodeProgress(progress),
        execution_id: cx().execution,
        timestamp: Some(time()),
        seq: None,
        parent_execution_id: None,
        root_execution_id: None,
        extra: Extra::new(),
    };
    golden += &format!("progress\n{}\n", String::from_utf8_lossy(&progress.encode()));
    insta::assert_snapshot!("events", golden);
}

#[test]
fn every_type_is_frozen() {
    let seen: Vec<_> = every_event().iter().map(|(_, fact)| fact.event.event_type()).collect();
    for known in EventType::KNOWN {
        assert!(known == EventType::NodeProgress || seen.contains(&known), "{known} has no golden event");
    }
}

#[test]
fn control_frames_have_their_frozen_json() {
    let epoch = Epoch::parse("0a1b2c3d4e5f").unwrap();
    let gap =
        |reason, reset| ControlFrame::StreamGap(Gap { from: epoch.at(3), to: epoch.at(90), reason, reset });
    let id = cx().execution;
    let frames = [
        ControlFrame::ConnectionEstablished,
        ControlFrame::Heartbeat,
        gap(GapReason::Evicted, false),
        gap(GapReason::ForeignEpoch, true),
        gap(GapReason::FutureCursor, true),
        ControlFrame::StreamEnd(EndReason::Completed),
        ControlFrame::StreamEnd(EndReason::Shutdown),
        ControlFrame::StreamEnd(EndReason::Moved),
        ControlFrame::StreamEnd(EndReason::Slow),
        ControlFrame::StreamEnd(EndReason::Deleted),
        ControlFrame::StreamEnd(EndReason::Error),
    ];
    let mut golden: Vec<_> = frames.iter().map(|frame| frame.encode(Some(&id), time())).collect();
    golden.push(ControlFrame::ConnectionEstablished.encode(None, time()));
    insta::assert_snapshot!("control_frames", golden.join("\n"));
}

#[test]
fn a_large_output_leaves_a_preview_and_a_reference() {
    let text = "é".repeat(limits::MAX_INLINE_OUTPUT_BYTES);
    let (envelope, record) = facts::node_complete(&cx(), &complete(json!(text))).seal(7, 20).unwrap();
    let Event::NodeStatusChanged(event) = envelope.event else { panic!("wrong event") };
    assert_eq!(event.output, None);
    assert_eq!(event.output_ref.as_deref(), Some("/api/v1/executions/exec_0192/outputs/7"));
    assert_eq!(event.output_preview.unwrap().len(), limits::OUTPUT_PREVIEW_BYTES);
    assert_eq!(record.attachment.unwrap().len(), text.len() + 2);
    assert!(record.json.len() < limits::MAX_EVENT_BYTES);
}

#[test]
fn the_largest_texts_still_fit_into_an_event() {
    // A control character takes six bytes as JSON: the worst that a text can become.
    let worst = "\u{1}".repeat(limits::MAX_TEXT_BYTES * 2);
    let mut error =
        NodeError { node: node(), iteration: 1, error: worst.clone(), tolerated: true, started_at: time() };
    error.node.label = worst.clone();
    assert!(facts::node_error(&cx(), &error).seal(1, 1).is_ok());
    let many = (0..100_000).map(|n| NodeId::new(format!("node_{n}"))).collect();
    let (envelope, _) =
        facts::execution_complete(&cx(), &ExecutionComplete { failed_nodes: many }).seal(1, 1).unwrap();
    let Event::ExecutionStatusChanged(event) = envelope.event else { panic!("wrong event") };
    assert_eq!(event.failed_nodes.unwrap().len(), limits::MAX_FAILED_NODES);
    assert_eq!(event.extra["failed_nodes_total"], 100_000);
    let line = LogLine {
        node: None,
        level: LogLevel::Info,
        logger: "stdout".into(),
        message: worst,
        truncated: false,
    };
    assert!(facts::log(&cx(), &line).seal(1, 1).is_ok());
}
