//! Checks of appends, and their places (I1, I9).

mod live;
mod load;
mod look_up;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use core_events::{
    Envelope, ExecutionId, ExecutionState, Fact, Offset, Record, Seq, Timestamp,
    ports::{Append, AppendError, ExecutionInfo, LogProblemKind, ProducerBatch, RunSummary, Unstored},
};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::live::LiveRun;
pub(crate) use self::look_up::{Found, Known, look_up};
use crate::{
    options::StoreOptions,
    queue::{Batch, Waiter, Waiting},
    writer::Job,
};

/// So many executions that left memory are known as such, in case that a look-up in the store began before they got there.
const DEPARTED: usize = 4_096;

/// What is known of runs that go on, and what of them waits to be stored. All of it is under one lock, held for no I/O.
#[derive(Debug)]
pub(crate) struct Sequencer {
    queue_bytes: usize,
    backlog_bytes: usize,
    /// The last position that was given.
    last: Offset,
    /// Runs that go on, and those whose end is not committed yet.
    runs: HashMap<ExecutionId, LiveRun>,
    /// The root of every execution of these.
    roots: HashMap<ExecutionId, ExecutionId>,
    departed: Departed,
    /// Runs of which the store lacks something.
    dirty: Vec<ExecutionId>,
    /// Runs that ended, with the positions of their ends.
    leaving: VecDeque<(Offset, ExecutionId)>,
    waiting: Waiting,
    /// What the writer is about, in front of `waiting`.
    inflight: Option<Arc<Batch>>,
    /// Ascending.
    waiters: VecDeque<Waiter>,
    pub(crate) jobs: VecDeque<Job>,
    /// Records to tell of as not stored; there are some only while there is `trouble`.
    untold: Vec<Arc<Record>>,
    pub(crate) trouble: Option<Trouble>,
    /// Records that were given up.
    pub(crate) lost: u64,
    /// Whether the writer sleeps, and must be woken.
    pub(crate) writer_sleeps: bool,
    pub(crate) stop: Option<Stop>,
}

/// Why nothing can be stored at present.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) kind: LogProblemKind,
    pub(crate) detail: String,
    pub(crate) since: Timestamp,
}

/// That the log closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// When all that waits is stored.
    Drained,
    /// At once, as if the process were killed.
    AtOnce,
}

/// The right to append to a run. It is taken before the lock on the sequencer.
pub(crate) type Turn = Arc<Mutex<()>>;

/// Facts that are encoded, and lack nothing but their offsets.
#[derive(Debug)]
pub(crate) struct Sealed {
    root: ExecutionId,
    envelopes: Vec<Envelope>,
    records: Vec<Record>,
}

/// What was enqueued.
#[derive(Debug)]
pub(crate) struct Enqueued {
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) done: oneshot::Receiver<bool>,
    /// Whether the writer must be woken.
    pub(crate) wake: bool,
    /// Whether listeners must be told at once.
    pub(crate) tell: bool,
    /// How many of the records were given up.
    pub(crate) lost: u64,
}

/// Why nothing was enqueued.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It can't be.
    Error(AppendError),
    /// The store must be asked for these first; the first is the root.
    LookUp(Vec<ExecutionId>),
    /// No room.
    Full,
}

fn closing() -> Refusal {
    AppendError::Unavailable("it is being closed".to_owned()).into()
}

/// A state, as far as it is known in memory.
#[derive(Debug)]
pub(crate) struct LiveState {
    pub(crate) state: Arc<ExecutionState>,
    /// It covers everything up to here.
    pub(crate) at: Offset,
    /// Resolves when it may be seen.
    pub(crate) done: Option<oneshot::Receiver<bool>>,
}

#[derive(Debug, Default)]
struct Departed {
    ids: HashSet<ExecutionId>,
    order: VecDeque<ExecutionId>,
}

// === impl Sequencer ===

impl Sequencer {
    /// Goes on behind `head`, with the runs that the store has as unfinished.
    pub(crate) fn load(conn: &Connection, options: &StoreOptions, head: Offset) -> rusqlite::Result<Self> {
        let mut this = Self {
            queue_bytes: options.queue_bytes,
            backlog_bytes: options.backlog_bytes,
            last: head,
            runs: HashMap::new(),
            roots: HashMap::new(),
            departed: Departed::default(),
            dirty: Vec::new(),
            leaving: VecDeque::new(),
            waiting: Waiting::default(),
            inflight: None,
            waiters: VecDeque::new(),
            jobs: VecDeque::new(),
            untold: Vec::new(),
            trouble: None,
            lost: 0,
            writer_sleeps: false,
            stop: None,
        };
        for (root, run) in load::load(conn)? {
            for id in run.executions.keys() {
                this.roots.insert(id.clone(), root.clone());
            }
            this.runs.insert(root, run);
        }
        Ok(this)
    }

