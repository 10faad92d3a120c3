//! Names and scalars that inputs and outputs share.

use async_graphql::{Enum, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use core_events::{ExecutionStatus, NodeStatus, Timestamp};

/// Where an execution or a node stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Accepted, not begun.
    Pending,
    /// Under way.
    Running,
    /// Held; goes on when it is resumed.
    Paused,
    /// Ended well.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended by somebody's wish.
    Aborted,
    /// Never ran, and no longer can.
    Skipped,
    /// Done, and has used up its iterations.
    #[graphql(name = "MAXITER_REACHED")]
    MaxIterReached,
}

/// The format of a diagram.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(name = "DiagramFormatGraphQL")]
pub(crate) enum DiagramFormat {
    /// Nodes, handles and arrows, as the editor stores them.
    Native,
    /// The light format, as YAML.
    Yaml,
    /// The light format, as JSON.
    Json,
    /// The format for people.
    Readable,
    /// The light format, as YAML or JSON.
    Light,
}

/// A time: RFC 3339 with an offset, such as `2026-01-31T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateTime(pub(crate) Timestamp);

// === impl Status ===

impl Status {
    /// The status that the wire calls `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            "PAUSED" => Self::Paused,
            "COMPLETED" => Self::Completed,
            "FAILED" => Self::Failed,
            "ABORTED" => Self::Aborted,
            "SKIPPED" => Self::Skipped,
            "MAXITER_REACHED" => Self::MaxIterReached,
            _ => return None,
        })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
            Self::Skipped => "SKIPPED",
            Self::MaxIterReached => "MAXITER_REACHED",
        }
    }
}

/// A status that this build does not know ends nothing: whatever has it is under way.
impl From<&ExecutionStatus> for Status {
    fn from(status: &ExecutionStatus) -> Self {
        Self::named(status.as_str()).unwrap_or(Self::Running)
    }
}

impl From<&NodeStatus> for Status {
    fn from(status: &NodeStatus) -> Self {
        Self::named(status.as_str()).unwrap_or(Self::Running)
    }
}

// === impl DiagramFormat ===

impl DiagramFormat {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Native => "NATIVE",
            Self::Yaml => "YAML",
            Self::Json => "JSON",
            Self::Readable => "READABLE",
            Self::Light => "LIGHT",
        }
    }

    pub(crate) fn is_light(self) -> bool {
        matches!(self, Self::Light | Self::Yaml | Self::Json)
    }
}

// === impl DateTime ===

/// A time: RFC 3339 with an offset, such as `2026-01-31T12:00:00Z`.
#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => text.parse().map(Self).map_err(InputValueError::custom),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}
