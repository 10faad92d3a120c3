use async_trait::async_trait;
use bytes::Bytes;

use super::{AppendError, LookupError};
use crate::{Envelope, ExecutionId};

/// Takes whole runs that were exported elsewhere.
#[async_trait]
pub trait Archive: Send + Sync + std::fmt::Debug {
    /// Begins to import the root run `execution`.
    ///
    /// # Errors
    ///
    /// See [`ImportError`].
    async fn import(&self, execution: &ExecutionId) -> Result<Box<dyn Importing>, ImportError>;
}

/// A run that is being imported. Nothing of it is in the log before [`finish`](Self::finish); dropping or
/// [cancelling](Self::cancel) it leaves nothing.
#[async_trait]
pub trait Importing: Send + std::fmt::Debug {
    /// Takes over further events as they are, in their order.
    ///
    /// # Errors
    ///
    /// See [`ImportError`].
    async fn push(&mut self, events: Vec<ArchivedEvent>) -> Result<(), ImportError>;

    /// Ends it. A run whose end was not exported is closed as ABORTED. Returns how many events it has.
    ///
    /// # Errors
    ///
    /// See [`ImportError`].
    async fn finish(self: Box<Self>) -> Result<u64, ImportError>;

    /// Removes what was imported.
    async fn cancel(self: Box<Self>);
}

/// An event of an exported run.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedEvent {
    /// The event, as streams show it.
    pub envelope: Envelope,
    /// The output that did not fit into it.
    pub output: Option<Bytes>,
}

/// Why a run was not imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The id is taken, or was.
    #[error("execution {0} is there already, or was removed from here; nothing was imported")]
    Taken(ExecutionId),
    /// An event is wrong.
    #[error("event {index}: {problem}")]
    Event {
        /// Which, from 1.
        index: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// The log can't be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}
