use std::{ops::RangeInclusive, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::LogStats;
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
    /// This life of the log. It changes when the log had to begin anew while it was open; then listeners are told, and
    /// offsets go on ascending.
    fn epoch(&self) -> Epoch;

    /// The offset of the last record of the committed prefix; 0 if there is none.
    fn head(&self) -> Offset;

    /// Has `listener` called for every record that is committed from now on. Returns the head at that point: what is up
    /// to it must be read, what is behind it will be reported. The listener is dropped with the log.
    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset;

    /// Appends facts of one root run, next to each other, all or none, and returns when they are committed.
    ///
    /// While the log can't store what it takes (see [`health`](Self::health)), [`Unstored`] says what happens to them.
    /// Cancelling it leaves open whether they were appended.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]; then nothing was appended.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

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

    /// Removes a finished root run with everything in it. From now on it is [`LookupError::Deleted`].
    ///
    /// # Errors
    ///
    /// See [`RemoveError`].
    async fn remove(&self, root: &ExecutionId) -> Result<(), RemoveError>;

    /// Excepts a root run from retention, or no longer.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    async fn pin(&self, root: &ExecutionId, pinned: bool) -> Result<(), LookupError>;

    /// What keeps it from storing what it takes; `None` if nothing does.
    fn health(&self) -> Option<LogProblem>;

    /// What it holds.
    fn stats(&self) -> LogStats;
}

/// Is told what became of the log. Called inside the log's critical section: no method may block, or call the log.
pub trait CommitListener: Send + Sync + std::fmt::Debug {
    /// `records` were committed: ascending, each reported once, contiguous but for what [`lost`](Self::lost) told.
    fn committed(&self, records: &[Arc<Record>]);

    /// `records`, which follow the head and what was reported here before, have their place but are not stored: the disk
    /// stalls or fails (the exception of I6). They may be shown, without a cursor. Each of them is reported again, as
    /// committed or as lost, if the process lives to see it.
    fn unstored(&self, records: &[Arc<Record>]);

    /// What lies behind the head up to `up_to` will never be in the log; the head is `up_to` now.
    fn lost(&self, up_to: Offset);

    /// Root run `root` was removed: nothing of it may be shown any more.
    fn removed(&self, root: &ExecutionId);

    /// The log had to begin anew as `epoch`: what was stored before may be gone. Offsets go on.
    fn renewed(&self, epoch: &Epoch);
}

/// Facts to append.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// At least one, all of one root run.
    pub facts: Vec<Fact>,
    /// The batch of a producer that these are, so that they are appended once however often they are sent.
    pub batch: Option<ProducerBatch>,
    /// What to do while the log can't store them.
    pub unstored: Unstored,
}

/// What becomes of facts that can't be stored at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unstored {
    /// They get their place, are shown without a cursor, and are stored when that works again; for runs of our own, which
    /// must not wait for the disk (I12).
    #[default]
    Deliver,
    /// They are refused; for a producer that can send them again.
    Refuse,
}

/// Names a batch of a producer, for each root run by itself. The protocol is that of Durable Streams, section 5.2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The producer, in its own words; at most 256 bytes.
    pub producer: Arc<str>,
    /// Grows whenever the producer starts anew; a lower one than the latest is fenced off.
    pub epoch: u64,
    /// Numbers the batches of an epoch from 0.
    pub seq: u64,
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
    /// Whether they are committed; else the disk keeps them waiting, and what they say may be forgotten by a restart.
    pub stored: bool,
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
    /// Only runs without a terminal event.
    pub unfinished: bool,
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
    /// Who runs it, if it is not this installation: `ingest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether it is excepted from retention.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
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
    /// The batch was appended before; nothing is to be done.
    #[error("batch {seq} of the producer was appended before")]
    Repeated {
        /// The batch's number.
        seq: u64,
    },
    /// A newer life of the producer has appended.
    #[error("the producer's epoch is {current} by now; this one may not append any more")]
    Fenced {
        /// The latest epoch.
        current: u64,
    },
    /// The batch is not the next one.
    #[error("batch {got} of the producer is not the next one; {expected} is expected")]
    OutOfOrder {
        /// The next one.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// Too much waits to be stored; come back soon.
    #[error("too much waits to be stored; send it again in a moment")]
    Busy,
    /// The log can't take anything at present.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
}

/// Why a run was not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// No such execution.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It goes on.
    #[error("execution {0} has not ended; abort it first")]
    Running(ExecutionId),
    /// It is part of another.
    #[error("execution {execution} is a part of {root}; remove that")]
    NotARoot {
        /// The execution.
        execution: ExecutionId,
        /// The execution at the top.
        root: ExecutionId,
    },
}

/// What keeps a log from storing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogProblem {
    /// Which kind.
    pub kind: LogProblemKind,
    /// In the words of whoever noticed it; no path of the machine.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
    /// Events that wait to be stored.
    pub waiting: u64,
    /// Events that were given up since it was opened: no room was left for them.
    pub lost: u64,
}

/// Kinds of [`LogProblem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogProblemKind {
    /// A commit takes longer than the bound.
    Stalled,
    /// The disk is full.
    Full,
    /// The store can't be written.
    ReadOnly,
    /// Another process holds the store.
    Locked,
    /// The store is damaged.
    Corrupt,
    /// Anything else.
    Io,
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

// === impl Append ===

impl From<Vec<Fact>> for Append {
    fn from(facts: Vec<Fact>) -> Self {
        Self { facts, batch: None, unstored: Unstored::Deliver }
    }
}

// === impl ProducerBatch ===

impl ProducerBatch {
    /// Whether it is the next one behind `last`, the (epoch, seq) of the latest batch of its producer in the run.
    ///
    /// # Errors
    ///
    /// [`AppendError::Fenced`], [`AppendError::Repeated`] or [`AppendError::OutOfOrder`].
    pub fn follows(&self, last: Option<(u64, u64)>) -> Result<(), AppendError> {
        let expected = match last {
            Some((epoch, _)) if self.epoch < epoch => return Err(AppendError::Fenced { current: epoch }),
            Some((epoch, seq)) if self.epoch == epoch && self.seq <= seq => {
                return Err(AppendError::Repeated { seq: self.seq });
            }
            Some((epoch, seq)) if self.epoch == epoch => seq + 1,
            // A new epoch begins with its first batch.
            _ => 0,
        };
        if self.seq == expected { Ok(()) } else { Err(AppendError::OutOfOrder { expected, got: self.seq }) }
    }
}
