//! From callbacks to the messages of the legacy SSE path (T1): `{"type","execution_id","data"}`, no top-level `timestamp`.

use bytes::Bytes;
use core_events::{
    CallbackContext, EventType, ExecutionId, ExecutionStart, ExecutionStatus, LogLevel, LogLine,
    NodeComplete, NodeError, NodeId, NodeRef, NodeStart, NodeStatus, NodeType, Prompt, PromptResponse,
    Timestamp, TokenUsage,
    limits::{MAX_INLINE_OUTPUT_BYTES, MAX_LOG_LINE_BYTES, MAX_TEXT_BYTES, OUTPUT_PREVIEW_BYTES, head},
};
use serde::Serialize;
use serde_json::Value;

/// A message, still without its number.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) event_type: EventType,
    pub(super) node: Option<NodeId>,
    /// Whether the stream ends behind it.
    pub(super) terminal: Option<ExecutionStatus>,
    pub(super) json: Bytes,
}

#[derive(Serialize)]
struct Frame<'a, D> {
    #[serde(rename = "type")]
    kind: &'a str,
    execution_id: &'a ExecutionId,
    data: D,
}

#[derive(Serialize)]
struct Begun<'a> {
    status: ExecutionStatus,
    diagram_id: Option<&'a str>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Changed<'a> {
    status: &'a ExecutionStatus,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct NodeChanged<'a> {
    node_id: &'a NodeId,
    status: NodeStatus,
    node_type: &'a NodeType,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct NodeDone<'a> {
    node_id: &'a NodeId,
    status: &'a NodeStatus,
    node_type: &'a NodeType,
    output: Option<&'a Value>,
    started_at: Timestamp,
    ended_at: Timestamp,
    token_usage: Option<TokenUsage>,
    tokens_used: Option<u64>,
    timestamp: Timestamp,
    /// The beginning of an output that is too large for a message; `output` is null then.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_preview: Option<String>,
}

#[derive(Serialize)]
struct NodeFailed<'a> {
    node_id: &'a NodeId,
    status: NodeStatus,
    node_type: &'a NodeType,
    error: &'a str,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a LogLevel,
    message: &'a str,
    timestamp: Timestamp,
    logger: &'a str,
    node_id: Option<&'a NodeId>,
    /// Only where lines are missing from here on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
struct Asked<'a> {
    node_id: &'a NodeId,
    prompt: &'a str,
    timeout: Option<f64>,
    default_value: Option<&'a str>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Answered<'a> {
    node_id: &'a NodeId,
    response: &'a str,
    timestamp: Timestamp,
}

pub(super) fn execution_begun(cx: &CallbackContext, start: &ExecutionStart) -> Message {
    let diagram_id = start.diagram_id.as_deref().map(|id| head(id, MAX_TEXT_BYTES));
    let data = Begun { status: ExecutionStatus::Running, diagram_id, timestamp: cx.time };
    message(cx, EventType::ExecutionStatusChanged, None, data)
}

pub(super) fn execution_changed(cx: &CallbackContext, status: &ExecutionStatus) -> Message {
    let data = Changed { status, timestamp: cx.time };
    let terminal = Some(status.clone()).filter(ExecutionStatus::is_terminal);
    Message { terminal, ..message(cx, EventType::ExecutionStatusChanged, None, data) }
}

pub(super) fn execution_failed(cx: &CallbackContext, error: &str) -> Message {
    let data = Failure { error: head(error, MAX_TEXT_BYTES), timestamp: cx.time };
    message(cx, EventType::ExecutionError, None, data)
}

/// RUNNING, SKIPPED and ABORTED have one shape.
pub(super) fn node_changed(cx: &CallbackContext, node: &NodeRef, status: NodeStatus) -> Message {
    let data = NodeChanged { node_id: &node.id, status, node_type: &node.node_type, timestamp: cx.time };
    message(cx, EventType::NodeStatusChanged, Some(&node.id), data)
}

pub(super) fn nodes_stopped(cx: &CallbackContext, nodes: &[NodeStart]) -> Vec<Message> {
    nodes.iter().map(|start| node_changed(cx, &start.node, NodeStatus::Aborted)).collect()
}

pub(super) fn node_done(cx: &CallbackContext, complete: &NodeComplete) -> Message {
    let NodeComplete { node, status, output, started_at, token_usage, .. } = complete;
    let fits = output.json.len() <= MAX_INLINE_OUTPUT_BYTES;
    let data = NodeDone {
        node_id: &node.id,
        status,
        node_type: &node.node_type,
        output: fits.then_some(&*output.value),
        started_at: *started_at,
        ended_at: cx.time,
        token_usage: *token_usage,
        tokens_used: token_usage.and_then(|usage| usage.total),
        timestamp: cx.time,
        output_preview: (!fits).then(|| match &*output.value {
            Value::String(text) => head(text, OUTPUT_PREVIEW_BYTES).to_owned(),
            _ => head(&String::from_utf8_lossy(&output.json), OUTPUT_PREVIEW_BYTES).to_owned(),
        }),
    };
    message(cx, EventType::NodeStatusChanged, Some(&node.id), data)
}

pub(super) fn node_failed(cx: &CallbackContext, error: &NodeError) -> Message {
    let data = NodeFailed {
        node_id: &error.node.id,
        status: NodeStatus::Failed,
        node_type: &error.node.node_type,
        error: head(&error.error, MAX_TEXT_BYTES),
        timestamp: cx.time,
    };
    message(cx, EventType::NodeStatusChanged, Some(&error.node.id), data)
}

pub(super) fn log(cx: &CallbackContext, line: &LogLine) -> Message {
    let data = Line {
        level: &line.level,
        message: head(&line.message, MAX_LOG_LINE_BYTES),
        timestamp: cx.time,
        logger: head(&line.logger, MAX_TEXT_BYTES),
        node_id: line.node.as_ref(),
        truncated: line.truncated,
    };
    message(cx, EventType::ExecutionLog, line.node.as_ref(), data)
}

pub(super) fn prompt(cx: &CallbackContext, prompt: &Prompt) -> Message {
    let data = Asked {
        node_id: &prompt.node.id,
        prompt: head(&prompt.prompt, MAX_TEXT_BYTES),
        timeout: prompt.timeout,
        default_value: prompt.default_value.as_deref().map(|text| head(text, MAX_TEXT_BYTES)),
        timestamp: cx.time,
    };
    message(cx, EventType::InteractivePrompt, Some(&prompt.node.id), data)
}

pub(super) fn response(cx: &CallbackContext, response: &PromptResponse) -> Message {
    let data = Answered {
        node_id: &response.node.id,
        response: head(&response.response, MAX_TEXT_BYTES),
        timestamp: cx.time,
    };
    message(cx, EventType::InteractiveResponse, Some(&response.node.id), data)
}

fn message(
    cx: &CallbackContext,
    event_type: EventType,
    node: Option<&NodeId>,
    data: impl Serialize,
) -> Message {
    let frame = Frame { kind: event_type.as_str(), execution_id: &cx.execution, data };
    // Plain fields and JSON values: serialising into memory has no way to fail.
    let json = serde_json::to_vec(&frame).map(Bytes::from).unwrap_or_default();
    Message { event_type, node: node.cloned(), terminal: None, json }
}
