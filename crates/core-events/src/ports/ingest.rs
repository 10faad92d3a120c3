use async_trait::async_trait;

use super::{AppendError, LookupError, ProducerBatch};
use crate::{Cursor, Envelope, ExecutionId, Seq};

/// Takes the events of outside engines, so that any engine can be watched.
#[async_trait]
pub trait Ingest: Send + Sync + std::fmt::Debug {
    /// Opens a run for an outside engine. Its first event, PENDING with `source: ingest`, is in the log when this returns.
    /// Opening one that an outside engine has open already is no error, so that a producer that starts anew need not know.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    async fn open(&self, run: OpenRun) -> Result<OpenedRun, OpenError>;

    /// Appends events of a run that was opened, next to each other, all or none, and returns when they are committed.
    /// A producer that says nothing for longer than its lease has its run closed as ABORTED; any batch renews the lease.
    ///
    /// # Errors
    ///
    /// See [`IngestError`]; then nothing was appended.
    async fn append(
        &self,
        execution: &ExecutionId,
        events: Vec<Envelope>,
        batch: Option<ProducerBatch>,
    ) -> Result<Ingested, IngestError>;
}

/// A run to open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenRun {
    /// Its id; a new one if it is not given.
    pub execution: Option<ExecutionId>,
    /// The diagram's id, if it has one.
    pub diagram_id: Option<String>,
    /// The diagram's name, or whatever a list of runs is to show.
    pub diagram_name: Option<String>,
}

/// A run that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedRun {
    /// Its id.
    pub execution: ExecutionId,
    /// Whether it was open before.
    pub existed: bool,
}

/// What was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// How many events.
    pub events: usize,
    /// The `seq` of the last of them.
    pub last_seq: Seq,
    /// Its place.
    pub cursor: Cursor,
}

/// Why a run was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The id is taken: by a run of this installation, by one that has ended or was removed, or by part of another.
    #[error("execution {0} is there already, or was; choose another id")]
    Taken(ExecutionId),
    /// There are too many.
    #[error("there are {0} open runs of outside engines already, which is the limit")]
    TooMany(usize),
    /// No runs are opened any more.
    #[error("the server is stopping")]
    Stopping,
    /// The log does not take it at present.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// The log can't be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// Why events were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// No such run.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The run is one of this installation, which reports its events itself.
    #[error("execution {0} was not opened for an outside engine")]
    NotOpened(ExecutionId),
    /// An event is not one that may be appended here.
    #[error("event {}: {problem}", .index + 1)]
    Event {
        /// Which one of the batch, from 0.
        index: usize,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// The log did not take them.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// No events are taken any more.
    #[error("the server is stopping")]
    Stopping,
}
