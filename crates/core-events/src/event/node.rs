//! Events of one node.

use serde::{Deserialize, Serialize, ser::SerializeMap};
use serde_json::Value;

use super::Extra;
use crate::{NodeId, NodeStatus, NodeType, Timestamp};

/// Tokens that a language model took and gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of the prompt that the service had in its cache.
    #[serde(default)]
    pub cached: Option<u64>,
    /// All tokens, as the service counts them.
    #[serde(default)]
    pub total: Option<u64>,
}

/// `data` of NODE_STATUS_CHANGED.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeStatusChanged {
    /// The node.
    pub node_id: NodeId,
    /// Its new status.
    pub status: NodeStatus,
    /// Its type.
    #[serde(default)]
    pub node_type: Option<NodeType>,
    /// What it produced, if that is small enough to travel here.
    #[serde(default)]
    pub output: Option<Value>,
    /// When this run of the node began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When this run of the node ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Tokens used by this run of the node.
    #[serde(default)]
    pub token_usage: Option<TokenUsage>,
    /// `token_usage.total`.
    #[serde(default)]
    pub tokens_used: Option<u64>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// When it happened.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// The node's label in its diagram.
    #[serde(default)]
    pub label: Option<String>,
    /// Which run of the node this is, from 1.
    #[serde(default)]
    pub iteration: Option<u32>,
    /// `continue` where the node's failure is not to count.
    #[serde(default)]
    pub on_error: Option<String>,
    /// Why it was skipped or aborted.
    #[serde(default)]
    pub reason: Option<String>,
    /// The beginning of an output that is too large to travel here.
    #[serde(default)]
    pub output_preview: Option<String>,
    /// Where that output is to be had.
    #[serde(default)]
    pub output_ref: Option<String>,
    /// Fields that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `data` of NODE_PROGRESS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeProgress {
    /// The node.
    pub node_id: NodeId,
    /// The text that came since the last progress that this reader saw.
    pub text: String,
    /// Length of the text before it, in bytes of UTF-8; 0 for a reader that joins late and gets all of it.
    pub position: u64,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Fields that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

// === impl NodeStatusChanged ===

impl NodeStatusChanged {
    /// The change of `node_id` to `status`, everything else empty.
    #[must_use]
    pub fn to(node_id: NodeId, status: NodeStatus, timestamp: Timestamp) -> Self {
        Self {
            node_id,
            status,
            node_type: None,
            output: None,
            started_at: None,
            ended_at: None,
            token_usage: None,
            tokens_used: None,
            error: None,
            timestamp: Some(timestamp),
            label: None,
            iteration: None,
            on_error: None,
            reason: None,
            output_preview: None,
            output_ref: None,
            extra: Extra::new(),
        }
    }
}

/// By hand, since which keys are there depends on the status: the original's keys in the original's order, null where
/// it has null, then ours.
impl Serialize for NodeStatusChanged {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let done = matches!(self.status, NodeStatus::Completed | NodeStatus::MaxIterReached);
        let failed = self.status == NodeStatus::Failed;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("node_id", &self.node_id)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("node_type", &self.node_type)?;
        if done {
            map.serialize_entry("output", &self.output)?;
            map.serialize_entry("started_at", &self.started_at)?;
            map.serialize_entry("ended_at", &self.ended_at)?;
            map.serialize_entry("token_usage", &self.token_usage)?;
            map.serialize_entry("tokens_used", &self.tokens_used)?;
        }
        if failed {
            map.serialize_entry("error", &self.error)?;
        }
        some(&mut map, "timestamp", self.timestamp.as_ref())?;
        some(&mut map, "label", self.label.as_ref())?;
        some(&mut map, "iteration", self.iteration.as_ref())?;
        if !failed {
            some(&mut map, "error", self.error.as_ref())?;
        }
        if !done {
            some(&mut map, "output", self.output.as_ref())?;
            some(&mut map, "started_at", self.started_at.as_ref())?;
            some(&mut map, "ended_at", self.ended_at.as_ref())?;
            some(&mut map, "token_usage", self.token_usage.as_ref())?;
            some(&mut map, "tokens_used", self.tokens_used.as_ref())?;
        }
        some(&mut map, "on_error", self.on_error.as_ref())?;
        some(&mut map, "reason", self.reason.as_ref())?;
        some(&mut map, "output_preview", self.output_preview.as_ref())?;
        some(&mut map, "output_ref", self.output_ref.as_ref())?;
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

pub(super) fn some<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    value: Option<&impl Serialize>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, value),
        None => Ok(()),
    }
}
