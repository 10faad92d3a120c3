//! The typed event (charter section 3). Strings exist only at the edge.

mod execution;
mod kind;
mod node;
mod other;

use serde_json::{Map, Value};

pub use self::{
    execution::{ExecutionError, ExecutionStatusChanged},
    kind::EventType,
    node::{NodeProgress, NodeStatusChanged, TokenUsage},
    other::{ExecutionLog, InteractivePrompt, InteractiveResponse, UnknownEvent},
};
use crate::{ExecutionStatus, NodeId};

/// Fields of an event's `data` that this build does not know. They survive as they came.
pub type Extra = Map<String, Value>;

/// One thing that happened, without where and when.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "the largest variant is also the commonest; a box would cost it an allocation"
)]
pub enum Event {
    /// The execution began, changed or ended.
    ExecutionStatusChanged(ExecutionStatusChanged),
    /// A node began, ended or was skipped.
    NodeStatusChanged(NodeStatusChanged),
    /// The execution failed; directly followed by its terminal event (I9).
    ExecutionError(ExecutionError),
    /// A line of a log.
    ExecutionLog(ExecutionLog),
    /// A node asks a person.
    InteractivePrompt(InteractivePrompt),
    /// A person answered.
    InteractiveResponse(InteractiveResponse),
    /// A part of an output that is still growing. Ephemeral: never in the log.
    NodeProgress(NodeProgress),
    /// An event of a type that this build does not know.
    Unknown(UnknownEvent),
}

// === impl Event ===

impl Event {
    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        match self {
            Self::ExecutionStatusChanged(_) => EventType::ExecutionStatusChanged,
            Self::NodeStatusChanged(_) => EventType::NodeStatusChanged,
            Self::ExecutionError(_) => EventType::ExecutionError,
            Self::ExecutionLog(_) => EventType::ExecutionLog,
            Self::InteractivePrompt(_) => EventType::InteractivePrompt,
            Self::InteractiveResponse(_) => EventType::InteractiveResponse,
            Self::NodeProgress(_) => EventType::NodeProgress,
            Self::Unknown(event) => EventType::from(event.event_type.as_str()),
        }
    }

    /// The node that it is about, if it is about one.
    #[must_use]
    pub fn node_id(&self) -> Option<&NodeId> {
        match self {
            Self::NodeStatusChanged(event) => Some(&event.node_id),
            Self::ExecutionError(event) => event.node_id.as_ref(),
            Self::ExecutionLog(event) => event.node_id.as_ref(),
            Self::InteractivePrompt(event) => Some(&event.node_id),
            Self::InteractiveResponse(event) => Some(&event.node_id),
            Self::NodeProgress(event) => Some(&event.node_id),
            Self::ExecutionStatusChanged(_) | Self::Unknown(_) => None,
        }
    }

    /// The status with which it ends its execution, if it does (I9).
    #[must_use]
    pub fn terminal_status(&self) -> Option<&ExecutionStatus> {
        match self {
            Self::ExecutionStatusChanged(event) => Some(&event.status).filter(|s| s.is_terminal()),
            _ => None,
        }
    }
}
