use std::{ops::RangeInclusive, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Cursor, Epoch, ExecutionId, ExecutionState, ExecutionStatus, Fact, Offset, Record, Seq, Timestamp,
    TooLarge,
};

/// The log of all runs: the only place that gives events their (seq, offset) (I1), and the truth for every reader.
///
/// It may be written by another process too; nothing above this port assumes otherwise.
///
/// # Ordering
///
/// Offsets ascend over all runs; within a root run `seq` is gapless from 1 and ascends with the offset. Readers and
/// listeners see only the contiguous committed prefix.
#[async_trait]
pub trait EventLog: Send + Sync + std::fmt::Debug {
    /// This life of the log.
    fn epoch(&self) -> Epoch;

    /// The offset of the last record of the committed prefix; 0 if there is none.
    fn head(&self) -> Offset;

    /// Has `listener` called for every record that is committed from now on. Returns the head at that point: what is up
    /// to it must be read, what is behind it will be reported. The listener is dropped with the log.
    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset;

    /// Appends `facts`, all of one root run, next to each other, all or none, and returns when they are committed.
    ///
    /// Cancelling it leaves open whether they were appended.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]; then nothing was appended.
    async fn append(&self, facts: Vec<Fact>) -> Result<Appended, AppendError>;

    /// Reads the records of `range`, oldest first.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError>;

    /// Where an execution is.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError>;

    /// The fold of all events of an execution (I2), and the cursor up to which it goes.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    async fn state(&self, execution: &ExecutionId) -> Result<(ExecutionState, Cursor), LookupError>;

    /// Root runs, newest first.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unavailable`].
    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError>;

    /// The output that was too large for the event `seq` of the root run that `execution` belongs to; else that event's own `output`.
    /// `None` if there is no such event, or it has no output.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Option<Bytes>, LookupError>;

    /// What it holds.
    fn stats(&self) -> LogStats;
}

/// Is told what was committed.
pub trait CommitListener: Send + Sync + std::fmt::Debug {
    /// `records` were committed: contiguous, ascending, each reported once. Called inside the log's critical section:
    /// it must not block, and must not call the log.
    fn committed(&self, records: &[Arc<Record>]);
}

/// Whose records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those of one root run, sub-runs included.
    Run(ExecutionId),
    /// All.
    All,
}

/// What to read.
#[derive(Debug, Clone)]
pub struct ReadRange {
    /// Whose records.
    pub scope: Scope,
    /// Only behind this position.
    pub after: Offset,
    /// At most up to this position.
    pub up_to: Offset,
    /// At most so many records.
    pub max_records: usize,
    /// Stop when the records have so many bytes; at least one record is returned if there is one.
    pub max_bytes: usize,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct ReadBatch {
    /// Records that the log no longer holds, in front of `records`: nothing of `records` lies before its end.
    pub pruned: Option<Pruned>,
    /// The records, ascending. They end before the next pruned range.
    pub records: Vec<Arc<Record>>,
    /// Everything in scope up to here is in `pruned` or `records`.
    pub scanned_to: Offset,
}

/// A range that the log no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// First and last offset that are gone (of the scope: others between them may belong to other runs).
    pub offsets: RangeInclusive<Offset>,
}

/// What an append gave.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The records, in the order of the facts.
    pub records: Vec<Arc<Record>>,
}

/// Where an execution is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionInfo {
    /// The execution at the top; the id asked for, on a root run.
    pub root: ExecutionId,
    /// The position of its terminal event, if it ended.
    pub ended: Option<Offset>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only runs with this status.
    pub status: Option<ExecutionStatus>,
    /// Only runs that began before this one did (its id), for paging.
    pub before: Option<ExecutionId>,
    /// At most so many.
    pub limit: usize,
}

/// One line in a list of runs: a rebuildable cache of the fold (I2).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunSummary {
    /// Which.
    pub execution_id: ExecutionId,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// The diagram's id.
    pub diagram_id: Option<String>,
    /// The diagram's name.
    pub diagram_name: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// How many nodes have each status.
    pub nodes: std::collections::BTreeMap<String, usize>,
    /// How many nodes failed and count as failed.
    pub failed_nodes: usize,
    /// Events of the root run so far.
    pub events: u64,
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct LogStats {
    /// Root runs.
    pub runs: usize,
    /// Records held.
    pub records: usize,
    /// Bytes held.
    pub bytes: usize,
    /// Records appended since it was opened.
    pub appended: u64,
    /// Records that it no longer holds.
    pub pruned: u64,
}

/// Why an append failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The execution ended; nothing may follow (I9).
    #[error("execution {0} has ended, nothing may follow its terminal event")]
    Ended(ExecutionId),
    /// An event is larger than the wire contract allows.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The facts are of several root runs, or there are none.
    #[error("an append takes at least one fact, all of one root run")]
    Mixed,
    /// The log can't take anything at present.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log can't be read at present.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
}

/// Why an execution was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nobody ever saw it.
    #[error("there is no execution {0}")]
    Unknown(ExecutionId),
    /// It was there, and was removed.
    #[error("execution {0} is no longer kept")]
    Deleted(ExecutionId),
    /// The log can't be read at present.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
}
