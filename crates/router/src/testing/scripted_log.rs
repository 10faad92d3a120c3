//! A log that does what a test tells it: takes, stores, stalls, loses, removes, begins anew.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use core_events::{
    Cursor, Epoch, ExecutionId, ExecutionState, Fact, Offset, Record, Seq,
    ports::{
        Append, AppendError, Appended, CommitListener, EventLog, ExecutionInfo, ListQuery, LogProblem,
        LogStats, LookupError, Pruned, ReadBatch, ReadError, ReadRange, RemoveError, RunSummary, Scope,
    },
};
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct ScriptedLog {
    script: Mutex<Script>,
    listener: Mutex<Option<Arc<dyn CommitListener>>>,
    /// How often a read lets others go first.
    pub(crate) yields: usize,
    pub(crate) fails: AtomicBool,
    pub(crate) reads: AtomicUsize,
    pub(crate) records_read: AtomicUsize,
}

#[derive(Debug)]
struct Script {
    epoch: Epoch,
    /// Everything that has its place.
    all: Vec<Arc<Record>>,
    head: Offset,
    /// Up to here it was reported as not stored.
    shown: Offset,
    gone: BTreeSet<Offset>,
    removed: BTreeSet<ExecutionId>,
    seqs: HashMap<ExecutionId, Seq>,
}

impl ScriptedLog {
    pub(crate) fn new(yields: usize) -> Self {
        Self {
            script: Mutex::new(Script {
                epoch: Epoch::parse("epoch0").unwrap(),
                all: Vec::new(),
                head: 0,
                shown: 0,
                gone: BTreeSet::new(),
                removed: BTreeSet::new(),
                seqs: HashMap::new(),
            }),
            listener: Mutex::new(None),
            yields,
            fails: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            records_read: AtomicUsize::new(0),
        }
    }

    fn tell(&self, tell: impl FnOnce(&dyn CommitListener)) {
        if let Some(listener) = &*self.listener.lock() {
            tell(&**listener);
        }
    }

    /// Gives a fact its place.
    pub(crate) fn place(&self, fact: Fact) -> Arc<Record> {
        let mut script = self.script.lock();
        let seq = script.seqs.entry(fact.context.root.clone()).or_default();
        *seq += 1;
        let (seq, offset) = (*seq, script.all.len() as Offset + 1);
        let record = Arc::new(fact.seal(seq, offset).unwrap().1);
        script.all.push(Arc::clone(&record));
        record
    }

    pub(crate) fn all(&self) -> Vec<Arc<Record>> {
        self.script.lock().all.clone()
    }

    pub(crate) fn shown(&self) -> Offset {
        self.script.lock().shown
    }

    pub(crate) fn is_gone(&self, offset: Offset) -> bool {
        self.script.lock().gone.contains(&offset)
    }

    /// Reports the next `count` that are neither stored nor reported.
    pub(crate) fn show(&self, count: usize) {
        let records = {
            let mut script = self.script.lock();
            let from = script.shown.max(script.head) as usize;
            let to = (from + count).min(script.all.len());
            script.shown = script.shown.max(to as Offset);
            script.all[from..to].to_vec()
        };
        self.tell(|listener| listener.unstored(&records));
    }

    pub(crate) fn commit(&self, count: usize) {
        let records = {
            let mut script = self.script.lock();
            let from = script.head as usize;
            let to = (from + count).min(script.all.len());
            script.head = to as Offset;
            script.all[from..to].to_vec()
        };
        self.tell(|listener| listener.committed(&records));
    }

    /// Gives up the next `count`, but for ends.
    pub(crate) fn lose(&self, count: usize) {
        let head = {
            let mut script = self.script.lock();
            let from = script.head as usize;
            let behind = script.all[from..].iter().take(count);
            let count = behind.take_while(|record| record.terminal.is_none()).count();
            script.head += count as Offset;
            let head = script.head;
            script.gone.extend(from as Offset + 1..=head);
            head
        };
        self.tell(|listener| listener.lost(head));
    }

