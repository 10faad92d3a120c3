//! The original's recorded traces, told again by our observers: the same messages with the same keys in the same order
//! and the same values, but for the differences that are meant.

use std::collections::BTreeSet;

use core_events::{
    CallbackContext, ExecutionComplete, ExecutionFailure, ExecutionStart, LogLevel, LogLine, NodeComplete,
    NodeError, NodeId, NodeOutput, NodeRef, NodeStart, NodeStatus, NodeType, Timestamp,
    ports::{ExecutionObserver, Start},
};
use observer_legacy::MonitoringStreamObserver;
use serde_json::{Map, Value, json};

use crate::{
    calls::id,
    publishing::Web,
    reader::{open, to_the_end},
};

/// What differs from the original, each with its reason.
const INTENDED: &[(&str, &str)] = &[
    ("diagram id", "a diagram without id has the id null, not the text None"),
    ("node type", "it is known on the SSE path too"),
    ("output", "what a node produced and when it began and ended is known"),
    ("time", "times are RFC 3339 with their offset"),
    ("doubled log", "a line comes once"),
    ("log node", "a line tells its node"),
    ("status failed", "a failed run ends with a status, so that it can be seen to end"),
    ("seq", "the router numbers its messages, behind the original's keys"),
    ("one time", "both timestamps of a message are those of the callback"),
];

const CLI: &[(&str, &str)] = &[
    ("g01", include_str!("../fixtures/g01_linear_code.light.legacy_cli.ndjson")),
    ("g07", include_str!("../fixtures/g07_code_error.light.legacy_cli.ndjson")),
    ("g31", include_str!("../fixtures/g31_fail_parallel.light.legacy_cli.ndjson")),
];

const WEB: &[(&str, &str)] = &[
    ("g01", include_str!("../fixtures/g01_linear_code.light.legacy_web.ndjson")),
    ("g07", include_str!("../fixtures/g07_code_error.light.legacy_web.ndjson")),
    ("g31", include_str!("../fixtures/g31_fail_parallel.light.legacy_web.ndjson")),
];

/// The events of a trace: no control frames, nothing of who recorded it.
fn events(trace: &str) -> Vec<Value> {
    let lines = trace.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event["data"].is_object()).collect()
}

fn text<'a>(data: &'a Value, key: &str) -> &'a str {
    data[key].as_str().unwrap()
}

/// Makes the callback that the original made when it wrote `event`.
async fn call(observer: &dyn ExecutionObserver, event: &Value, step: u64) {
    let data = &event["data"];
    let execution = id(text(event, "execution_id"));
    let time = text(data, "timestamp").parse().unwrap();
    let cx = CallbackContext { execution: execution.clone(), parent: None, root: execution, step, time };
    let node = || NodeRef {
        id: NodeId::from(text(data, "node_id")),
        node_type: NodeType::from(data["node_type"].as_str().unwrap_or("code_job")),
        label: "Label".into(),
    };
    let iteration = 1;
    match (text(event, "type"), data["status"].as_str()) {
        ("EXECUTION_STATUS_CHANGED", Some("RUNNING")) => {
            observer.on_execution_start(&cx, &ExecutionStart { diagram_id: None, diagram_name: None }).await;
        }
        ("EXECUTION_STATUS_CHANGED", Some("COMPLETED")) => {
            observer.on_execution_complete(&cx, &ExecutionComplete { failed_nodes: vec![] }).await;
        }
        ("NODE_STATUS_CHANGED", Some("RUNNING")) => {
            observer.on_node_start(&cx, &NodeStart { node: node(), iteration }).await;
        }
        ("NODE_STATUS_CHANGED", Some("FAILED")) => {
            let error = text(data, "error").to_owned();
            let failed = NodeError { node: node(), iteration, error, tolerated: false, started_at: time };
            observer.on_node_error(&cx, &failed).await;
        }
        ("NODE_STATUS_CHANGED", Some(status)) => {
            let complete = NodeComplete {
                node: node(),
                iteration,
                status: NodeStatus::from(status),
                output: NodeOutput::new(json!("produced")),
                started_at: time,
                token_usage: None,
            };
            observer.on_node_complete(&cx, &complete).await;
        }
        ("EXECUTION_ERROR", None) => {
            let failure = ExecutionFailure {
                error: text(data, "error").to_owned(),
                reason: "node_failed".into(),
                node: None,
                stopped: vec![],
                failed_nodes: vec![],
            };
            observer.on_execution_error(&cx, &failure).await;
        }
        ("EXECUTION_LOG", None) => {
            let line = LogLine {
                node: Some(NodeId::from("node_1")),
                level: LogLevel::from(text(data, "level")),
                logger: text(data, "logger").to_owned(),
                message: text(data, "message").to_owned(),
                truncated: false,
            };
            observer.on_log(&cx, &line).await;
        }
        other => panic!("no callback is known for {other:?}"),
    }
}

