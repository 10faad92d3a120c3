use async_trait::async_trait;

use super::{AppendError, Appended, StreamSource};
use crate::{CallbackContext, EndReason, Fact, Progress};

/// Takes the events of all runs and hands them to whoever reads.
///
/// The guide's `broadcast_to_execution` is [`publish`](Self::publish), its `register_connection` is
/// [`subscribe`](StreamSource::subscribe), whose value unregisters when it is dropped.
#[async_trait]
pub trait MessageRouter: StreamSource {
    /// Appends `facts`, all of one root run, to the log and wakes the readers. Never waits for one (I4).
    ///
    /// # Errors
    ///
    /// What the log said; then nothing was published.
    async fn publish(&self, facts: Vec<Fact>) -> Result<Appended, AppendError>;

    /// Tells the readers of a run that a node's output grew. Ephemeral: coalesced under pressure, its accumulated text
    /// sent once to late joiners, forgotten when the node ends (I8).
    fn publish_progress(&self, cx: &CallbackContext, progress: &Progress);

    /// Ends all streams with `reason` and opens none from now on.
    fn close(&self, reason: EndReason);

    /// What it does at present.
    fn stats(&self) -> RouterStats;
}

/// Figures of a router; the guide's `get_stats`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct RouterStats {
    /// Open subscriptions.
    pub subscriptions: usize,
    /// Executions with at least one.
    pub watched_executions: usize,
    /// Views: combinations of scope, filter and encoder that are shared at present.
    pub views: usize,
    /// Bytes that the views hold.
    pub view_bytes: usize,
    /// Records in the committed tail.
    pub tail_records: usize,
    /// Bytes in the committed tail.
    pub tail_bytes: usize,
    /// Records published through this router.
    pub published: u64,
    /// Publishes that failed.
    pub publish_errors: u64,
    /// Events handed to readers.
    pub delivered: u64,
    /// Bytes of them, encoded.
    pub delivered_bytes: u64,
    /// Gaps told to readers.
    pub gaps: GapCounts,
    /// How far the reader that is farthest behind is behind the last event that it wants, in positions of the log.
    pub lag_max: u64,
    /// The same of all readers together.
    pub lag_sum: u64,
}

/// How many gaps there were for each reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct GapCounts {
    /// The log no longer held the events.
    pub evicted: u64,
    /// The cursor was of another life of the log.
    pub foreign_epoch: u64,
    /// The cursor pointed behind the end of the log.
    pub future_cursor: u64,
}