    /// Whose turn it is to append to the run of `root`; `None` if it is not in memory. Who appends holds it from
    /// [`admit`](Self::admit) to [`push`](Self::push), so that encoding in between holds up nobody else's run.
    pub(crate) fn turn(&self, root: &ExecutionId) -> Option<Turn> {
        self.runs.get(root).map(|run| Arc::clone(&run.turn))
    }

    /// Whether `append` may be pushed now; returns the last `seq` of its run.
    pub(crate) fn admit(&self, append: &Append, found: &Found) -> Result<Seq, Refusal> {
        if self.stop.is_some() {
            return Err(closing());
        }
        let seq = self.check(&append.facts, append.batch.as_ref(), found)?;
        match &self.trouble {
            Some(trouble) if append.unstored == Unstored::Refuse => {
                Err(AppendError::Unavailable(trouble.detail.clone()).into())
            }
            // Whatever the bound: an empty queue has room.
            None if self.bytes() >= self.queue_bytes.max(1) => Err(Refusal::Full),
            _ => Ok(seq),
        }
    }

    /// Gives what was admitted its places. The only way to fail is that the log closes, or that another run has taken an
    /// execution in between.
    pub(crate) fn push(
        &mut self,
        sealed: &mut Sealed,
        batch: Option<&ProducerBatch>,
        now: Timestamp,
    ) -> Result<Enqueued, Refusal> {
        if self.stop.is_some() {
            return Err(closing());
        }
        let root = &sealed.root;
        let foreign = |record: &Record| self.roots.get(&record.execution).is_some_and(|known| known != root);
        if sealed.records.iter().any(foreign) {
            return Err(AppendError::Mixed.into());
        }
        let first = self.last + 1;
        let run = self.runs.entry(root.clone()).or_insert_with(|| {
            self.roots.insert(root.clone(), root.clone());
            LiveRun::new(root, first)
        });
        // An end is never given up, nor what comes with it.
        let ends = sealed.records.iter().any(|record| record.terminal.is_some());
        let full = self.trouble.is_some() && !ends && {
            let inflight = self.inflight.as_ref().map_or(0, |batch| batch.content.bytes);
            self.waiting.bytes + inflight >= self.backlog_bytes
        };
        let mut records = Vec::with_capacity(sealed.records.len());
        for (envelope, mut record) in sealed.envelopes.iter().zip(sealed.records.drain(..)) {
            self.last += 1;
            record.offset = self.last;
            if !run.executions.contains_key(&record.execution) {
                self.roots.insert(record.execution.clone(), root.clone());
            }
            if run.apply(envelope, &record, now) {
                self.dirty.push(root.clone());
            }
            let record = Arc::new(record);
            if full {
                self.waiting.give_up(record.offset);
                self.lost += 1;
            } else {
                self.waiting.push(Arc::clone(&record), run.id);
            }
            records.push(record);
        }
        if let Some(batch) = batch {
            run.note(batch);
        }
        if let Some(ended) = run.ended {
            self.leaving.push_back((ended, root.clone()));
        }
        let tell = self.trouble.is_some();
        if tell {
            self.untold.extend(records.iter().cloned());
        }
        let lost = if full { records.len() as u64 } else { 0 };
        let done = self.wait(self.last);
        Ok(Enqueued { records, done, wake: std::mem::take(&mut self.writer_sleeps), tell, lost })
    }

    /// Whether `facts` may be appended, as far as memory and `found` tell.
    fn check(&self, facts: &[Fact], batch: Option<&ProducerBatch>, found: &Found) -> Result<Seq, Refusal> {
        let root = &facts.first().ok_or(AppendError::Mixed)?.context.root;
        let run = self.runs.get(root);
        let stored = run.is_none().then(|| self.known(root, found)).transpose();
        let Ok(stored) = stored else { return Err(self.unknown(facts, found)) };
        if stored == Some(&Known::Removed) {
            return Err(AppendError::Ended(root.clone()).into());
        }
        if let Some(batch) = batch {
            let last = run.map_or(found.batch, |run| run.producers.get(&batch.producer).copied());
            batch.follows(last)?;
        }
        let mut ended_here: Vec<&ExecutionId> = Vec::new();
        for fact in facts {
            let execution = &fact.context.execution;
            let known_root = match self.roots.get(execution) {
                Some(known) => Some(known),
                None => match self.known(execution, found) {
                    Ok(Known::Of { root, .. }) => Some(root),
                    Ok(_) => None,
                    Err(()) => return Err(self.unknown(facts, found)),
                },
            };
            if &fact.context.root != root || known_root.is_some_and(|known| known != root) {
                return Err(AppendError::Mixed.into());
            }
            for id in [root, execution] {
                let ended_before = match run {
                    Some(run) => run.executions.get(id).is_some_and(|execution| execution.ended.is_some()),
                    // A run of the store that is not in memory has ended.
                    None => match found.get(id) {
                        Some(Known::Of { ended, .. }) => id == root || ended.is_some(),
                        _ => false,
                    },
                };
                if ended_here.contains(&id) || ended_before {
                    return Err(AppendError::Ended(id.clone()).into());
                }
            }
            if fact.event.terminal_status().is_some() {
                ended_here.push(execution);
            }
        }
        Ok(run.map_or(0, |run| run.seq))
    }

