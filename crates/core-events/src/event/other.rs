//! Logs, questions to a person, and what this build does not know.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Extra;
use crate::{LogLevel, NodeId, Timestamp};

/// `data` of EXECUTION_LOG.
///
/// When a node's log passed its limit, one such event of level WARNING has `truncated: true` (LOG_TRUNCATED) and the
/// rest is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionLog {
    /// Weight.
    pub level: LogLevel,
    /// The line, without its line end.
    pub message: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Who wrote it: `stdout` or `stderr` of a child, or the name of a logger.
    #[serde(default)]
    pub logger: Option<String>,
    /// The node that it belongs to; null for the execution itself.
    #[serde(default)]
    pub node_id: Option<NodeId>,
    /// Whether lines are missing from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// Fields that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `data` of INTERACTIVE_PROMPT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InteractivePrompt {
    /// The node that asks.
    pub node_id: NodeId,
    /// The question.
    pub prompt: String,
    /// Seconds for which it waits.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// The answer that is taken when none comes.
    #[serde(default)]
    pub default_value: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Fields that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `data` of INTERACTIVE_RESPONSE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InteractiveResponse {
    /// The node that asked.
    pub node_id: NodeId,
    /// The answer.
    pub response: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Fields that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An event of a type that this build does not know, as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownEvent {
    /// The type's name.
    pub event_type: String,
    /// Its `data`.
    pub data: Value,
}
