//! Reading from the store, past the writer.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use core_events::{
    ExecutionId, ExecutionState, Offset, Seq,
    ports::{ExecutionInfo, ListQuery, LookupError, ReadBatch, ReadError, ReadRange, RunSummary},
};
use rusqlite::Connection;

use crate::{
    StoreOptions,
    lookups::{self, Found},
    pool::{Pool, Unreadable},
    range,
    states::{Folded, Folding, Key, States},
};

/// What the store tells: all of it committed, none of it of a run that was removed.
///
/// Each request is answered from one state of the store. Cancelling one is safe: it is passed over.
#[derive(Debug)]
pub(crate) struct Readers {
    pool: Pool,
    states: States,
}

// === impl Readers ===

impl Readers {
    /// Readers of the store at `path`, which is opened when it is first needed. `damaged` is called whenever it turns out to be
    /// damaged.
    pub(crate) fn open(
        path: PathBuf,
        options: &StoreOptions,
        damaged: Arc<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        let pool = Pool::start(path, options.readers, damaged);
        Arc::new(Self { pool, states: States::new(options.state_cache_bytes) })
    }

    /// Has `look` done on a connection that can't write.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        Ok(self.pool.ask(|connection| Ok(look(connection)?)).await?)
    }

    /// As [`EventLog::read`](core_events::ports::EventLog::read), up to `head` at most; see [`range::read`].
    pub(crate) async fn read(&self, mut range: ReadRange, head: Offset) -> Result<ReadBatch, ReadError> {
        range.up_to = range.up_to.min(head);
        Ok(self.pool.ask(move |connection| Ok(range::read(connection, &range)?)).await?)
    }

    /// Where an execution is.
    pub(crate) async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        let found = self.look_up(execution).await?;
        found.kept(execution).map(|kept| kept.info)
    }

    /// The fold of all events of an execution up to `head`.
    pub(crate) async fn state(
        &self,
        execution: &ExecutionId,
        head: Offset,
    ) -> Result<ExecutionState, LookupError> {
        let kept = self.look_up(execution).await?.kept(execution)?;
        let root = &kept.info.root;
        if kept.over.is_none_or(|end| end > head) {
            // It goes on: what is folded now is not for others.
            return self.fold(execution, kept.run, root, head).await;
        }
        let key: Key = (kept.run, execution.clone());
        let cell = self.states.cell(&key);
        let fold = async || self.fold(execution, kept.run, root, head).await.map(Arc::new);
        let state = cell.get_or_try_init(fold).await.map(|state| ExecutionState::clone(state));
        self.states.settle(&key, &cell);
        state
    }

    /// Root runs, newest first.
    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        let query = query.clone();
        Ok(self.pool.ask(move |connection| Ok(lookups::list(connection, &query)?)).await?)
    }

    /// As [`EventLog::output`](core_events::ports::EventLog::output), of events up to `head`.
    pub(crate) async fn output(
        &self,
        execution: &ExecutionId,
        seq: Seq,
        head: Offset,
    ) -> Result<Option<Bytes>, LookupError> {
        let execution = execution.clone();
        self.pool.ask(move |connection| Ok(lookups::output(connection, &execution, seq, head)?)).await?
    }

    /// Another file is where the store was: forgets what was known of the old one. What is being read is still of that.
    pub(crate) fn renew(&self) {
        self.pool.reopen();
        self.states.clear();
    }

    /// The run of `root` was removed.
    pub(crate) fn forget(&self, root: &ExecutionId) {
        self.states.forget(root);
    }

    /// Answers what was asked by now, and no more.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// Requests answered so far.
    pub(crate) fn reads(&self) -> u64 {
        self.pool.reads()
    }

    /// Bytes that were taken from files so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.pool.bytes_read()
    }

    async fn look_up(&self, execution: &ExecutionId) -> Result<Found, Unreadable> {
        let execution = execution.clone();
        self.pool.ask(move |connection| Ok(lookups::find(connection, &execution)?)).await
    }

    async fn fold(
        &self,
        execution: &ExecutionId,
        run: i64,
        root: &ExecutionId,
        head: Offset,
    ) -> Result<ExecutionState, LookupError> {
        let mut folding = Folding::new(execution.clone());
        loop {
            let root = root.clone();
            match self.pool.ask(move |connection| folding.step(connection, run, &root, head)).await? {
                Folded::Part(part) => folding = part,
                Folded::Whole(state) => return Ok(state),
                Folded::Removed => return Err(LookupError::Deleted(execution.clone())),
            }
        }
    }
}

// === impl Unreadable ===

impl From<Unreadable> for ReadError {
    fn from(error: Unreadable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Unreadable> for LookupError {
    fn from(error: Unreadable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests;