    /// What the store knows of `id`, which memory doesn't know; `Err` if it must be asked.
    fn known<'a>(&self, id: &ExecutionId, found: &'a Found) -> Result<&'a Known, ()> {
        match found.get(id) {
            // It went into the store while that was asked.
            Some(Known::Absent) if !found.insists && self.departed.ids.contains(id) => Err(()),
            Some(known) => Ok(known),
            None => Err(()),
        }
    }

    fn unknown(&self, facts: &[Fact], found: &Found) -> Refusal {
        let mut ids: Vec<ExecutionId> = Vec::new();
        let root = facts.first().map(|fact| &fact.context.root);
        for id in root.into_iter().chain(facts.iter().map(|fact| &fact.context.execution)) {
            // The root comes along in any case: it says whose batch it is.
            if ids.is_empty() || (!self.roots.contains_key(id) && !ids.contains(id)) {
                ids.push(id.clone());
            }
        }
        for (id, _) in &found.executions {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        Refusal::LookUp(ids)
    }

    /// Resolves when all up to `up_to` is committed or shown. Nobody may wait for less than the one before.
    fn wait(&mut self, up_to: Offset) -> oneshot::Receiver<bool> {
        let (done, receiver) = oneshot::channel();
        self.waiters.push_back(Waiter { up_to, done });
        receiver
    }

    /// What the writer has to store now: the same as before, as long as [`stored`](Self::stored) was not called; else all that
    /// waits. A summary goes exactly as far as the records that it is stored with.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Arc<Batch>> {
        if self.inflight.is_none() && !(self.waiting.is_empty() && self.dirty.is_empty()) {
            let content = std::mem::take(&mut self.waiting);
            let (mut runs, mut executions, mut producers) = (Vec::new(), Vec::new(), Vec::new());
            for root in self.dirty.drain(..) {
                if let Some(run) = self.runs.get_mut(&root) {
                    runs.extend(run.take(&mut executions, &mut producers));
                }
            }
            let last = self.last;
            self.inflight = Some(Arc::new(Batch { content, last, taken: now, runs, executions, producers }));
        }
        self.inflight.clone()
    }

    /// The batch of [`take`](Self::take) is stored. Returns who waited for it.
    pub(crate) fn stored(&mut self) -> Vec<Waiter> {
        let Some(batch) = self.inflight.take() else { return Vec::new() };
        while let Some((_, root)) = self.leaving.pop_front_if(|(ended, _)| *ended <= batch.last) {
            let Some(run) = self.runs.remove(&root) else { continue };
            for id in run.executions.into_keys() {
                self.roots.remove(&id);
                self.departed.push(id);
            }
        }
        self.waited(batch.last)
    }

    /// The store is a new one and has nothing yet: all that memory knows is to be stored with the next batch.
    pub(crate) fn begin_anew(&mut self) {
        if let Some(batch) = self.inflight.take() {
            let content = Waiting {
                records: batch.content.records.clone(),
                owners: batch.content.owners.clone(),
                holes: batch.content.holes.clone(),
                bytes: batch.content.bytes,
            };
            let behind = std::mem::replace(&mut self.waiting, content);
            self.waiting.append(behind);
        }
        self.dirty = self.runs.keys().cloned().collect();
        self.runs.values_mut().for_each(LiveRun::unsettle);
        self.departed = Departed::default();
    }

    fn waited(&mut self, up_to: Offset) -> Vec<Waiter> {
        let count = self.waiters.partition_point(|waiter| waiter.up_to <= up_to);
        self.waiters.drain(..count).collect()
    }

    /// From now on records are told of before they are stored. `shown` is as far as readers can see.
    pub(crate) fn begin_trouble(&mut self, trouble: Trouble, shown: Offset) {
        if let Some(known) = &mut self.trouble {
            *known = Trouble { since: known.since, ..trouble };
            return;
        }
        self.trouble = Some(trouble);
        let inflight = self.inflight.iter().flat_map(|batch| &batch.content.records);
        let all = inflight.chain(&self.waiting.records);
        self.untold = all.filter(|record| record.offset > shown).cloned().collect();
    }

    /// Records behind `head` that must be told of as not stored, and who waited for that.
    pub(crate) fn tell(&mut self, head: Offset) -> (Vec<Arc<Record>>, Vec<Waiter>) {
        let mut untold = std::mem::take(&mut self.untold);
        untold.retain(|record| record.offset > head);
        let waiters = match self.trouble {
            Some(_) => self.waited(self.last),
            None => untold.last().map_or_else(Vec::new, |record| self.waited(record.offset)),
        };
        (untold, waiters)
    }

    /// Whether so little waits that appends may wait for it again.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.bytes() < self.queue_bytes.max(1)
    }

    /// The position of the first record that waits.
    pub(crate) fn front(&self) -> Option<Offset> {
        let front = |waiting: &Waiting| waiting.records.first().map(|record| record.offset);
        self.inflight.as_ref().and_then(|batch| front(&batch.content)).or_else(|| front(&self.waiting))
    }

    /// Records that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.records.len() + self.inflight.as_ref().map_or(0, |batch| batch.content.records.len())
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.bytes + self.inflight.as_ref().map_or(0, |batch| batch.content.bytes)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.inflight.is_none() && self.waiting.is_empty() && self.dirty.is_empty()
    }

    /// The last position that was given.
    pub(crate) fn last(&self) -> Offset {
        self.last
    }

    /// Nothing will be stored any more. Returns everybody who still waits; nobody else will.
    pub(crate) fn abandon(&mut self) -> (VecDeque<Waiter>, VecDeque<Job>) {
        self.stop = Some(Stop::AtOnce);
        (std::mem::take(&mut self.waiters), std::mem::take(&mut self.jobs))
    }

    /// Where an execution in memory is; nothing behind `shown` is told.
    pub(crate) fn find(&self, id: &ExecutionId, shown: Offset) -> Option<ExecutionInfo> {
        let root = self.roots.get(id)?;
        let run = self.runs.get(root)?;
        let execution = run.executions.get(id).filter(|execution| execution.first <= shown)?;
        let ended = execution.ended.or(run.ended).filter(|ended| *ended <= shown);
        Some(ExecutionInfo { root: root.clone(), ended })
    }

    /// The state of an execution in memory.
    pub(crate) fn state(&mut self, id: &ExecutionId, shown: Offset) -> Option<LiveState> {
        let run = self.runs.get(self.roots.get(id)?)?;
        let state = Arc::clone(&run.executions.get(id)?.state);
        let at = self.last;
        let done = (at > shown && self.stop != Some(Stop::AtOnce)).then(|| self.wait(at));
        Some(LiveState { state, at, done })
    }

    /// Runs of which the store has less than may be seen, newest first.
    pub(crate) fn ahead(&self, head: Offset, shown: Offset) -> Vec<RunSummary> {
        if shown <= head {
            return Vec::new();
        }
        let mut runs: Vec<_> = self.runs.values().filter(|run| run.last > head && run.id <= shown).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        runs.into_iter().filter_map(LiveRun::read_summary).collect()
    }

    /// An output of a record that waits, if it may be seen.
    pub(crate) fn record(&self, id: &ExecutionId, seq: u64, shown: Offset) -> Option<Arc<Record>> {
        let root = self.roots.get(id)?;
        let inflight = self.inflight.iter().flat_map(|batch| &batch.content.records);
        let mut all = inflight.chain(&self.waiting.records).take_while(|record| record.offset <= shown);
        all.find(|record| record.seq == seq && &record.root == root).cloned()
    }
}

// === impl Sealed ===

impl Sealed {
    /// Encodes `facts` as those behind `seq` of their run.
    pub(crate) fn new(facts: Vec<Fact>, seq: Seq) -> Result<Self, AppendError> {
        let root = facts.first().ok_or(AppendError::Mixed)?.context.root.clone();
        let (mut envelopes, mut records) = (Vec::with_capacity(facts.len()), Vec::with_capacity(facts.len()));
        for (place, fact) in (1..).zip(facts) {
            let (envelope, record) = fact.seal(seq + place, 0)?;
            envelopes.push(envelope);
            records.push(record);
        }
        Ok(Self { root, envelopes, records })
    }
}

// === impl Departed ===

impl Departed {
    fn push(&mut self, id: ExecutionId) {
        if self.ids.insert(id.clone()) {
            self.order.push_back(id);
        }
        if self.order.len() > DEPARTED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

// === impl Refusal ===

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self::Error(error)
    }
}
