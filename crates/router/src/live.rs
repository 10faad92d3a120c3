//! What all subscriptions share: the committed tail, the views, and who is woken.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use core_events::{
    CallbackContext, EndReason, Epoch, ExecutionId, GapReason, Offset, Progress, Record,
    ports::{CommitListener, Encoder, GapCounts, RouterStats, SubscribeError},
};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::time::Instant;

use crate::{
    flusher::Flusher,
    progress::Texts,
    router::RouterOptions,
    unstored::Unstored,
    view::{Key, Ticket, View},
    window::{Bounds, Keep, Window},
};

/// Is told by the log what was committed, and wakes the readers.
///
/// A publish takes the texts, then the tail, then what is not stored, then the index and in it the wakers or the cache of a
/// view; a reader takes its view's cache and in it the tail. Nobody is woken, and no waker dropped, under any of them.
#[derive(Debug)]
pub(crate) struct Live {
    epoch: RwLock<Epoch>,
    options: RouterOptions,
    pub(crate) tail: RwLock<Window>,
    /// The tail's head, for a look without a lock.
    pub(crate) head: AtomicU64,
    index: Mutex<Index>,
    unstored: Mutex<Unstored>,
    /// How many of these there are, for a look without a lock.
    unstored_held: AtomicUsize,
    /// The last position that was reported as not stored.
    unstored_to: AtomicU64,
    texts: Mutex<Texts>,
    /// How many texts there are, for a look without a lock.
    texts_held: AtomicUsize,
    closed: OnceLock<Closing>,
    /// Kept from one waking to the next.
    spare: Mutex<Vec<Waker>>,
    pub(crate) flusher: Arc<Flusher>,
    subscriptions: AtomicUsize,
    view_bytes: Arc<AtomicUsize>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) published: AtomicU64,
    pub(crate) publish_errors: AtomicU64,
    delivered: AtomicU64,
    delivered_bytes: AtomicU64,
    evicted: AtomicU64,
    foreign_epoch: AtomicU64,
    future_cursor: AtomicU64,
}

/// Why all streams end, and what is still delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    pub(crate) reason: EndReason,
    /// The head of the log at that moment.
    pub(crate) head: Offset,
    /// The same, with what was not stored.
    pub(crate) known: Offset,
}

/// The views that have readers.
#[derive(Debug, Default)]
struct Index {
    by_key: HashMap<Key, Shared>,
    by_root: HashMap<ExecutionId, BTreeMap<u64, Arc<View>>>,
    of_all: BTreeMap<u64, Arc<View>>,
    /// How many subscriptions each execution has.
    watched: HashMap<ExecutionId, usize>,
    next: u64,
}

#[derive(Debug)]
struct Shared {
    view: Arc<View>,
    readers: usize,
}

/// A place among the open subscriptions; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Seat {
    live: Arc<Live>,
}

/// A reader's part in a view; dropping it unregisters the reader, and the view with its last reader (I13).
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) live: Arc<Live>,
    pub(crate) view: Arc<View>,
    pub(crate) ticket: Ticket,
    /// Where the reader is, for whoever wants to know how far behind it is.
    pub(crate) place: Arc<AtomicU64>,
    _seat: Seat,
}

/// Whom something is news for.
#[derive(Debug)]
pub(crate) struct News<'a> {
    flusher: &'a Flusher,
    now: OnceCell<Option<Instant>>,
    /// To be woken at once.
    pub(crate) wakers: Vec<Waker>,
    /// To be woken then.
    pub(crate) later: Vec<(Arc<View>, Instant)>,
}

// === impl News ===

impl News<'_> {
    /// The same moment for all; unknown when nothing can be done later.
    pub(crate) fn now(&self) -> Option<Instant> {
        *self.now.get_or_init(|| self.flusher.now())
    }
}

// === impl Counts ===

