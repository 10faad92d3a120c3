//! Reading what the tail no longer holds, once for all readers that want it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    future::Future,
    ops::{Bound, Range},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use core_events::{
    Offset,
    ports::{EventLog, ReadBatch, ReadError, ReadRange},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Ticket, View};
use crate::flusher::Flusher;

/// Read from the log at once.
const READ_RECORDS: usize = 512;
const READ_BYTES: usize = 256 * 1024;

/// So many are woken to go on with a read; one would do, if it is not held up.
const WOKEN: usize = 4;

/// When none of them has gone on with it for so long, the router's task does: readers that do not ask any more must not
/// hold up those that do (I4).
const HELD_UP: Duration = Duration::from_millis(5);

/// What a reader takes to deliver what was read at once, about.
const PER_READER: Duration = Duration::from_micros(200);

/// So far ahead of the readers the log may be read.
const AHEAD: Duration = Duration::from_millis(5);

/// The readers of a view that wait for the log, and what is being read for them.
///
/// One read is on its way at a time, polled by whichever of them is awake. The next one is for the reader that comes next
/// behind it, and from the beginning again when there is none: so readers that are spread over the log gather at
/// one place in it, and each part is read about once for all of them.
///
/// Where the view has no room for more, the next read waits till the readers of the last ones have had time to deliver them: else
/// they would find them gone, and have them read again.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    waiting: Arc<Mutex<Waiting>>,
    /// Never waited for: who finds it taken is woken by the one who has it.
    reading: Mutex<Reading>,
    /// Whether the next read waits till the view is flushed.
    rests: AtomicBool,
    /// Whether it is looked after when the view is flushed.
    watched: AtomicBool,
    /// What is read, and who looks after it.
    with: OnceLock<(Arc<dyn EventLog>, Arc<Flusher>)>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By position, and ticket.
    wakers: BTreeMap<(Offset, u64), Waker>,
    positions: HashMap<u64, Offset>,
    /// Those whose read failed.
    failed: HashSet<u64>,
    /// Whether there is no task that goes on when readers don't.
    unwatched: bool,
}

#[derive(Debug, Default)]
struct Reading {
    flight: Option<Flight>,
    /// Where the last read ended.
    sweep: Offset,
    /// Till then the readers deliver what was read, about.
    busy: Option<Instant>,
    /// Grows whenever somebody goes on with it.
    steps: u64,
    /// What `steps` was when it was looked after.
    seen: u64,
}

/// A read on its way.
struct Flight {
    range: ReadRange,
    /// The log's head when it began.
    head: Offset,
    /// The life of the view's content when it began.
    life: u64,
    read: Pin<Box<dyn Future<Output = Result<ReadBatch, ReadError>> + Send>>,
    waker: Waker,
}

/// Wakes some who go on with the read.
struct Signal {
    waiting: Arc<Mutex<Waiting>>,
    near: Offset,
}

/// A read failed.
#[derive(Debug)]
pub(crate) struct Failed;

/// What became of a batch.
pub(super) enum Taken {
    /// Whoever stands in here finds something new.
    Until(Offset),
    /// It was read before something of it was forbidden.
    Stale,
    /// The log does not go on.
    StandsStill,
}

// === impl View ===

impl View {
    /// Has what comes behind `position` read. Ready when it is worth looking again.
    pub(crate) fn catch_up(
        self: &Arc<Self>,
        (log, flusher): (&Arc<dyn EventLog>, &Arc<Flusher>),
        ticket: Ticket,
        position: Offset,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let id = ticket.id();
        let replaced = {
            let mut waiting = self.catch_up.waiting.lock();
            if waiting.failed.remove(&id) {
                return Poll::Ready(Err(Failed));
            }
            waiting.insert(id, position, cx.waker())
        };
        drop(replaced);
        // Whoever has the lock sees this reader waiting, and wakes somebody when it goes.
        let Some(mut reading) = self.catch_up.reading.try_lock() else { return Poll::Pending };
        let mut wakers = Vec::new();
        reading.steps += 1;
        self.catch_up.with.get_or_init(|| (Arc::clone(log), Arc::clone(flusher)));
        let outcome = self.drive(&mut reading, (log, flusher), (id, position), &mut wakers);
        let sweep = reading.sweep;
        drop(reading);
        wakers.into_iter().for_each(Waker::wake);
        self.watch(flusher);
        let outcome = ready!(outcome);
        let own = self.catch_up.waiting.lock().remove(id);
        drop(own);
        self.catch_up.wake_some(sweep);
        Poll::Ready(outcome)
    }

