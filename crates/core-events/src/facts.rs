//! The one mapping from a callback to the facts of the log (I1).
//!
//! Used by the observers that append to the log, and by nobody else: the legacy wire observers have a mapping of their
//! own, or a comparison of both paths would compare a thing with itself.

use std::borrow::Cow;

use crate::{
    CallbackContext, Event, ExecutionAborted, ExecutionComplete, ExecutionError, ExecutionFailure,
    ExecutionLog, ExecutionStart, ExecutionStatus, ExecutionStatusChanged, Fact, InteractivePrompt,
    InteractiveResponse, LogLine, NodeComplete, NodeError, NodeId, NodeRef, NodeSkipped, NodeStart,
    NodeStatus, NodeStatusChanged, Prompt, PromptResponse, StatusChange, event::Extra, limits,
};

/// EXECUTION_STATUS_CHANGED RUNNING.
#[must_use]
pub fn execution_start(cx: &CallbackContext, start: &ExecutionStart) -> Fact {
    let mut event = ExecutionStatusChanged::to(ExecutionStatus::Running, cx.time);
    event.diagram_id = start.diagram_id.as_deref().map(bounded);
    event.diagram_name = start.diagram_name.as_deref().map(bounded);
    fact(cx, Event::ExecutionStatusChanged(event))
}

/// NODE_STATUS_CHANGED RUNNING.
#[must_use]
pub fn node_start(cx: &CallbackContext, start: &NodeStart) -> Fact {
    let mut event = node(cx, &start.node, NodeStatus::Running);
    event.iteration = Some(start.iteration);
    fact(cx, Event::NodeStatusChanged(event))
}

/// NODE_STATUS_CHANGED with the node's output, or with a preview of it and the output beside it.
#[must_use]
pub fn node_complete(cx: &CallbackContext, complete: &NodeComplete) -> Fact {
    let mut event = node(cx, &complete.node, complete.status.clone());
    event.iteration = Some(complete.iteration);
    event.started_at = Some(complete.started_at);
    event.ended_at = Some(cx.time);
    event.token_usage = complete.token_usage;
    event.tokens_used = complete.token_usage.and_then(|usage| usage.total);
    let json = &complete.output.json;
    let attachment = (json.len() > limits::MAX_INLINE_OUTPUT_BYTES).then(|| json.clone());
    if attachment.is_some() {
        let text: Cow<'_, str> = match &*complete.output.value {
            serde_json::Value::String(text) => Cow::Borrowed(text),
            _ => String::from_utf8_lossy(json),
        };
        event.output_preview = Some(limits::head(&text, limits::OUTPUT_PREVIEW_BYTES).to_owned());
    } else {
        event.output = Some((*complete.output.value).clone());
    }
    Fact { attachment, ..fact(cx, Event::NodeStatusChanged(event)) }
}

/// NODE_STATUS_CHANGED FAILED.
#[must_use]
pub fn node_error(cx: &CallbackContext, error: &NodeError) -> Fact {
    let mut event = node(cx, &error.node, NodeStatus::Failed);
    event.iteration = Some(error.iteration);
    event.error = Some(bounded(&error.error));
    event.started_at = Some(error.started_at);
    event.ended_at = Some(cx.time);
    event.on_error = error.tolerated.then(|| "continue".to_owned());
    fact(cx, Event::NodeStatusChanged(event))
}

/// NODE_STATUS_CHANGED SKIPPED.
#[must_use]
pub fn node_skipped(cx: &CallbackContext, skipped: &NodeSkipped) -> Fact {
    fact(cx, Event::NodeStatusChanged(node(cx, &skipped.node, NodeStatus::Skipped)))
}

/// EXECUTION_STATUS_CHANGED with a status that is not terminal.
#[must_use]
pub fn status_changed(cx: &CallbackContext, change: &StatusChange) -> Fact {
    let mut event = ExecutionStatusChanged::to(change.status.clone(), cx.time);
    event.reason = change.reason.as_deref().map(bounded);
    fact(cx, Event::ExecutionStatusChanged(event))
}

/// EXECUTION_STATUS_CHANGED COMPLETED.
#[must_use]
pub fn execution_complete(cx: &CallbackContext, complete: &ExecutionComplete) -> Fact {
    fact(cx, terminal(cx, ExecutionStatus::Completed, None, &complete.failed_nodes))
}

