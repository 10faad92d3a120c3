//! The encoded log of one (scope, filter, encoder), shared by its readers (I3).

mod catch_up;
mod segment;
mod wakers;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use bytes::{Bytes, BytesMut};
use core_events::{
    Epoch, ExecutionId, Filter, NodeId, Offset, Record,
    event::EventType,
    ports::{Encoder, ReadBatch, Scope},
};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use self::{
    catch_up::{CatchUp, Taken},
    segment::Segment,
    wakers::{Wakers, When},
};
pub(crate) use self::{
    segment::{Taking, UNREPORTED},
    wakers::Ticket,
};
use crate::{
    live::News,
    progress::Part,
    window::{Span, Window},
};

/// At most so much is encoded under one lock.
const STEP_RECORDS: usize = 256;
const STEP_BYTES: usize = 256 * 1024;

/// So many stretches without events are remembered.
const VOIDS: usize = 1_024;

/// So much of what is not stored is kept encoded: readers that are awake want the newest.
const SHOWN_BYTES: usize = 256 * 1024;

/// What its readers have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The execution at the top; `None` for all.
    pub(crate) root: Option<ExecutionId>,
    /// The execution whose end is the end of the stream.
    pub(crate) target: Option<ExecutionId>,
    /// On a sub-run, narrowed to it.
    pub(crate) filter: Filter,
    /// The encoder's id.
    pub(crate) encoder: Box<str>,
}

/// A cache of encoded segments of the filtered log, and the readers that wait for more.
///
/// Its content is a function of the log: whether a segment is still here, or is made again, makes no difference to a
/// reader but time.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) key: Key,
    pub(crate) scope: Scope,
    /// Tells it from an earlier view with the same key.
    pub(crate) id: u64,
    encoder: Arc<dyn Encoder>,
    max_bytes: usize,
    cache: RwLock<Cache>,
    wakers: Mutex<Wakers>,
    catch_up: CatchUp,
    /// Grows with everything that a waiting reader must look at, and before wakers are taken: while it stays, they stay.
    version: AtomicU64,
    /// The position of the last event that its readers want, of those that came while it was there.
    latest: AtomicU64,
    /// The position of the target's terminal event; 0 while it is not known.
    ended: AtomicU64,
    /// That event, so that no reader of this view loses it (I4).
    end: OnceLock<Arc<Record>>,
    /// The progress that was encoded last: many readers want the same.
    frame: Mutex<Option<(Part, Bytes)>>,
    /// What was shown last without being stored, encoded.
    shown: Mutex<Shown>,
    /// Whether the run was removed from the log: nothing of it may be shown.
    removed: AtomicBool,
    /// Whether the log no longer holds the end, and nobody kept it.
    end_is_gone: AtomicBool,
    /// Bytes of all views.
    total_bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Shown {
    frames: VecDeque<(Offset, Bytes)>,
    bytes: usize,
}

#[derive(Debug)]
struct Cache {
    epoch: Epoch,
    /// How often it was emptied because of what the log told: what was read before that is no longer to be kept.
    life: u64,
    /// By their `from`. They may overlap: then both hold the same events.
    segments: BTreeMap<Offset, Segment>,
    /// What was read and holds no event, by where it begins (exclusive).
    voids: BTreeMap<Offset, Void>,
    /// In the order in which they were made.
    order: VecDeque<Offset>,
    bytes: usize,
    buffer: BytesMut,
    records: Vec<Arc<Record>>,
}

/// A stretch of the log without events in scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Void {
    /// Its last position.
    pub(crate) to: Offset,
    /// Whether there were events; then the last one of them stood at its last position.
    pub(crate) pruned: bool,
}

/// What a view has for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The reader moved; it may have taken events.
    Moved,
    /// Nothing is behind the reader, up to this head of the log.
    Current(Offset),
    /// There is nothing for the reader up to there.
    Void(Void),
    /// The tail does not hold what comes next.
    Behind,
}

// === impl View ===

