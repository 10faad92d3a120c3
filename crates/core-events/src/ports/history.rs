use std::sync::Arc;

use async_trait::async_trait;

use super::{ExecutionSnapshot, LogProblem, LogStats, LookupError, ReadError, RemoveError, Start};
use crate::{Cursor, ExecutionId, Filter, Gap, Record};

/// Looks into what the log holds, at any point of it, and decides what it keeps.
#[async_trait]
pub trait History: Send + Sync + std::fmt::Debug {
    /// Events of an execution, oldest first, a page at a time. On a root run those of its sub-runs are among them.
    ///
    /// # Resuming
    ///
    /// [`EventPage::next`] is where the next page starts, and where a stream goes on (I7).
    ///
    /// # Errors
    ///
    /// See [`HistoryError`].
    async fn events(&self, query: EventsQuery) -> Result<EventPage, HistoryError>;

    /// The state of an execution as it was at `at`: the fold of its events up to there (I2).
    ///
    /// # Errors
    ///
    /// See [`HistoryError`].
    async fn state_at(&self, execution: &ExecutionId, at: &Cursor)
    -> Result<ExecutionSnapshot, HistoryError>;

    /// Removes a finished run with everything in it.
    ///
    /// # Errors
    ///
    /// See [`RemoveError`].
    async fn remove(&self, execution: &ExecutionId) -> Result<(), RemoveError>;

    /// Excepts a run from retention, or no longer.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    async fn pin(&self, execution: &ExecutionId, pinned: bool) -> Result<(), LookupError>;

    /// What the log holds.
    fn stats(&self) -> LogStats;

    /// What keeps the log from storing what it takes; `None` if nothing does.
    fn health(&self) -> Option<LogProblem>;
}

/// Which events.
#[derive(Debug, Clone)]
pub struct EventsQuery {
    /// Whose.
    pub execution: ExecutionId,
    /// From where; behind the last event there is an empty page.
    pub start: Start,
    /// Only these.
    pub filter: Filter,
    /// At most so many.
    pub max_events: usize,
    /// Stop when they have so many bytes; at least one is given if there is one.
    pub max_bytes: usize,
}

/// Some events of an execution.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// A part that the log no longer holds, in front of `events`.
    pub gap: Option<Gap>,
    /// The events, ascending, each with its place.
    pub events: Vec<(Cursor, Arc<Record>)>,
    /// Where the next page starts.
    pub next: Cursor,
    /// Whether there is nothing behind `next` at present.
    pub at_head: bool,
    /// Whether there will never be anything behind `next`: the execution has ended there.
    pub ended: bool,
}

/// Why there is no look into the past.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// No such execution.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The cursor is of another life of the log.
    #[error(
        "cursor {0} is of another life of the log, and means nothing in this one; start from the beginning"
    )]
    ForeignEpoch(Cursor),
    /// The cursor points behind the end of the log.
    #[error("cursor {0} points behind the end of the log")]
    FutureCursor(Cursor),
    /// Part of what is needed is no longer kept.
    #[error("execution {0} is no longer kept as a whole, so that its state at an earlier point is not known")]
    Incomplete(ExecutionId),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