/// The stopped nodes ABORTED, then EXECUTION_ERROR, then EXECUTION_STATUS_CHANGED FAILED: one append (I9).
#[must_use]
pub fn execution_error(cx: &CallbackContext, failure: &ExecutionFailure) -> Vec<Fact> {
    let error = ExecutionError {
        error: bounded(&failure.error),
        timestamp: Some(cx.time),
        node_id: failure.node.clone(),
        reason: Some(failure.reason.clone()),
        extra: Extra::new(),
    };
    let mut facts = stopped(cx, &failure.stopped, &failure.reason);
    facts.push(fact(cx, Event::ExecutionError(error)));
    facts.push(fact(cx, terminal(cx, ExecutionStatus::Failed, Some(&failure.reason), &failure.failed_nodes)));
    facts
}

/// The stopped nodes ABORTED, then EXECUTION_STATUS_CHANGED ABORTED: one append (I9).
#[must_use]
pub fn execution_aborted(cx: &CallbackContext, aborted: &ExecutionAborted) -> Vec<Fact> {
    let mut facts = stopped(cx, &aborted.stopped, &aborted.reason);
    facts
        .push(fact(cx, terminal(cx, ExecutionStatus::Aborted, Some(&aborted.reason), &aborted.failed_nodes)));
    facts
}

/// INTERACTIVE_PROMPT.
#[must_use]
pub fn interactive_prompt(cx: &CallbackContext, prompt: &Prompt) -> Fact {
    let event = InteractivePrompt {
        node_id: prompt.node.id.clone(),
        prompt: bounded(&prompt.prompt),
        timeout: prompt.timeout,
        default_value: prompt.default_value.as_deref().map(bounded),
        timestamp: Some(cx.time),
        extra: Extra::new(),
    };
    fact(cx, Event::InteractivePrompt(event))
}

/// INTERACTIVE_RESPONSE.
#[must_use]
pub fn interactive_response(cx: &CallbackContext, response: &PromptResponse) -> Fact {
    let event = InteractiveResponse {
        node_id: response.node.id.clone(),
        response: bounded(&response.response),
        timestamp: Some(cx.time),
        extra: Extra::new(),
    };
    fact(cx, Event::InteractiveResponse(event))
}

/// EXECUTION_LOG.
#[must_use]
pub fn log(cx: &CallbackContext, line: &LogLine) -> Fact {
    let event = ExecutionLog {
        level: line.level.clone(),
        message: limits::head(&line.message, limits::MAX_LOG_LINE_BYTES).to_owned(),
        timestamp: Some(cx.time),
        logger: Some(line.logger.clone()),
        node_id: line.node.clone(),
        truncated: line.truncated.then_some(true),
        extra: Extra::new(),
    };
    fact(cx, Event::ExecutionLog(event))
}

fn fact(cx: &CallbackContext, event: Event) -> Fact {
    Fact::new(cx.clone(), event)
}

fn node(cx: &CallbackContext, node: &NodeRef, status: NodeStatus) -> NodeStatusChanged {
    let mut event = NodeStatusChanged::to(node.id.clone(), status, cx.time);
    event.node_type = Some(node.node_type.clone());
    event.label = Some(bounded(&node.label));
    event
}

fn terminal(cx: &CallbackContext, status: ExecutionStatus, reason: Option<&str>, failed: &[NodeId]) -> Event {
    let mut event = ExecutionStatusChanged::to(status, cx.time);
    event.reason = reason.map(bounded);
    event.failed_nodes = Some(failed.iter().take(limits::MAX_FAILED_NODES).cloned().collect());
    if failed.len() > limits::MAX_FAILED_NODES {
        event.extra.insert("failed_nodes_total".to_owned(), failed.len().into());
    }
    Event::ExecutionStatusChanged(event)
}

fn stopped(cx: &CallbackContext, nodes: &[NodeStart], reason: &str) -> Vec<Fact> {
    let aborted = |start: &NodeStart| {
        let mut event = node(cx, &start.node, NodeStatus::Aborted);
        event.iteration = Some(start.iteration);
        event.ended_at = Some(cx.time);
        event.reason = Some(bounded(reason));
        fact(cx, Event::NodeStatusChanged(event))
    };
    nodes.iter().map(aborted).collect()
}

fn bounded(text: &str) -> String {
    limits::head(text, limits::MAX_TEXT_BYTES).to_owned()
}