impl View {
    pub(crate) fn new(
        key: Key,
        id: u64,
        (encoder, epoch): (Arc<dyn Encoder>, Epoch),
        max_bytes: usize,
        total_bytes: Arc<AtomicUsize>,
    ) -> Self {
        let scope = key.root.clone().map_or(Scope::All, Scope::Run);
        Self {
            key,
            scope,
            id,
            encoder,
            max_bytes,
            cache: RwLock::new(Cache {
                epoch,
                life: 0,
                segments: BTreeMap::new(),
                voids: BTreeMap::new(),
                order: VecDeque::new(),
                bytes: 0,
                buffer: BytesMut::new(),
                records: Vec::new(),
            }),
            wakers: Mutex::default(),
            catch_up: CatchUp::default(),
            version: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            end: OnceLock::new(),
            frame: Mutex::new(None),
            shown: Mutex::default(),
            removed: AtomicBool::new(false),
            end_is_gone: AtomicBool::new(false),
            total_bytes,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The position at which this stream ends, once that is known.
    pub(crate) fn ended(&self) -> Option<Offset> {
        Some(self.ended.load(Ordering::Acquire)).filter(|at| *at > 0)
    }

    /// The first end counts: that of a sub-run, not the one of its root behind it. Returns whether this one does.
    pub(crate) fn end_at(&self, offset: Offset) -> bool {
        let earlier = |known: Offset| (known == 0 || offset < known).then_some(offset);
        self.ended.fetch_update(Ordering::AcqRel, Ordering::Acquire, earlier).is_ok()
    }

    // Readers.

    /// A place among the readers, and where the reader tells its position.
    pub(crate) fn join(&self) -> (Ticket, Arc<AtomicU64>) {
        self.wakers.lock().join()
    }

    /// Tells of each reader how many positions of the log it is behind what it wants.
    pub(crate) fn lags(&self, tell: impl FnMut(u64)) {
        let latest = self.latest.load(Ordering::Relaxed).max(self.ended().unwrap_or(0));
        let places = self.wakers.lock();
        places.positions().map(|position| latest.saturating_sub(position)).for_each(tell);
    }

    pub(crate) fn leave(&self, ticket: Ticket) {
        let waker = self.wakers.lock().leave(ticket);
        drop(waker);
        self.caught_up(ticket);
    }

    pub(crate) fn arm(&self, ticket: Ticket, waker: &Waker) {
        let replaced = self.wakers.lock().arm(ticket, waker);
        drop(replaced);
    }

    // News. Whom to wake is handed to the caller, who does it when it holds no lock.

    /// `records`, all in scope, are in the tail now.
    pub(crate) fn committed(self: &Arc<Self>, records: &[Arc<Record>], news: &mut News<'_>) {
        let last = records.iter().find(|record| self.is_end(record));
        if let Some(end) = last
            && self.end_at(end.offset)
        {
            self.end.get_or_init(|| Arc::clone(end));
        }
        let matched = records.iter().rev().find(|record| self.key.filter.matches(record));
        if let Some(record) = matched {
            self.latest.store(record.offset, Ordering::Relaxed);
        }
        let mut waiting = self.wakers.lock();
        waiting.unreported += records.len();
        // Nobody is woken for what nobody gets, as long as no id is due (I8).
        if matched.is_some() || last.is_some() || waiting.unreported >= UNREPORTED {
            self.version.fetch_add(1, Ordering::Release);
            // Nothing comes after an end that it could wait for.
            let when = if last.is_some() { When::Now } else { waiting.when(|| news.now()) };
            match when {
                When::Now => waiting.take(&mut news.wakers),
                When::At(due) => news.later.push((Arc::clone(self), due)),
                When::Planned => {}
            }
        }
    }

    /// What was planned could not be: nobody carries it out any more.
    pub(crate) fn flush_now(self: &Arc<Self>, wakers: &mut Vec<Waker>) {
        let mut waiting = self.wakers.lock();
        waiting.unplan(None);
        self.version.fetch_add(1, Ordering::Release);
        waiting.take(wakers);
        drop(waiting);
        self.resume();
    }

    /// It is time to wake the readers for what came since they were woken last, or to look after those who catch up.
    pub(crate) fn flush(self: &Arc<Self>, now: Instant, wakers: &mut Vec<Waker>) {
        let mut waiting = self.wakers.lock();
        if waiting.is_planned() {
            waiting.unplan(Some(now));
            self.version.fetch_add(1, Ordering::Release);
            waiting.take(wakers);
        }
        drop(waiting);
        self.resume();
    }

    /// `records`, all in scope, have their place and are not stored.
    pub(crate) fn unstored(self: &Arc<Self>, records: &[Arc<Record>], news: &mut News<'_>) {
        if records.iter().any(|record| self.wants(record)) {
            self.touch(news);
        }
    }

    /// Nothing of the run may be shown any more.
    pub(crate) fn remove(&self, news: &mut News<'_>) {
        self.removed.store(true, Ordering::Release);
        self.forget();
        self.touch(news);
    }

    pub(crate) fn removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// Whether there is no end any more for a reader at `position`.
    pub(crate) fn end_is_gone(&self, position: Offset) -> bool {
        self.end_is_gone.load(Ordering::Acquire) && self.ended().is_some_and(|end| position + 1 >= end)
    }

    /// Has what was made so far made again: something of it may not be shown any more.
    pub(crate) fn forget(&self) {
        let freed = self.cache.write().clear();
        self.total_bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// Positions are in `epoch` now.
    pub(crate) fn renew(&self, epoch: &Epoch) {
        let freed = {
            let mut cache = self.cache.write();
            cache.epoch = epoch.clone();
            cache.clear()
        };
        self.total_bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// There is news beside the log.
    pub(crate) fn touch(&self, news: &mut News<'_>) {
        self.version.fetch_add(1, Ordering::Release);
        self.wakers.lock().take(&mut news.wakers);
    }

    pub(crate) fn wants_progress(&self, execution: &ExecutionId, node: &NodeId) -> bool {
        self.key.filter.matches_parts(execution, &EventType::NodeProgress, Some(node))
    }

    /// Whether a reader must look at `record`.
    pub(crate) fn wants(&self, record: &Record) -> bool {
        self.key.filter.matches(record) || self.is_end(record)
    }

    pub(crate) fn is_end(&self, record: &Record) -> bool {
        let ended = record.terminal.as_ref().map(|_| &record.execution);
        // The end of the root is the end of everything in it.
        ended.is_some() && (ended == self.key.target.as_ref() || ended == self.key.root.as_ref())
    }

    // Taking.

    /// Gives what is here, else makes it from `tail`.
    pub(crate) fn step(&self, tail: &RwLock<Window>, head: &AtomicU64, taking: &mut Taking) -> Step {
        if self.cache.read().take(taking) {
            return Step::Moved;
        }
        let now = head.load(Ordering::Acquire);
        if now <= taking.position {
            return Step::Current(now);
        }
        let mut cache = self.cache.write();
        if cache.take(taking) {
            return Step::Moved;
        }
        let mut records = std::mem::take(&mut cache.records);
        let up_to = cache.next_from(taking.position);
        let span = Span { after: taking.position, up_to, max_records: STEP_RECORDS, max_bytes: STEP_BYTES };
        let found = tail.read().read(&self.scope, span, &mut records);
        let step = if found.pruned.is_some() {
            cache.void(taking.position).map_or(Step::Behind, Step::Void)
        } else {
            self.put(&mut cache, taking.position, &records, found.scanned_to);
            if !cache.take(taking) {
                // Nothing of this scope: no segment was worth making.
                taking.position = found.scanned_to;
            }
            Step::Moved
        };
        records.clear();
        cache.records = records;
        step
    }

    /// Up to where a reader at `position` finds something here.
    fn covered(&self, position: Offset) -> Option<Offset> {
        if self.end_is_gone(position) {
            return Some(position + 1);
        }
        let cache = self.cache.read();
        let segment = cache.at(position).map(|segment| segment.to);
        segment.or_else(|| cache.void(position).map(|void| void.to))
    }

    /// Whether so many bytes fit in without making room.
    fn has_room(&self, bytes: usize) -> bool {
        self.cache.read().bytes + bytes <= self.max_bytes
    }

    /// The life of what is here, and where the next of it begins behind `position`.
    fn bounds_behind(&self, position: Offset) -> (u64, Offset) {
        let cache = self.cache.read();
        (cache.life, cache.next_from(position))
    }

    /// Takes over what was read behind `from` in the given life.
    fn take_over(&self, life: u64, from: Offset, batch: ReadBatch) -> Taken {
        let ReadBatch { pruned, mut records, mut scanned_to } = batch;
        if scanned_to <= from {
            // A log that stands still here would be asked for ever.
            return Taken::StandsStill;
        }
        let mut to = pruned.map_or(from, |pruned| (*pruned.offsets.end()).max(from));
        if let Some(end) = self.ended()
            && to >= end
        {
            // The run was removed while readers were behind.
            to = (end - 1).max(from);
            records.clear();
            scanned_to = end;
            match self.end.get() {
                Some(record) => records.push(Arc::clone(record)),
                None => {
                    self.end_is_gone.store(true, Ordering::Release);
                    scanned_to = to;
                }
            }
        }
        let mut cache = self.cache.write();
        if cache.life != life {
            return Taken::Stale;
        }
        cache.leave_out(from, Void { to, pruned: true });
        if cache.holds(to) {
            return Taken::Until(to.max(from + 1));
        }
        // Behind the limit there are segments: what they hold needs not be made again.
        let limit = cache.next_from(to);
        let cut = records.partition_point(|record| record.offset <= limit);
        let records = records.get(..cut).unwrap_or(&records);
        let scanned_to = scanned_to.min(limit);
        self.put(&mut cache, to, records, scanned_to);
        if !cache.holds(to) {
            cache.leave_out(to, Void { to: scanned_to, pruned: false });
        }
        Taken::Until(scanned_to.max(from + 1))
    }

    fn put(&self, cache: &mut Cache, from: Offset, records: &[Arc<Record>], to: Offset) {
        if let Some(end) = records.iter().find(|record| self.is_end(record)) {
            self.end_at(end.offset);
        }
        let Cache { epoch, segments, order, bytes, buffer, .. } = cache;
        let open = segments.range_mut(..=from).next_back().map(|(_, segment)| segment);
        let open = open.filter(|segment| segment.to == from && !segment.is_full());
        if records.is_empty() {
            if let Some(segment) = open {
                segment.to = to;
            }
            return;
        }
        let segment = match open {
            Some(segment) => segment,
            None => {
                order.push_back(from);
                segments.entry(from).or_insert(Segment::new(from))
            }
        };
        let before = if segment.to == segment.from { 0 } else { segment.footprint() };
        segment.extend(records, to, &self.key.filter, (&*self.encoder, epoch), buffer);
        let after = segment.footprint();
        *bytes = *bytes + after - before;
        let newest = segment.from;
        let mut freed = before;
        while *bytes > self.max_bytes && order.front().is_some_and(|oldest| *oldest != newest) {
            let evicted = order.pop_front().and_then(|oldest| segments.remove(&oldest));
            let evicted = evicted.map_or(0, |segment| segment.footprint());
            *bytes -= evicted;
            freed += evicted;
        }
        self.total_bytes.fetch_add(after, Ordering::Relaxed);
        self.total_bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// The bytes of an event that is not stored.
    pub(crate) fn show(&self, record: &Record) -> Bytes {
        let mut shown = self.shown.lock();
        let at = shown.frames.partition_point(|(offset, _)| *offset < record.offset);
        if let Some((offset, bytes)) = shown.frames.get(at)
            && *offset == record.offset
        {
            return bytes.clone();
        }
        let mut out = BytesMut::with_capacity(record.json.len() + 16);
        self.encoder.encode_ephemeral(&record.json, &mut out);
        let bytes = out.freeze();
        shown.bytes += bytes.len();
        shown.frames.insert(at, (record.offset, bytes.clone()));
        while shown.bytes > SHOWN_BYTES
            && let Some((_, oldest)) = shown.frames.pop_front()
        {
            shown.bytes -= oldest.len();
        }
        bytes
    }

    /// The bytes of a part of a growing output.
    pub(crate) fn progress(&self, part: Part, json: impl FnOnce() -> Bytes) -> Bytes {
        let mut frame = self.frame.lock();
        if let Some((known, bytes)) = &*frame
            && *known == part
        {
            return bytes.clone();
        }
        let mut out = BytesMut::new();
        self.encoder.encode_ephemeral(&json(), &mut out);
        let bytes = out.freeze();
        *frame = Some((part, bytes.clone()));
        bytes
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.total_bytes.fetch_sub(self.cache.get_mut().bytes, Ordering::Relaxed);
    }
}

// === impl Cache ===

impl Cache {
    /// Returns how many bytes are free now.
    fn clear(&mut self) -> usize {
        self.life += 1;
        self.segments.clear();
        self.voids.clear();
        self.order.clear();
        std::mem::take(&mut self.bytes)
    }

    fn at(&self, position: Offset) -> Option<&Segment> {
        let (_, segment) = self.segments.range(..=position).next_back()?;
        Some(segment).filter(|segment| position < segment.to)
    }

    fn holds(&self, position: Offset) -> bool {
        self.at(position).is_some()
    }

    fn void(&self, position: Offset) -> Option<Void> {
        let (_, void) = self.voids.range(..=position).next_back()?;
        Some(*void).filter(|void| position < void.to)
    }

    /// Remembers that there is no event behind `from` up to the end of `void`.
    fn leave_out(&mut self, from: Offset, void: Void) {
        if void.to > from {
            self.voids.insert(from, void);
            if self.voids.len() > VOIDS {
                self.voids.pop_first();
            }
        }
    }

    /// Where the next segment begins: up to there it is worth making one.
    fn next_from(&self, position: Offset) -> Offset {
        let behind = (std::ops::Bound::Excluded(position), std::ops::Bound::Unbounded);
        self.segments.range(behind).next().map_or(Offset::MAX, |(from, _)| *from)
    }

    /// Hands out what comes behind the reader's position; `false` if it is not here.
    fn take(&self, taking: &mut Taking) -> bool {
        let mut moved = false;
        while let Some(segment) = self.at(taking.position) {
            moved = true;
            segment.take(taking);
            if taking.full || (taking.events == 0 && taking.unreported >= UNREPORTED) {
                break;
            }
        }
        moved
    }
}
