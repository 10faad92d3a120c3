//! What mutations say: refusals are part of the result, as the original's clients expect them.

use async_graphql::{ID, InputObject, SimpleObject};
use core_events::ports::{ControlError, DiagramError, LookupError, StartError};
use serde_json::Value;

use super::{executions::ExecutionStateType, scalars::DiagramFormat};

/// What to run: `diagram_data` or `diagram_id`.
#[derive(InputObject, Debug)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct ExecuteDiagramInput {
    /// Has no effect.
    pub(crate) debug_mode: Option<bool>,
    /// A diagram of the light format, as JSON.
    pub(crate) diagram_data: Option<Value>,
    /// A diagram of the base directory; with `diagram_data`, what to call that.
    pub(crate) diagram_id: Option<ID>,
    /// Has no effect: nodes have limits of their own.
    pub(crate) max_iterations: Option<i32>,
    /// Stops the run after this time.
    pub(crate) timeout_seconds: Option<i32>,
    /// Which monitoring path serves the run: true for the unified one, false for the legacy one.
    pub(crate) use_unified_monitoring: Option<bool>,
    /// The execution's variables: an object.
    pub(crate) variables: Option<Value>,
}

/// A wish for a run.
#[derive(InputObject, Debug)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct ExecutionControlInput {
    /// `abort`.
    pub(crate) action: String,
    /// Which.
    pub(crate) execution_id: ID,
    /// Why.
    pub(crate) reason: Option<String>,
}

/// A run that a terminal shows.
#[derive(InputObject, Debug)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct RegisterCliSessionInput {
    /// The run.
    pub(crate) execution_id: ID,
    /// The diagram's name.
    pub(crate) diagram_name: String,
    /// The diagram's format.
    pub(crate) diagram_format: DiagramFormat,
    /// The diagram.
    pub(crate) diagram_data: Option<Value>,
}

/// A run that no terminal shows any more.
#[derive(InputObject, Debug)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct UnregisterCliSessionInput {
    /// The run.
    pub(crate) execution_id: ID,
}

/// What became of a wish that is about an execution.
#[derive(SimpleObject, Debug, Default)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct ExecutionResult {
    /// Whether it was done.
    pub(crate) success: bool,
    /// What was done.
    pub(crate) message: Option<String>,
    /// Why it was not.
    pub(crate) error: Option<String>,
    /// Why it was not, for a program: ValidationError, NotFoundError, ConflictError, NotImplementedError or UnavailableError.
    pub(crate) error_type: Option<String>,
    /// Always null.
    pub(crate) envelope: Option<Value>,
    /// The execution.
    pub(crate) data: Option<ExecutionStateType>,
}

/// What became of a session.
#[derive(SimpleObject, Debug, Default)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct CliSessionResult {
    /// Whether it was done.
    pub(crate) success: bool,
    /// What was done.
    pub(crate) message: Option<String>,
    /// Why it was not.
    pub(crate) error: Option<String>,
    /// Why it was not, for a program: ValidationError or NotFoundError.
    pub(crate) error_type: Option<String>,
    /// Always null.
    pub(crate) envelope: Option<Value>,
    /// The session.
    pub(crate) data: Option<Value>,
    /// The session's id.
    pub(crate) session_id: Option<String>,
    /// The run.
    pub(crate) execution_id: Option<String>,
}

/// Why a mutation did nothing.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self { kind: "ValidationError", text: text.into() }
    }

    pub(crate) fn missing(text: impl Into<String>) -> Self {
        Self { kind: "NotImplementedError", text: text.into() }
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Diagram(faults) => {
                return Self::invalid(format!("{error}:\n{}", faults.join("\n")));
            }
            StartError::BaseDir(_) => "ValidationError",
            StartError::NoPath(_) => "NotImplementedError",
            StartError::Stopping | StartError::TooMany(_) | StartError::Log(_) => "UnavailableError",
        };
        Self { kind, text: error.to_string() }
    }
}

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Self {
        let kind = match error {
            LookupError::Unknown(_) | LookupError::Deleted(_) => "NotFoundError",
            LookupError::Unavailable(_) => "UnavailableError",
        };
        Self { kind, text: error.to_string() }
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Lookup(error) => error.into(),
            ControlError::Ended(_) => Self { kind: "ConflictError", text: error.to_string() },
        }
    }
}

impl From<DiagramError> for Refusal {
    fn from(error: DiagramError) -> Self {
        let kind = match error {
            DiagramError::Unknown(_) => "NotFoundError",
            DiagramError::Unreadable { .. } => "UnavailableError",
        };
        Self { kind, text: error.to_string() }
    }
}

// === impl ExecutionResult, CliSessionResult ===

impl From<Refusal> for ExecutionResult {
    fn from(refusal: Refusal) -> Self {
        Self { error: Some(refusal.text), error_type: Some(refusal.kind.to_owned()), ..Self::default() }
    }
}

impl From<Refusal> for CliSessionResult {
    fn from(refusal: Refusal) -> Self {
        Self { error: Some(refusal.text), error_type: Some(refusal.kind.to_owned()), ..Self::default() }
    }
}