    pub(crate) fn renew(&self) {
        let epoch = {
            let mut script = self.script.lock();
            script.epoch = Epoch::parse(&format!("{}x", script.epoch)).unwrap();
            script.epoch.clone()
        };
        self.tell(|listener| listener.renewed(&epoch));
    }
}

#[async_trait]
impl EventLog for ScriptedLog {
    fn epoch(&self) -> Epoch {
        self.script.lock().epoch.clone()
    }

    fn head(&self) -> Offset {
        self.script.lock().head
    }

    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset {
        *self.listener.lock() = Some(listener);
        self.head()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let records: Vec<_> = append.facts.into_iter().map(|fact| self.place(fact)).collect();
        self.commit(usize::MAX >> 1);
        Ok(Appended { records, stored: true })
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        for _ in 0..self.yields {
            tokio::task::yield_now().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(ReadError::Unavailable("told to".to_owned()));
        }
        let script = self.script.lock();
        let ReadRange { scope, after, up_to, max_records, max_bytes } = range;
        let up_to = up_to.min(script.head);
        let mut batch = ReadBatch { scanned_to: after, ..ReadBatch::default() };
        let mut bytes = 0;
        for record in script.all.iter().skip(after as usize) {
            if record.offset > up_to {
                break;
            }
            let in_scope = matches!(&scope, Scope::Run(root) if *root == record.root) || scope == Scope::All;
            if in_scope && script.gone.contains(&record.offset) {
                if !batch.records.is_empty() {
                    break;
                }
                let first = batch.pruned.as_ref().map_or(record.offset, |pruned| *pruned.offsets.start());
                batch.pruned = Some(Pruned { offsets: first..=record.offset });
            } else if in_scope {
                if !batch.records.is_empty() && (batch.records.len() >= max_records || bytes >= max_bytes) {
                    break;
                }
                bytes += record.json.len();
                batch.records.push(Arc::clone(record));
            }
            batch.scanned_to = record.offset;
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.records_read.fetch_add(batch.records.len(), Ordering::SeqCst);
        Ok(batch)
    }

    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        let script = self.script.lock();
        let known = script.shown.max(script.head) as usize;
        let mut of = script.all[..known].iter().filter(|record| &record.execution == execution);
        let root = of.next().map(|record| record.root.clone());
        let root = root.ok_or_else(|| LookupError::Unknown(execution.clone()))?;
        if script.removed.contains(&root) {
            return Err(LookupError::Deleted(execution.clone()));
        }
        let ends = |record: &&Arc<Record>| {
            record.terminal.is_some() && (record.execution == *execution || record.execution == root)
        };
        let ended = script.all[..known].iter().find(ends).map(|record| record.offset);
        Ok(ExecutionInfo { root, ended })
    }

    async fn state(&self, execution: &ExecutionId) -> Result<(ExecutionState, Cursor), LookupError> {
        Err(LookupError::Unknown(execution.clone()))
    }

    async fn list(&self, _query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        Ok(Vec::new())
    }

    async fn output(&self, _execution: &ExecutionId, _seq: Seq) -> Result<Option<Bytes>, LookupError> {
        Ok(None)
    }

    /// Of a run that ended and is stored whole; of another nothing happens.
    async fn remove(&self, root: &ExecutionId) -> Result<(), RemoveError> {
        {
            let mut script = self.script.lock();
            let head = script.head;
            let ended = |r: &Arc<Record>| r.execution == *root && r.terminal.is_some() && r.offset <= head;
            if !script.all.iter().any(ended) {
                return Err(RemoveError::Running(root.clone()));
            }
            let of_run: Vec<_> = script.all.iter().filter(|r| r.root == *root).map(|r| r.offset).collect();
            script.gone.extend(of_run);
            script.removed.insert(root.clone());
        }
        self.tell(|listener| listener.removed(root));
        Ok(())
    }

    async fn pin(&self, _root: &ExecutionId, _pinned: bool) -> Result<(), LookupError> {
        Ok(())
    }

    fn health(&self) -> Option<LogProblem> {
        None
    }

    fn stats(&self) -> LogStats {
        LogStats::default()
    }
}
