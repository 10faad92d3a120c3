//! Names of event types.

use std::{fmt, sync::Arc};

/// The type of an event or of a control frame, as the wire names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// EXECUTION_STATUS_CHANGED
    ExecutionStatusChanged,
    /// NODE_STATUS_CHANGED
    NodeStatusChanged,
    /// EXECUTION_ERROR
    ExecutionError,
    /// EXECUTION_LOG
    ExecutionLog,
    /// INTERACTIVE_PROMPT
    InteractivePrompt,
    /// INTERACTIVE_RESPONSE
    InteractiveResponse,
    /// NODE_PROGRESS, the one ephemeral type
    NodeProgress,
    /// A type that this build does not know.
    Other(Arc<str>),
}

impl EventType {
    /// All types that this build knows.
    pub const KNOWN: [Self; 7] = [
        Self::ExecutionStatusChanged,
        Self::NodeStatusChanged,
        Self::ExecutionError,
        Self::ExecutionLog,
        Self::InteractivePrompt,
        Self::InteractiveResponse,
        Self::NodeProgress,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::ExecutionStatusChanged => "EXECUTION_STATUS_CHANGED",
            Self::NodeStatusChanged => "NODE_STATUS_CHANGED",
            Self::ExecutionError => "EXECUTION_ERROR",
            Self::ExecutionLog => "EXECUTION_LOG",
            Self::InteractivePrompt => "INTERACTIVE_PROMPT",
            Self::InteractiveResponse => "INTERACTIVE_RESPONSE",
            Self::NodeProgress => "NODE_PROGRESS",
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for EventType {
    fn from(text: &str) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|known| known.as_str() == text)
            .unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
