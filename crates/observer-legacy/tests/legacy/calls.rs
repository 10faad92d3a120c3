//! Callbacks, as an engine would make them.

use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    ExecutionStatus, LogLevel, LogLine, NodeComplete, NodeError, NodeId, NodeOutput, NodeRef, NodeSkipped,
    NodeStart, NodeStatus, NodeType, Progress, Prompt, PromptResponse, StatusChange, Timestamp, TokenUsage,
    ports::ExecutionObserver,
};
use serde_json::{Value, json};

pub(crate) const RUN: &str = "exec_1";

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

pub(crate) fn at(execution: &str, step: u64) -> CallbackContext {
    let time = Timestamp::from_micros(1_795_000_000_000_000 + i64::try_from(step).unwrap());
    CallbackContext { execution: id(execution), parent: None, root: id(execution), step, time }
}

pub(crate) fn node(name: &str) -> NodeRef {
    NodeRef { id: NodeId::from(name), node_type: NodeType::from("code_job"), label: "Label".into() }
}

pub(crate) fn node_start(name: &str) -> NodeStart {
    NodeStart { node: node(name), iteration: 1 }
}

pub(crate) fn complete(name: &str, output: Value) -> NodeComplete {
    NodeComplete {
        node: node(name),
        iteration: 1,
        status: NodeStatus::Completed,
        output: NodeOutput::new(output),
        started_at: Timestamp::from_micros(1_795_000_000_000_000),
        token_usage: Some(TokenUsage { input: 3, output: 4, cached: None, total: Some(7) }),
    }
}

pub(crate) fn line(message: &str) -> LogLine {
    LogLine {
        node: Some(NodeId::from("a")),
        level: LogLevel::Info,
        logger: "stdout".into(),
        message: message.into(),
        truncated: false,
    }
}

pub(crate) fn aborted() -> ExecutionAborted {
    let stopped = vec![node_start("d"), node_start("e")];
    ExecutionAborted { reason: "enough".into(), stopped, failed_nodes: vec![] }
}

pub(crate) fn failure() -> ExecutionFailure {
    ExecutionFailure {
        error: "no way out".into(),
        reason: "deadlock".into(),
        node: Some(NodeId::from("c")),
        stopped: vec![node_start("d")],
        failed_nodes: vec![NodeId::from("c")],
    }
}

pub(crate) async fn begin(observer: &dyn ExecutionObserver, execution: &str) {
    let start = ExecutionStart { diagram_id: None, diagram_name: Some("d".into()) };
    observer.on_execution_start(&at(execution, 1), &start).await;
}

pub(crate) async fn end(observer: &dyn ExecutionObserver, execution: &str) {
    observer.on_execution_complete(&at(execution, 99), &ExecutionComplete { failed_nodes: vec![] }).await;
}

pub(crate) async fn log(observer: &dyn ExecutionObserver, execution: &str, message: &str) {
    observer.on_log(&at(execution, 2), &line(message)).await;
}

/// Every callback but the terminal ones, in an order that could be.
pub(crate) async fn everything(observer: &dyn ExecutionObserver, execution: &str) {
    let at = |step| at(execution, step);
    let start = ExecutionStart { diagram_id: Some("diagram".into()), diagram_name: None };
    observer.on_execution_start(&at(1), &start).await;
    observer.on_node_start(&at(2), &node_start("a")).await;
    observer.on_log(&at(3), &line("a line")).await;
    let truncated = LogLine { truncated: true, level: LogLevel::Warning, node: None, ..line("no more") };
    observer.on_log(&at(4), &truncated).await;
    observer.on_progress(&at(5), &Progress { node: NodeId::from("a"), text: "growing".into() }).await;
    observer.on_node_complete(&at(6), &complete("a", json!({"x": [1, "é"]}))).await;
    observer.on_node_start(&at(7), &node_start("b")).await;
    let prompt = Prompt {
        node: node("b"),
        prompt: "well?".into(),
        timeout: Some(30.0),
        default_value: Some("yes".into()),
    };
    observer.on_interactive_prompt(&at(8), &prompt).await;
    let response = PromptResponse { node: node("b"), response: "no".into() };
    observer.on_interactive_response(&at(9), &response).await;
    let status = NodeStatus::MaxIterReached;
    let last = NodeComplete { status, token_usage: None, ..complete("b", Value::Null) };
    observer.on_node_complete(&at(10), &last).await;
    let error = NodeError {
        node: node("c"),
        iteration: 1,
        error: "boom".into(),
        tolerated: true,
        started_at: Timestamp::from_micros(0),
    };
    observer.on_node_error(&at(11), &error).await;
    observer.on_node_skipped(&at(12), &NodeSkipped { node: node("f") }).await;
    for (step, status) in [(13, ExecutionStatus::Paused), (14, ExecutionStatus::Running)] {
        observer.on_status_changed(&at(step), &StatusChange { status, reason: Some("because".into()) }).await;
    }
}