    /// The reader of `ticket` no longer waits for the log.
    pub(crate) fn caught_up(&self, ticket: Ticket) {
        let own = self.catch_up.waiting.lock().remove(ticket.id());
        if own.is_none() {
            return;
        }
        drop(own);
        // A read that nobody goes on with must not hold on to anything of the log.
        let unwanted = self.catch_up.reading.try_lock().and_then(|mut reading| {
            let wanted = !self.catch_up.waiting.lock().positions.is_empty();
            reading.flight.take_if(|_| !wanted)
        });
        drop(unwanted);
        // It may have been the one to go on with the read.
        self.catch_up.wake_some(0);
    }

    fn drive(
        self: &Arc<Self>,
        reading: &mut Reading,
        (log, flusher): (&Arc<dyn EventLog>, &Flusher),
        (id, position): (u64, Offset),
        wakers: &mut Vec<Waker>,
    ) -> Poll<Result<(), Failed>> {
        loop {
            let Some(flight) = &mut reading.flight else {
                let Some(target) = self.catch_up.waiting.lock().next(reading.sweep) else {
                    return Poll::Ready(Ok(()));
                };
                match self.covered(target) {
                    Some(until) => {
                        self.catch_up.waiting.lock().take(target..until, id, wakers);
                        if (target..until).contains(&position) {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    None if self.rests(reading, flusher) => return Poll::Pending,
                    None => reading.flight = Some(self.take_off(log, target, None)),
                }
                continue;
            };
            let waker = flight.waker.clone();
            let batch = ready!(flight.read.as_mut().poll(&mut Context::from_waker(&waker)));
            let Some(flight) = reading.flight.take() else { continue };
            let from = flight.range.after;
            let taken = match batch {
                Ok(batch) if batch.pruned.is_some() && flight.range.up_to < flight.head => {
                    // A range that the bound may have cut is not exact.
                    reading.flight = Some(self.take_off(log, from, Some(flight.head)));
                    continue;
                }
                Ok(batch) => self.take_over(flight.life, from, batch),
                Err(ReadError::Unavailable(_)) => Taken::StandsStill,
            };
            match taken {
                Taken::Stale => {}
                Taken::Until(until) => {
                    reading.sweep = until;
                    let before = wakers.len();
                    self.catch_up.waiting.lock().take(from..until, id, wakers);
                    reading.occupy(wakers.len() - before + 1, flusher);
                    if (from..until).contains(&position) {
                        return Poll::Ready(Ok(()));
                    }
                }
                Taken::StandsStill => {
                    self.catch_up.waiting.lock().fail(id, wakers);
                    return Poll::Ready(Err(Failed));
                }
            }
        }
    }

    /// Whether the next read is to wait. Somebody is woken when it has waited long enough.
    fn rests(self: &Arc<Self>, reading: &Reading, flusher: &Flusher) -> bool {
        let Some(due) = reading.busy.and_then(|busy| busy.checked_sub(AHEAD)) else { return false };
        if self.has_room(READ_BYTES) || flusher.now().is_none_or(|now| now >= due) {
            return false;
        }
        self.catch_up.rests.store(true, Ordering::Release);
        flusher.plan(self, due)
    }

    /// Has it looked after whether somebody goes on with the read, while any reader waits for it.
    fn watch(self: &Arc<Self>, flusher: &Flusher) {
        if self.catch_up.waiting.lock().wakers.is_empty()
            || self.catch_up.watched.swap(true, Ordering::AcqRel)
        {
            return;
        }
        if !flusher.now().is_some_and(|now| flusher.plan(self, now + HELD_UP)) {
            self.leave_unwatched();
        }
    }

    /// Nobody looks after it: all who wait are woken, whenever one is.
    fn leave_unwatched(&self) {
        self.catch_up.waiting.lock().unwatched = true;
        self.catch_up.wake_some(0);
    }

    /// Goes on with reading if that was left till now, or if those who should don't.
    pub(super) fn resume(self: &Arc<Self>) {
        let rested = self.catch_up.rests.swap(false, Ordering::AcqRel);
        let watched = self.catch_up.watched.swap(false, Ordering::AcqRel);
        if !rested && !watched {
            return;
        }
        let Some((log, flusher)) = self.catch_up.with.get() else { return };
        let mut wakers = Vec::new();
        // Who has the lock goes on.
        if let Some(mut reading) = self.catch_up.reading.try_lock() {
            let held_up = reading.seen == reading.steps;
            reading.seen = reading.steps;
            if rested || held_up {
                // It is none of those who wait, and needs nothing itself.
                let nobody = (u64::MAX, Offset::MAX);
                drop(self.drive(&mut reading, (log, flusher), nobody, &mut wakers));
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        self.watch(flusher);
    }

    fn take_off(&self, log: &Arc<dyn EventLog>, after: Offset, up_to: Option<Offset>) -> Flight {
        let head = log.head();
        let (life, limit) = self.bounds_behind(after);
        let range = ReadRange {
            scope: self.scope.clone(),
            after,
            up_to: up_to.unwrap_or(limit).min(head),
            max_records: READ_RECORDS,
            max_bytes: READ_BYTES,
        };
        let (log, asked) = (Arc::clone(log), range.clone());
        let signal = Signal { waiting: Arc::clone(&self.catch_up.waiting), near: after };
        Flight {
            range,
            head,
            life,
            read: Box::pin(async move { log.read(asked).await }),
            waker: Waker::from(Arc::new(signal)),
        }
    }
}

// === impl CatchUp, Signal ===

impl CatchUp {
    /// Wakes some of those who wait, at `near` or behind it first.
    fn wake_some(&self, near: Offset) {
        let some = self.waiting.lock().some(near);
        some.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        let some = self.waiting.lock().some(self.near);
        some.into_iter().for_each(Waker::wake);
    }
}

// === impl Reading ===

impl Reading {
    /// So many readers have something to deliver.
    fn occupy(&mut self, readers: usize, flusher: &Flusher) {
        let takes = PER_READER.saturating_mul(u32::try_from(readers).unwrap_or(u32::MAX));
        self.busy = flusher.now().map(|now| self.busy.unwrap_or(now).max(now) + takes);
    }
}

// === impl Waiting ===

impl Waiting {
    /// Returns the waker that it replaces; as all wakers here, to be dropped when no lock is held.
    fn insert(&mut self, id: u64, position: Offset, waker: &Waker) -> Option<Waker> {
        let before = self.positions.insert(id, position);
        let replaced = before.filter(|at| *at != position).and_then(|at| self.wakers.remove(&(at, id)));
        let known = self.wakers.get(&(position, id));
        if known.is_some_and(|known| known.will_wake(waker)) {
            return replaced;
        }
        self.wakers.insert((position, id), waker.clone()).or(replaced)
    }

    fn remove(&mut self, id: u64) -> Option<Waker> {
        self.failed.remove(&id);
        let position = self.positions.remove(&id)?;
        self.wakers.remove(&(position, id))
    }

    /// The position to read from next, if anybody waits.
    fn next(&self, sweep: Offset) -> Option<Offset> {
        let behind = self.wakers.range((sweep, 0)..).next();
        behind.or_else(|| self.wakers.first_key_value()).map(|((position, _), _)| *position)
    }

    /// Moves the wakers of those who wait in `range` to `wakers`, but for that of `own`.
    fn take(&mut self, range: Range<Offset>, own: u64, wakers: &mut Vec<Waker>) {
        let mut begin = Bound::Included((range.start, 0));
        while let Some((key, _)) = self.wakers.range((begin, Bound::Excluded((range.end, 0)))).next() {
            let key = *key;
            begin = Bound::Excluded(key);
            if key.1 != own {
                self.positions.remove(&key.1);
                wakers.extend(self.wakers.remove(&key));
            }
        }
    }

    /// The read failed for everybody.
    fn fail(&mut self, own: u64, wakers: &mut Vec<Waker>) {
        self.failed.extend(self.positions.drain().map(|(id, _)| id).filter(|id| *id != own));
        wakers.extend(std::mem::take(&mut self.wakers).into_values());
    }

    fn some(&self, near: Offset) -> Vec<Waker> {
        let behind = self.wakers.range((near, 0)..).chain(self.wakers.range(..(near, 0)));
        let count = if self.unwatched { usize::MAX } else { WOKEN };
        behind.map(|(_, waker)| waker.clone()).take(count).collect()
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("range", &self.range).field("head", &self.head).finish_non_exhaustive()
    }
}
