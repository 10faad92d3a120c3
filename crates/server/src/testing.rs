//! What the tests of this crate share.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use core_events::{
    Cursor, Epoch, ExecutionId, ExecutionState, Offset, Seq,
    ports::{
        Append, AppendError, Appended, CommitListener, EventLog, ExecutionInfo, ListQuery, LogProblem,
        LogStats, LookupError, ReadBatch, ReadError, ReadRange, RemoveError, RunSummary,
    },
};
use parking_lot::Mutex;
use router::MemoryLog;

/// A log that says of itself what a test wants it to say.
#[derive(Debug, Default)]
pub(crate) struct ToldLog {
    inner: MemoryLog,
    pub(crate) problem: Mutex<Option<LogProblem>>,
    pub(crate) stats: Mutex<LogStats>,
}

#[async_trait]
impl EventLog for ToldLog {
    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn head(&self) -> Offset {
        self.inner.head()
    }

    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset {
        self.inner.follow(listener)
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.inner.append(append).await
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        self.inner.read(range).await
    }

    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        self.inner.find(execution).await
    }

    async fn state(&self, execution: &ExecutionId) -> Result<(ExecutionState, Cursor), LookupError> {
        self.inner.state(execution).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        self.inner.list(query).await
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Option<Bytes>, LookupError> {
        self.inner.output(execution, seq).await
    }

    async fn remove(&self, root: &ExecutionId) -> Result<(), RemoveError> {
        self.inner.remove(root).await
    }

    async fn pin(&self, root: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        self.inner.pin(root, pinned).await
    }

    fn health(&self) -> Option<LogProblem> {
        self.problem.lock().clone()
    }

    fn stats(&self) -> LogStats {
        self.stats.lock().clone()
    }
}
