use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::{ListQuery, LookupError, ReadError, RunSummary};
use crate::{Cursor, ExecutionId, ExecutionState, Seq};

/// Starts, controls and looks up executions.
#[async_trait]
pub trait Executions: Send + Sync + std::fmt::Debug {
    /// Starts a run and returns when its first event is in the log.
    ///
    /// Cancelling it does not stop a run that has started.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; then there is no run.
    async fn start(&self, request: StartExecution) -> Result<StartedExecution, StartError>;

    /// Controls a run, and returns when the engine has taken the wish.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    async fn control(&self, execution: &ExecutionId, control: Control) -> Result<(), ControlError>;

    /// The state of an execution.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    async fn get(&self, execution: &ExecutionId) -> Result<ExecutionSnapshot, LookupError>;

    /// Root runs, newest first.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unavailable`].
    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError>;

    /// The output of the node whose end is event `seq`, as JSON.
    ///
    /// # Errors
    ///
    /// See [`OutputError`].
    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Bytes, OutputError>;
}

/// What to run.
#[derive(Debug, Clone)]
pub struct StartExecution {
    /// The diagram.
    pub diagram: DiagramSource,
    /// The execution's variables.
    pub inputs: Map<String, Value>,
    /// Stops the run after this time.
    pub timeout: Option<Duration>,
    /// The path that serves it; the default if it is not given. The guide's `use_unified_monitoring`.
    pub path: Option<MonitoringPath>,
}

/// Which of the two monitoring paths serves a run. Its facts are in the log on either (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MonitoringPath {
    /// `UnifiedEventObserver` and the `MessageRouter` of the log.
    Unified,
    /// `MonitoringStreamObserver` for SSE and `EventPublishingObserver` for GraphQL.
    Legacy,
}

impl MonitoringPath {
    /// The cargo feature that compiles it in.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unified => "unified",
            Self::Legacy => "legacy",
        }
    }
}

impl std::fmt::Display for MonitoringPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A diagram, as text.
#[derive(Debug, Clone)]
pub struct DiagramSource {
    /// The text, in the light format.
    pub text: String,
    /// What to call it in errors: usually its file name.
    pub name: String,
    /// Relative paths in it start here; the server's own base directory if it is not given.
    pub base_dir: Option<PathBuf>,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedExecution {
    /// Its id.
    pub execution: ExecutionId,
    /// What the compiler had to say of the diagram, a line each.
    pub warnings: Vec<String>,
    /// The path that serves it.
    pub path: MonitoringPath,
}

/// A wish for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// End it.
    Abort {
        /// Why, in the words of whoever wishes it.
        reason: String,
    },
}

/// The state of an execution at a cursor: a stream that starts there goes on where it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionSnapshot {
    /// The fold.
    pub state: ExecutionState,
    /// Up to here.
    pub cursor: Cursor,
}

/// Why no run was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The diagram is wrong; one text per fault, each with its place.
    #[error("the diagram has {} fault(s)", .0.len())]
    Diagram(Vec<String>),
    /// The base directory is none.
    #[error("{0}")]
    BaseDir(String),
    /// The path asked for is not compiled in.
    #[error(
        "the {0} monitoring path is not compiled in; build with the cargo feature `{0}`, or ask for the other one"
    )]
    NoPath(MonitoringPath),
    /// No runs are started any more.
    #[error("the server is stopping")]
    Stopping,
    /// There are too many.
    #[error("there are {0} runs already, which is the limit")]
    TooMany(usize),
    /// The first event was refused.
    #[error("the run could not be recorded: {0}")]
    Log(String),
}

/// Why a wish was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No such execution.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It is over.
    #[error("execution {0} has already ended")]
    Ended(ExecutionId),
}

/// Why there is no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// No such execution.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The event is not there, or has no output.
    #[error(
        "event {seq} of execution {execution} has no output; `output_ref` of a node's end event names the right place"
    )]
    None {
        /// The execution.
        execution: ExecutionId,
        /// The event.
        seq: Seq,
    },
}
