//! What appenders, the writer and the watchdog share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use core_events::{
    Epoch, ExecutionId, Offset,
    ports::{Append, Clock, CommitListener, LogProblem, LogProblemKind},
};
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::Notify;

use crate::{
    options::StoreOptions,
    queue::{Batch, Piece, Waiter},
    reads::Readers,
    sequencer::{Enqueued, Found, Refusal, Sealed, Sequencer, Trouble},
    session::Files,
    stats::Counters,
};

/// Locks are taken in the order of the fields.
pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) files: Files,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while something becomes visible and is reported, so that both have one order, and a listener joins between two
    /// commits.
    pub(crate) publish: Mutex<Vec<Arc<dyn CommitListener>>>,
    pub(crate) sequencer: Mutex<Sequencer>,
    epoch: RwLock<Epoch>,
    /// The writer waits here, with `sequencer`.
    pub(crate) work: Condvar,
    /// The end of the committed prefix. Written under `publish`.
    head: AtomicU64,
    /// As far as readers can see: the head, or behind it what listeners were told of as not stored. Written under `publish`.
    shown: AtomicU64,
    /// Tells appenders that wait for room.
    pub(crate) room: Notify,
    /// How many wait for room; who comes later gets in line.
    pub(crate) crowd: AtomicUsize,
    /// The line.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// A reader found the store damaged.
    pub(crate) suspect: Arc<AtomicBool>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) counters: Counters,
}

