use serde_json::Value;

use crate::{ExecutionId, Timestamp};

/// Runs that a terminal shows at present, so that a monitor can find them. Several at once; the newest answers.
pub trait CliSessions: Send + Sync + std::fmt::Debug {
    /// Enters a session; one with the same execution is replaced. Beyond a bound the oldest is forgotten.
    fn register(&self, session: NewCliSession) -> CliSession;

    /// Ends the session of `execution`. Returns whether there was one.
    fn unregister(&self, execution: &ExecutionId) -> bool;

    /// The newest session that is there.
    fn active(&self) -> Option<CliSession>;
}

/// A session to enter.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCliSession {
    /// The run.
    pub execution: ExecutionId,
    /// The diagram's name.
    pub diagram_name: String,
    /// The diagram's format: LIGHT, NATIVE, READABLE, YAML or JSON.
    pub diagram_format: String,
    /// The diagram.
    pub diagram_data: Option<Value>,
}

/// A session that was entered.
#[derive(Debug, Clone, PartialEq)]
pub struct CliSession {
    /// `cli_` and the execution's id.
    pub session_id: String,
    /// What was entered.
    pub session: NewCliSession,
    /// When.
    pub started_at: Timestamp,
}
