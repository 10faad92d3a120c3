//! Events of an execution as a whole.

use serde::{Deserialize, Serialize, ser::SerializeMap};

use super::Extra;
use crate::{ExecutionStatus, NodeId, Timestamp};

/// `data` of EXECUTION_STATUS_CHANGED.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExecutionStatusChanged {
    /// The new status.
    pub status: ExecutionStatus,
    /// The diagram's own id. On the wire always there (null if it has none) when the status is RUNNING.
    #[serde(default)]
    pub diagram_id: Option<String>,
    /// When it happened, by the clock of the engine.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// The diagram's name, at the start.
    #[serde(default)]
    pub diagram_name: Option<String>,
    /// Why: `timeout`, or the words of whoever aborted.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who runs it, if it is not this installation: `ingest`. Given when it is opened.
    #[serde(default)]
    pub source: Option<String>,
    /// At the end: the nodes that ever FAILED and do not say `on_error: continue`.
    #[serde(default)]
    pub failed_nodes: Option<Vec<NodeId>>,
    /// Fields that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `data` of EXECUTION_ERROR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionError {
    /// What went wrong, for a person.
    pub error: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The node to blame, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// What kind of error, for a program: `timeout`, `deadlock`, `node_failed`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Fields that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

// === impl ExecutionStatusChanged ===

impl ExecutionStatusChanged {
    /// The change to `status`, everything else empty.
    #[must_use]
    pub fn to(status: ExecutionStatus, timestamp: Timestamp) -> Self {
        Self {
            status,
            diagram_id: None,
            timestamp: Some(timestamp),
            diagram_name: None,
            reason: None,
            source: None,
            failed_nodes: None,
            extra: Extra::new(),
        }
    }
}

/// By hand, since which keys are there depends on the status: the original's keys in the original's order, then ours.
impl Serialize for ExecutionStatusChanged {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", &self.status)?;
        if self.diagram_id.is_some() || self.status == ExecutionStatus::Running {
            map.serialize_entry("diagram_id", &self.diagram_id)?;
        }
        super::node::some(&mut map, "timestamp", self.timestamp.as_ref())?;
        super::node::some(&mut map, "diagram_name", self.diagram_name.as_ref())?;
        super::node::some(&mut map, "reason", self.reason.as_ref())?;
        super::node::some(&mut map, "source", self.source.as_ref())?;
        super::node::some(&mut map, "failed_nodes", self.failed_nodes.as_ref())?;
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
