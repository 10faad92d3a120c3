//! What the engine tells its observers.

use bytes::Bytes;
use serde_json::Value;

use crate::{ExecutionId, ExecutionStatus, LogLevel, NodeId, NodeStatus, NodeType, Timestamp, TokenUsage};

/// Where and when a callback happened; comes with every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackContext {
    /// The execution that reports.
    pub execution: ExecutionId,
    /// The execution that started it, on sub-runs.
    pub parent: Option<ExecutionId>,
    /// The execution at the top; equal to `execution` on root runs.
    pub root: ExecutionId,
    /// Numbers the callbacks of one root run from 1, the same for every observer.
    pub step: u64,
    /// When it happened.
    pub time: Timestamp,
}

/// A node, as its callbacks name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRef {
    /// Its id in the diagram.
    pub id: NodeId,
    /// Its type.
    pub node_type: NodeType,
    /// Its label.
    pub label: String,
}

/// An execution begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionStart {
    /// The diagram's own id, if it has one.
    pub diagram_id: Option<String>,
    /// The diagram's name, if it has one.
    pub diagram_name: Option<String>,
}

/// A node begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStart {
    /// Which.
    pub node: NodeRef,
    /// Which run of it, from 1.
    pub iteration: u32,
}

/// A node's output, with its JSON text, made once.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeOutput {
    /// The value.
    pub value: std::sync::Arc<Value>,
    /// Its JSON text, at most [`MAX_OUTPUT_BYTES`](crate::limits::MAX_OUTPUT_BYTES) long.
    pub json: Bytes,
}

/// A node ended well.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeComplete {
    /// Which.
    pub node: NodeRef,
    /// Which run of it, from 1.
    pub iteration: u32,
    /// COMPLETED or MAXITER_REACHED.
    pub status: NodeStatus,
    /// What it produced.
    pub output: NodeOutput,
    /// When this run of it began.
    pub started_at: Timestamp,
    /// What its language model used.
    pub token_usage: Option<TokenUsage>,
}

/// A node failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeError {
    /// Which.
    pub node: NodeRef,
    /// Which run of it, from 1.
    pub iteration: u32,
    /// Why.
    pub error: String,
    /// Whether the diagram says `on_error: continue`, so that the failure does not count.
    pub tolerated: bool,
    /// When this run of it began.
    pub started_at: Timestamp,
}

/// A node will never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSkipped {
    /// Which.
    pub node: NodeRef,
}

/// An execution was held or goes on. Never terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// PAUSED or RUNNING.
    pub status: ExecutionStatus,
    /// Why.
    pub reason: Option<String>,
}

/// An execution came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionComplete {
    /// The nodes that ever FAILED and do not say `on_error: continue`.
    pub failed_nodes: Vec<NodeId>,
}

/// An execution failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionFailure {
    /// What went wrong, for a person.
    pub error: String,
    /// What kind of error, for a program: `timeout`, `deadlock`, `node_failed`, …
    pub reason: String,
    /// The node to blame, if one is.
    pub node: Option<NodeId>,
    /// The nodes that the failure stopped.
    pub stopped: Vec<NodeStart>,
    /// The nodes that ever FAILED and do not say `on_error: continue`.
    pub failed_nodes: Vec<NodeId>,
}

/// Somebody ended the execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionAborted {
    /// In whose words.
    pub reason: String,
    /// The nodes that this stopped.
    pub stopped: Vec<NodeStart>,
    /// The nodes that ever FAILED and do not say `on_error: continue`.
    pub failed_nodes: Vec<NodeId>,
}

/// A node asks a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Which.
    pub node: NodeRef,
    /// The question.
    pub prompt: String,
    /// Seconds for which it waits.
    pub timeout: Option<f64>,
    /// The answer that is taken when none comes.
    pub default_value: Option<String>,
}

/// A person answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptResponse {
    /// The node that asked.
    pub node: NodeRef,
    /// The answer.
    pub response: String,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The node that it belongs to; `None` for the execution itself.
    pub node: Option<NodeId>,
    /// Weight.
    pub level: LogLevel,
    /// Who wrote it.
    pub logger: String,
    /// The line, at most [`MAX_LOG_LINE_BYTES`](crate::limits::MAX_LOG_LINE_BYTES) long.
    pub message: String,
    /// Whether lines are missing from here on (LOG_TRUNCATED).
    pub truncated: bool,
}

/// A part of an output that is still growing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The node.
    pub node: NodeId,
    /// The new text.
    pub text: String,
}

// === impl NodeOutput ===

impl NodeOutput {
    /// Wraps `value` with its JSON text.
    #[must_use]
    pub fn new(value: impl Into<std::sync::Arc<Value>>) -> Self {
        let value = value.into();
        // A JSON value has text keys; writing it into memory has no way to fail.
        let json = serde_json::to_vec(&*value).map(Bytes::from).unwrap_or_default();
        Self { value, json }
    }
}