impl Counts {
    /// A block, or an event that is not stored, was handed out.
    pub(crate) fn delivered(&self, events: usize, bytes: usize) {
        self.delivered.fetch_add(events as u64, Ordering::Relaxed);
        self.delivered_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A gap was told.
    pub(crate) fn gap(&self, reason: GapReason) {
        let count = match reason {
            GapReason::Evicted => &self.evicted,
            GapReason::ForeignEpoch => &self.foreign_epoch,
            GapReason::FutureCursor => &self.future_cursor,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn gaps(&self) -> GapCounts {
        GapCounts {
            evicted: self.evicted.load(Ordering::Relaxed),
            foreign_epoch: self.foreign_epoch.load(Ordering::Relaxed),
            future_cursor: self.future_cursor.load(Ordering::Relaxed),
        }
    }
}

// === impl Live ===

impl Live {
    pub(crate) fn new(options: RouterOptions, epoch: Epoch) -> Self {
        let bounds = Bounds {
            records: options.tail_records,
            bytes: options.tail_bytes,
            records_per_run: options.tail_records_per_run,
        };
        Self {
            epoch: RwLock::new(epoch),
            tail: RwLock::new(Window::new(bounds, Keep::Nothing)),
            head: AtomicU64::new(0),
            index: Mutex::default(),
            unstored: Mutex::new(Unstored::new(options.unstored_bytes)),
            unstored_held: AtomicUsize::new(0),
            unstored_to: AtomicU64::new(0),
            texts: Mutex::new(Texts::new(options.progress_nodes)),
            texts_held: AtomicUsize::new(0),
            closed: OnceLock::new(),
            spare: Mutex::default(),
            flusher: Arc::new(Flusher::new()),
            subscriptions: AtomicUsize::new(0),
            view_bytes: Arc::default(),
            counts: Counts::default(),
            options,
        }
    }

    /// What is up to `head` was committed before the log began to report.
    pub(crate) fn begin_at(&self, head: Offset) {
        self.tail.write().begin_at(head);
        self.head.fetch_max(head, Ordering::AcqRel);
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.read().clone()
    }

    pub(crate) fn head(&self) -> Offset {
        self.head.load(Ordering::Acquire)
    }

    /// The last position that a reader may have seen anything of.
    pub(crate) fn known(&self) -> Offset {
        self.head().max(self.unstored_to.load(Ordering::Acquire))
    }

    pub(crate) fn closed(&self) -> Option<Closing> {
        self.closed.get().copied()
    }

    pub(crate) fn seat(self: &Arc<Self>) -> Result<Seat, SubscribeError> {
        let limit = self.options.subscriptions;
        let more = |open: usize| (open < limit).then_some(open + 1);
        match self.subscriptions.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(Seat { live: Arc::clone(self) }),
            Err(open) => Err(SubscribeError::TooMany(open)),
        }
    }

    pub(crate) fn join(self: &Arc<Self>, seat: Seat, key: Key, encoder: Arc<dyn Encoder>) -> Member {
        let mut index = self.index.lock();
        if let Some(target) = &key.target {
            *index.watched.entry(target.clone()).or_default() += 1;
        }
        let view = match index.by_key.get_mut(&key) {
            Some(shared) => {
                shared.readers += 1;
                Arc::clone(&shared.view)
            }
            None => {
                index.next += 1;
                let (id, with) = (index.next, (encoder, self.epoch()));
                let total = Arc::clone(&self.view_bytes);
                let view = Arc::new(View::new(key.clone(), id, with, self.options.view_bytes, total));
                index.views_of(key.root.as_ref()).insert(id, Arc::clone(&view));
                index.by_key.insert(key, Shared { view: Arc::clone(&view), readers: 1 });
                view
            }
        };
        drop(index);
        let (ticket, place) = view.join();
        Member { live: Arc::clone(self), view, ticket, place, _seat: seat }
    }

    fn leave(&self, view: &View) {
        let mut index = self.index.lock();
        if let Some(target) = &view.key.target
            && let Some(count) = index.watched.get_mut(target)
        {
            *count -= 1;
            if *count == 0 {
                index.watched.remove(target);
            }
        }
        // Each reader of the view was counted, so the one under this key is this one; the id proves it (I13).
        let Some(shared) = index.by_key.get_mut(&view.key).filter(|shared| shared.view.id == view.id) else {
            return;
        };
        shared.readers -= 1;
        if shared.readers == 0 {
            index.by_key.remove(&view.key);
            let views = index.views_of(view.key.root.as_ref());
            views.remove(&view.id);
            if let (true, Some(root)) = (views.is_empty(), &view.key.root) {
                index.by_root.remove(root);
            }
        }
    }

    /// Ends all streams behind what is committed now. The first reason counts.
    pub(crate) fn close(&self, reason: EndReason) {
        self.closed.get_or_init(|| Closing { reason, head: self.head(), known: self.known() });
        self.tell_all(View::touch);
    }

    /// Tells the views of all scopes.
    fn tell_all(&self, tell: impl Fn(&View, &mut News<'_>)) {
        let mut news = self.news();
        let index = self.index.lock();
        index.by_key.values().for_each(|shared| tell(&shared.view, &mut news));
        drop(index);
        self.spread(news);
    }

    /// Tells each view which of `records` are in its scope.
    fn tell_of(&self, records: &[Arc<Record>], tell: impl Fn(&Arc<View>, &[Arc<Record>], &mut News<'_>)) {
        let mut news = self.news();
        let index = self.index.lock();
        for run in records.chunk_by(|a, b| a.root == b.root) {
            let root = run.first().and_then(|record| index.by_root.get(&record.root));
            root.into_iter().flat_map(BTreeMap::values).for_each(|view| tell(view, run, &mut news));
        }
        index.of_all.values().for_each(|view| tell(view, records, &mut news));
        drop(index);
        self.spread(news);
    }

    /// The head moved to `head`; the tail has moved already.
    fn move_head(&self, head: Offset) {
        self.head.fetch_max(head, Ordering::AcqRel);
        if self.unstored_held.load(Ordering::Acquire) == 0 {
            return;
        }
        // Only now: who finds nothing here any more finds the head moved.
        let mut unstored = self.unstored.lock();
        unstored.settle(head);
        self.unstored_held.store(unstored.len(), Ordering::Release);
    }

    /// What is not stored, if there is anything.
    pub(crate) fn unstored(&self) -> Option<MutexGuard<'_, Unstored>> {
        (self.unstored_held.load(Ordering::Acquire) > 0).then(|| self.unstored.lock())
    }

    /// No text of a node may come after its end.
    fn note_texts(&self, records: &[Arc<Record>]) {
        let mut texts = self.texts.lock();
        records.iter().for_each(|record| texts.committed(record));
        self.texts_held.store(texts.len(), Ordering::Release);
    }

    pub(crate) fn progress(&self, cx: &CallbackContext, progress: &Progress) {
        if progress.text.is_empty() {
            return;
        }
        {
            let mut texts = self.texts.lock();
            texts.push(cx, progress, self.known());
            self.texts_held.store(texts.len(), Ordering::Release);
        }
        let mut news = self.news();
        let index = self.index.lock();
        let views = index.by_root.get(&cx.root).into_iter().flat_map(BTreeMap::values);
        for view in views.chain(index.of_all.values()) {
            if view.wants_progress(&cx.execution, &progress.node) {
                view.touch(&mut news);
            }
        }
        drop(index);
        self.spread(news);
    }

    /// The texts, if there are any.
    pub(crate) fn texts(&self) -> Option<MutexGuard<'_, Texts>> {
        (self.texts_held.load(Ordering::Acquire) > 0).then(|| self.texts.lock())
    }

    fn news(&self) -> News<'_> {
        let wakers = std::mem::take(&mut *self.spare.lock());
        News { flusher: &self.flusher, now: OnceCell::new(), wakers, later: Vec::new() }
    }

    /// Wakes whom it is to be told to. No lock may be held.
    fn spread(&self, news: News<'_>) {
        let News { mut wakers, later, .. } = news;
        for (view, due) in later {
            if !self.flusher.plan(&view, due) {
                view.flush_now(&mut wakers);
            }
        }
        self.flusher.wake(&mut wakers);
        let mut spare = self.spare.lock();
        if spare.capacity() < wakers.capacity() {
            *spare = wakers;
        }
    }

    pub(crate) fn stats(&self) -> RouterStats {
        let (tail_records, tail_bytes) = {
            let tail = self.tail.read();
            (tail.records(), tail.bytes())
        };
        let (views, watched_executions): (Vec<_>, _) = {
            let index = self.index.lock();
            let views = index.by_key.values().map(|shared| Arc::clone(&shared.view));
            (views.collect(), index.watched.len())
        };
        let (mut lag_max, mut lag_sum) = (0, 0_u64);
        for view in &views {
            view.lags(|lag| (lag_max, lag_sum) = (lag.max(lag_max), lag_sum.saturating_add(lag)));
        }
        RouterStats {
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            watched_executions,
            views: views.len(),
            view_bytes: self.view_bytes.load(Ordering::Relaxed),
            tail_records,
            tail_bytes,
            published: self.counts.published.load(Ordering::Relaxed),
            publish_errors: self.counts.publish_errors.load(Ordering::Relaxed),
            delivered: self.counts.delivered.load(Ordering::Relaxed),
            delivered_bytes: self.counts.delivered_bytes.load(Ordering::Relaxed),
            gaps: self.counts.gaps(),
            lag_max,
            lag_sum,
        }
    }
}

impl CommitListener for Live {
    fn committed(&self, records: &[Arc<Record>]) {
        let Some(last) = records.last() else { return };
        // Those that were reported before did that then; their nodes may have begun anew.
        let told = self.unstored_to.load(Ordering::Acquire);
        let new = records.partition_point(|record| record.offset <= told);
        self.note_texts(records.get(new..).unwrap_or_default());
        self.tail.write().extend(records);
        self.move_head(last.offset);
        self.tell_of(records, View::committed);
    }