// === impl Shared ===

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "the parts of the log, put together in one place")]
    pub(crate) fn new(
        options: StoreOptions,
        files: Files,
        clock: Arc<dyn Clock>,
        epoch: Epoch,
        sequencer: Sequencer,
        readers: Arc<Readers>,
        suspect: Arc<AtomicBool>,
        counters: Counters,
    ) -> Self {
        let head = sequencer.last();
        Self {
            options,
            files,
            clock,
            publish: Mutex::new(Vec::new()),
            sequencer: Mutex::new(sequencer),
            epoch: RwLock::new(epoch),
            work: Condvar::new(),
            head: AtomicU64::new(head),
            shown: AtomicU64::new(head),
            room: Notify::new(),
            crowd: AtomicUsize::new(0),
            gate: tokio::sync::Mutex::new(()),
            suspect,
            readers,
            counters,
        }
    }

    pub(crate) fn head(&self) -> Offset {
        self.head.load(Ordering::Acquire)
    }

    pub(crate) fn shown(&self) -> Offset {
        self.shown.load(Ordering::Acquire)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.read().clone()
    }

    /// Wakes the writer. Whoever calls it has changed what the writer looks at, under the lock.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }

    /// Gives the facts of `append` their places, all or none, and takes them out of it.
    pub(crate) fn enqueue(&self, append: &mut Append, found: &Found) -> Result<Enqueued, Refusal> {
        let now = self.clock.now();
        loop {
            let root = append.facts.first().map(|fact| &fact.context.root);
            let turn = root.and_then(|root| self.sequencer.lock().turn(root));
            let held = turn.as_ref().map(|turn| turn.lock());
            let mut sequencer = self.sequencer.lock();
            let seq = sequencer.admit(append, found)?;
            match append.facts.first().and_then(|fact| sequencer.turn(&fact.context.root)) {
                // A new run: its first append makes it known to others.
                None => {
                    let mut sealed = Sealed::new(std::mem::take(&mut append.facts), seq)?;
                    return sequencer.push(&mut sealed, append.batch.as_ref(), now);
                }
                Some(now) if turn.as_ref().is_none_or(|turn| !Arc::ptr_eq(turn, &now)) => continue,
                Some(_) => {}
            }
            drop(sequencer);
            let mut sealed = Sealed::new(std::mem::take(&mut append.facts), seq)?;
            let enqueued = self.sequencer.lock().push(&mut sealed, append.batch.as_ref(), now);
            drop(held);
            return enqueued;
        }
    }

    /// `batch` is committed: shows it.
    pub(crate) fn committed(&self, batch: &Batch, took: Duration) {
        let listeners = self.publish.lock();
        for piece in batch.content.pieces() {
            match piece {
                Piece::Records(records) => {
                    if let Some(last) = records.last() {
                        self.advance(last.offset);
                    }
                    listeners.iter().for_each(|listener| listener.committed(records));
                }
                Piece::Hole(up_to) => {
                    self.advance(up_to);
                    listeners.iter().for_each(|listener| listener.lost(up_to));
                }
            }
        }
        self.counters.committed(batch, took);
        let (waiters, recovered) = {
            let mut sequencer = self.sequencer.lock();
            let waiters = sequencer.stored();
            let recovered = sequencer.trouble.is_some() && sequencer.has_caught_up();
            if recovered {
                sequencer.trouble = None;
            }
            (waiters, recovered)
        };
        drop(listeners);
        complete(waiters, true);
        if recovered {
            tracing::info!("the log stores events again");
        }
        self.make_room();
    }

    fn advance(&self, head: Offset) {
        self.head.store(head, Ordering::Release);
        self.shown.fetch_max(head, Ordering::AcqRel);
    }

    pub(crate) fn make_room(&self) {
        if self.crowd.load(Ordering::Acquire) > 0 {
            self.room.notify_waiters();
        }
    }

    /// Nothing can be stored at present: from now on records are shown without that.
    pub(crate) fn degrade(&self, kind: LogProblemKind, detail: String) {
        let trouble = Trouble { kind, detail, since: self.clock.now() };
        let jobs = {
            let mut sequencer = self.sequencer.lock();
            if sequencer.trouble.is_none() {
                tracing::error!(problem = %trouble.detail, kind = ?trouble.kind, "the log can't store events at present");
            }
            sequencer.begin_trouble(trouble.clone(), self.shown());
            std::mem::take(&mut sequencer.jobs)
        };
        for job in jobs {
            job.refuse(&trouble.detail);
        }
        self.tell();
        self.make_room();
    }

    /// Tells listeners of what is not stored and was not told yet.
    pub(crate) fn tell(&self) {
        let listeners = self.publish.lock();
        let (records, waiters) = self.sequencer.lock().tell(self.head());
        if let Some(last) = records.last() {
            self.counters.unstored(records.len() as u64);
            listeners.iter().for_each(|listener| listener.unstored(&records));
            self.shown.fetch_max(last.offset, Ordering::AcqRel);
        }
        drop(listeners);
        complete(waiters, false);
    }

    /// Joins those who wait for room, until the guard is dropped.
    pub(crate) fn join_crowd(&self) -> Crowded<'_> {
        self.crowd.fetch_add(1, Ordering::AcqRel);
        Crowded(&self.crowd)
    }

    /// The writer has ended: nobody need wait any longer. What was not `drained` is not stored.
    pub(crate) fn abandon(&self, drained: bool) {
        let (waiting, (waiters, jobs)) = {
            let mut sequencer = self.sequencer.lock();
            (sequencer.waiting(), sequencer.abandon())
        };
        if !drained && waiting > 0 {
            tracing::error!(events = waiting, "the log is closed before it could store them; they are lost");
        }
        complete(waiters, drained);
        jobs.into_iter().for_each(|job| job.refuse("it is closed"));
        self.make_room();
    }

    /// The store is a new one.
    pub(crate) fn renewed(&self, epoch: &Epoch) {
        let listeners = self.publish.lock();
        *self.epoch.write() = epoch.clone();
        {
            let mut sequencer = self.sequencer.lock();
            sequencer.begin_anew();
            // Else the first commit tells.
            if sequencer.is_idle() {
                sequencer.trouble = None;
            }
        }
        listeners.iter().for_each(|listener| listener.renewed(epoch));
    }

    /// The run of `root` is gone.
    pub(crate) fn removed(&self, root: &ExecutionId) {
        self.readers.forget(root);
        for listener in self.publish.lock().iter() {
            listener.removed(root);
        }
    }

    pub(crate) fn problem(&self) -> Option<LogProblem> {
        let sequencer = self.sequencer.lock();
        let Trouble { kind, detail, since } = sequencer.trouble.clone()?;
        Some(LogProblem { kind, detail, since, waiting: sequencer.waiting() as u64, lost: sequencer.lost })
    }
}

/// One of those who wait for room.
#[derive(Debug)]
pub(crate) struct Crowded<'a>(&'a AtomicUsize);

impl Drop for Crowded<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn complete(waiters: impl IntoIterator<Item = Waiter>, stored: bool) {
    for waiter in waiters {
        // Who went away need not know.
        waiter.done.send(stored).ok();
    }
}
