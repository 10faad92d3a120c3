//! When readers are woken: at once, or together with what comes a moment later.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Notify, task::JoinHandle, time::Instant};

use crate::view::View;

/// Twice what waking a reader and writing to its socket take, about: so flushing leaves half of a core to all else.
const PER_READER: Duration = Duration::from_micros(20);

/// Events wait no longer for others.
const LONGEST: Duration = Duration::from_millis(20);

/// A shorter interval is not worth a timer.
const SHORTEST: Duration = Duration::from_micros(500);

/// More wakers than these are woken by the task: inside the runtime that is cheaper, and a commit need not wait for it.
const AT_ONCE: usize = 16;

/// So many are woken before whoever else has something to do gets a turn: else publishers would wait for all readers.
const TURN: usize = 64;

/// How long after a flush of a view with so many readers the next one may come.
///
/// When all is quiet an event goes out as it comes. When events come faster than they can be written to everybody, they go
/// out together.
pub(crate) fn interval(readers: usize) -> Duration {
    let readers = u32::try_from(readers).unwrap_or(u32::MAX);
    let interval = PER_READER.saturating_mul(readers).min(LONGEST);
    if interval < SHORTEST { Duration::ZERO } else { interval }
}

/// Wakes readers later, or elsewhere.
///
/// Outside of a runtime there is nobody to do that; then all are woken at once.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    runtime: Option<Handle>,
    plan: Mutex<Plan>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Plan {
    /// Whether somebody carries it out.
    running: bool,
    views: BTreeMap<(Instant, u64), Weak<View>>,
    wakers: VecDeque<Waker>,
}

/// The task that carries the plan out; ends with this (I13).
#[derive(Debug)]
pub(crate) struct Flushing {
    flusher: Arc<Flusher>,
    task: Option<JoinHandle<()>>,
}

// === impl Flusher ===

impl Flusher {
    pub(crate) fn new() -> Self {
        Self { runtime: Handle::try_current().ok(), ..Self::default() }
    }

    /// Now, by the clock of the runtime, whatever thread asks; `None` when nothing can be done later.
    pub(crate) fn now(&self) -> Option<Instant> {
        let runtime = self.runtime.as_ref()?;
        if !self.plan.lock().running {
            return None;
        }
        let _inside = runtime.enter();
        Some(Instant::now())
    }

    /// Has `view` flushed at `at`. Returns whether that will be.
    pub(crate) fn plan(&self, view: &Arc<View>, at: Instant) -> bool {
        let sooner = {
            let mut plan = self.plan.lock();
            if !plan.running {
                return false;
            }
            let sooner = plan.views.first_key_value().is_none_or(|((first, _), _)| at < *first);
            plan.views.insert((at, view.id), Arc::downgrade(view));
            sooner
        };
        if sooner {
            self.changed.notify_one();
        }
        true
    }

    /// Wakes all of `wakers`, here or in the task, and leaves it empty.
    pub(crate) fn wake(&self, wakers: &mut Vec<Waker>) {
        if wakers.len() > AT_ONCE {
            let mut plan = self.plan.lock();
            if plan.running {
                plan.wakers.extend(wakers.drain(..));
                drop(plan);
                self.changed.notify_one();
                return;
            }
        }
        wakers.drain(..).for_each(Waker::wake);
    }

    async fn run(&self) {
        let mut wakers = Vec::new();
        let mut due = Vec::new();
        loop {
            let now = Instant::now();
            let next = {
                let mut plan = self.plan.lock();
                while let Some(first) = plan.views.first_entry().filter(|first| first.key().0 <= now) {
                    due.extend(first.remove().upgrade());
                }
                plan.views.first_key_value().map(|((at, _), _)| *at)
            };
            due.drain(..).for_each(|view| view.flush(now, &mut wakers));
            let more = {
                // What waits for its turn waits in the plan, where nobody is forgotten when this is dropped.
                let mut plan = self.plan.lock();
                plan.wakers.extend(wakers.drain(..));
                let turn = plan.wakers.len().min(TURN);
                wakers.extend(plan.wakers.drain(..turn));
                !plan.wakers.is_empty()
            };
            wakers.drain(..).for_each(Waker::wake);
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            let changed = self.changed.notified();
            match next {
                // Whether it came or the time did, the plan is what counts.
                Some(at) => drop(tokio::time::timeout_at(at, changed).await),
                None => changed.await,
            }
        }
    }
}

// === impl Flushing ===

impl Flushing {
    pub(crate) fn start(flusher: &Arc<Flusher>) -> Self {
        let task = flusher.runtime.as_ref().map(|runtime| {
            flusher.plan.lock().running = true;
            let flusher = Arc::clone(flusher);
            runtime.spawn(async move { flusher.run().await })
        });
        Self { flusher: Arc::clone(flusher), task }
    }
}

impl Drop for Flushing {
    /// Subscriptions go on, and are woken at once from now on.
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        let Plan { views, wakers, .. } = std::mem::take(&mut *self.flusher.plan.lock());
        let mut wakers = Vec::from(wakers);
        views.into_values().filter_map(|view| view.upgrade()).for_each(|view| view.flush_now(&mut wakers));
        wakers.into_iter().for_each(Waker::wake);
    }
}