/// What the original would have written, had it our intended differences.
struct Expected {
    events: Vec<Value>,
    applied: BTreeSet<&'static str>,
}

impl Expected {
    fn of(trace: &[Value], web: bool) -> Self {
        let mut expected = Self { events: Vec::new(), applied: BTreeSet::new() };
        for event in trace {
            if expected.events.last().is_some_and(|last| doubled(last, event)) {
                expected.applied.insert("doubled log");
                continue;
            }
            expected.events.push(event.clone());
        }
        if let Some(error) =
            expected.events.last().filter(|event| event["type"] == "EXECUTION_ERROR").cloned()
        {
            expected.applied.insert("status failed");
            let mut status = error;
            status["type"] = "EXECUTION_STATUS_CHANGED".into();
            status["data"] = json!({"status": "FAILED", "timestamp": status["data"]["timestamp"]});
            expected.events.push(status);
        }
        let mut events = std::mem::take(&mut expected.events);
        for (event, seq) in events.iter_mut().zip(1..) {
            expected.mend(event.as_object_mut().unwrap());
            if web {
                expected.applied.extend(["seq", "one time"]);
                event["timestamp"] = event["data"]["timestamp"].clone();
                event["seq"] = Value::from(seq);
            }
        }
        Self { events, ..expected }
    }

    /// Changes values in place; keys and their order stay as the original has them.
    fn mend(&mut self, event: &mut Map<String, Value>) {
        let log = event["type"] == "EXECUTION_LOG";
        let data = event["data"].as_object_mut().unwrap();
        let timestamp: Timestamp = data["timestamp"].as_str().unwrap().parse().unwrap();
        let time = Value::from(timestamp.to_string());
        let done = data.contains_key("output");
        for (key, value) in data.iter_mut() {
            let (name, mended) = match key.as_str() {
                "timestamp" => ("time", time.clone()),
                "diagram_id" if value == "None" => ("diagram id", Value::Null),
                "node_type" if value.is_null() => ("node type", "code_job".into()),
                "node_id" if log && value.is_null() => ("log node", "node_1".into()),
                "output" if done => ("output", "produced".into()),
                "started_at" | "ended_at" if done => ("output", time.clone()),
                _ => continue,
            };
            self.applied.insert(name);
            *value = mended;
        }
    }
}

fn doubled(last: &Value, event: &Value) -> bool {
    event["type"] == "EXECUTION_LOG" && last == event
}

/// Compares as text, so that the order of keys counts.
fn assert_same(name: &str, messages: &[String], expected: &[Value]) {
    let expected: Vec<String> = expected.iter().map(Value::to_string).collect();
    for (message, expected) in messages.iter().zip(&expected) {
        assert_eq!(message, expected, "{name}");
    }
    assert_eq!(messages.len(), expected.len(), "{name}");
}

#[tokio::test(start_paused = true)]
async fn recorded_traces_differ_from_ours_only_as_intended() {
    let mut applied = BTreeSet::new();
    for (name, trace) in CLI {
        let trace = events(trace);
        let expected = Expected::of(&trace, false);
        let observer = MonitoringStreamObserver::new();
        for (index, event) in trace.iter().enumerate() {
            if index == 0 || !doubled(&trace[index - 1], event) {
                call(&observer, event, index as u64 + 1).await;
            }
        }
        let execution = text(&trace[0], "execution_id");
        let (messages, _) = to_the_end(&mut *open(&observer, execution, Start::Beginning).await).await;
        assert_same(name, &messages, &expected.events);
        applied.extend(expected.applied);
    }
    for (name, trace) in WEB {
        let trace = events(trace);
        let expected = Expected::of(&trace, true);
        let web = Web::new();
        for (index, event) in trace.iter().enumerate() {
            call(&web.observer, event, index as u64 + 1).await;
        }
        let messages = web.messages(text(&trace[0], "execution_id")).await;
        assert_same(name, &messages, &expected.events);
        applied.extend(expected.applied);
    }
    let intended: BTreeSet<_> = INTENDED.iter().map(|(name, _)| *name).collect();
    assert_eq!(applied, intended, "the list has what the traces need, and nothing else");
}
