//! The log in memory.

mod runs;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use core_events::{
    Cursor, Epoch, ExecutionId, ExecutionState, Offset, Seq, inline_output,
    ports::{
        Append, AppendError, Appended, CommitListener, EventLog, ExecutionInfo, ListQuery, LogProblem,
        LogStats, LookupError, Pruned, ReadBatch, ReadError, ReadRange, RemoveError, RunSummary, Scope,
    },
};
use parking_lot::{Mutex, RwLock};

use self::runs::Runs;
use crate::window::{Bounds, Keep, Span, Window};

/// How much a [`MemoryLog`] keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLogOptions {
    /// Records of all runs together.
    pub records: usize,
    /// Bytes of all records together, by [`Record::footprint`](core_events::Record::footprint).
    pub bytes: usize,
    /// Records of any one run; `None` for no bound but the common one.
    pub records_per_run: Option<usize>,
    /// Finished runs. One that is beyond it is removed, its state and its last records with it.
    pub finished_runs: usize,
    /// Bytes of the states of finished runs, about; beyond it, runs are removed as beyond `finished_runs`.
    pub state_bytes: usize,
}

/// An [`EventLog`] that lives and dies with the process.
///
/// # Ordering
///
/// One append after the other: offsets have no hole over all runs, `seq` has none within a root run (I1).
///
/// # Lagging
///
/// It is bounded by [`MemoryLogOptions`]. Finished runs go first, the one that finished first ahead of the others, oldest
/// records first; then the oldest records of all. A terminal event stays as long as its run's state (I4), beside the bounds on
/// records; the state stays until the run has finished and `finished_runs` others, or others with states of `state_bytes`,
/// finished after it. Then the run is [`LookupError::Deleted`]; of runs that were removed only so many are remembered, older ones are unknown.
///
/// # Closing
///
/// Nothing may follow a terminal event: that of the root ends all of its run, that of a sub-run the sub-run (I9).
#[derive(Debug)]
pub struct MemoryLog {
    epoch: Epoch,
    options: MemoryLogOptions,
    /// Held while an append gets its place, becomes visible and is reported, so that all three have one order, and a
    /// listener joins between two appends. Readers don't take it.
    listeners: Mutex<Vec<Arc<dyn CommitListener>>>,
    /// Written under `listeners` only.
    data: RwLock<Data>,
}

#[derive(Debug)]
struct Data {
    window: Window,
    runs: Runs,
}

// === impl MemoryLogOptions ===

impl Default for MemoryLogOptions {
    fn default() -> Self {
        Self {
            records: 100_000,
            bytes: 64 * 1024 * 1024,
            records_per_run: None,
            finished_runs: 1_000,
            state_bytes: 64 * 1024 * 1024,
        }
    }
}

// === impl MemoryLog ===

impl MemoryLog {
    /// An empty log with a new epoch.
    #[must_use]
    pub fn new(options: MemoryLogOptions) -> Self {
        let bounds = Bounds {
            records: options.records,
            bytes: options.bytes,
            records_per_run: options.records_per_run,
        };
        Self {
            epoch: Epoch::random(),
            options,
            listeners: Mutex::new(Vec::new()),
            data: RwLock::new(Data { window: Window::new(bounds, Keep::Ends), runs: Runs::default() }),
        }
    }

    fn commit(&self, append: Append) -> Result<Appended, AppendError> {
        let Append { facts, batch, .. } = append;
        let listeners = self.listeners.lock();
        let (seq, head) = {
            let data = self.data.read();
            (data.runs.check(&facts, batch.as_ref())?, data.window.head())
        };
        let mut envelopes = Vec::with_capacity(facts.len());
        let mut records = Vec::with_capacity(facts.len());
        for (place, fact) in (1..).zip(facts) {
            let (envelope, record) = fact.seal(seq + place, head + place)?;
            envelopes.push(envelope);
            records.push(Arc::new(record));
        }
        {
            let mut data = self.data.write();
            let Data { window, runs } = &mut *data;
            for (envelope, record) in envelopes.iter().zip(&records) {
                runs.apply(envelope, record);
            }
            if let (Some(batch), Some(record)) = (&batch, records.first()) {
                runs.note(&record.root, batch);
            }
            window.extend(&records);
            for removed in runs.retire(self.options.finished_runs, self.options.state_bytes) {
                window.remove(&removed);
            }
        }
        for listener in listeners.iter() {
            listener.committed(&records);
        }
        Ok(Appended { records, stored: true })
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new(MemoryLogOptions::default())
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn epoch(&self) -> Epoch {
        self.epoch.clone()
    }

    fn head(&self) -> Offset {
        self.data.read().window.head()
    }

    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset {
        let mut listeners = self.listeners.lock();
        listeners.push(listener);
        self.data.read().window.head()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.commit(append)
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        let ReadRange { scope, after, up_to, max_records, max_bytes } = range;
        let data = self.data.read();
        let mut records = Vec::new();
        let mut found = data.window.read(&scope, Span { after, up_to, max_records, max_bytes }, &mut records);
        // Of a run that was removed the window knows nothing more.
        if let Scope::Run(root) = &scope
            && let Some((first, last)) = data.runs.removed_range(root)
        {
            let (first, last) = (first.max(after.saturating_add(1)), last.min(up_to));
            found.pruned = (first <= last).then_some(first..=last);
        }
        Ok(ReadBatch {
            pruned: found.pruned.map(|offsets| Pruned { offsets }),
            records,
            scanned_to: found.scanned_to,
        })
    }

    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        self.data.read().runs.info(execution)
    }

    async fn state(&self, execution: &ExecutionId) -> Result<(ExecutionState, Cursor), LookupError> {
        let data = self.data.read();
        let state = data.runs.state(execution)?.clone();
        Ok((state, self.epoch.at(data.window.head())))
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        Ok(self.data.read().runs.list(query))
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Option<Bytes>, LookupError> {
        let record = {
            let data = self.data.read();
            let root = data.runs.info(execution)?.root;
            data.window.by_seq(&root, seq).cloned()
        };
        Ok(record.and_then(|record| {
            let inline = || inline_output(&record.json).map(|json| record.json.slice_ref(json));
            record.attachment.clone().or_else(inline)
        }))
    }

    async fn remove(&self, root: &ExecutionId) -> Result<(), RemoveError> {
        let listeners = self.listeners.lock();
        {
            let mut data = self.data.write();
            data.runs.remove(root)?;
            data.window.remove(root);
        }
        listeners.iter().for_each(|listener| listener.removed(root));
        Ok(())
    }

    async fn pin(&self, root: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        self.data.write().runs.pin(root, pinned)
    }

    fn health(&self) -> Option<LogProblem> {
        None
    }

    fn stats(&self) -> LogStats {
        let data = self.data.read();
        LogStats {
            runs: data.runs.len(),
            runs_by_status: data.runs.by_status(),
            pinned: data.runs.pinned(),
            records: data.window.records(),
            bytes: data.window.bytes(),
            appended: data.window.head(),
            pruned: data.window.evicted(),
            oldest: None,
            store: None,
        }
    }
}

#[cfg(test)]
mod tests;