    fn unstored(&self, records: &[Arc<Record>]) {
        let Some(last) = records.last() else { return };
        self.note_texts(records);
        {
            let mut unstored = self.unstored.lock();
            unstored.extend(records, self.head());
            self.unstored_to.fetch_max(last.offset, Ordering::AcqRel);
            self.unstored_held.store(unstored.len(), Ordering::Release);
        }
        self.tell_of(records, View::unstored);
    }

    fn lost(&self, up_to: Offset) {
        // A hole in the middle is nothing that the tail knows of: it begins anew behind it.
        self.tail.write().restart_at(up_to);
        self.move_head(up_to);
        self.tell_all(View::touch);
    }

    fn removed(&self, root: &ExecutionId) {
        self.tail.write().remove(root);
        {
            let mut unstored = self.unstored.lock();
            unstored.remove(root);
            self.unstored_held.store(unstored.len(), Ordering::Release);
        }
        self.tell_all(|view, news| {
            if view.key.root.as_ref() == Some(root) {
                view.remove(news);
            } else if view.key.root.is_none() {
                view.forget();
            }
        });
    }

    fn renewed(&self, epoch: &Epoch) {
        *self.epoch.write() = epoch.clone();
        self.tell_all(|view, _| view.renew(epoch));
    }
}

// === impl Index ===

impl Index {
    fn views_of(&mut self, root: Option<&ExecutionId>) -> &mut BTreeMap<u64, Arc<View>> {
        match root {
            Some(root) => self.by_root.entry(root.clone()).or_default(),
            None => &mut self.of_all,
        }
    }
}

// === impl Seat, Member ===

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.subscriptions.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.view.leave(self.ticket);
        self.live.leave(&self.view);
    }
}
