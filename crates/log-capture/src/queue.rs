//! The lines of a run that wait for their callback.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, LazyLock},
};

use core_events::{ExecutionId, LogLine};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

/// The most lines of a run that wait; further ones are dropped and counted (I4: whoever logs never waits).
pub const MAX_WAITING_LINES: usize = 1_000;

/// The queues of all runs that are observed at present. One for the process, as the `tracing` subscriber is.
static QUEUES: LazyLock<RwLock<HashMap<ExecutionId, Arc<Queue>>>> = LazyLock::new(RwLock::default);

/// The queue of one run.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// Told when a line comes.
    pub(crate) arrived: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) lines: VecDeque<LogLine>,
    /// How many were dropped since the lines were last taken.
    pub(crate) dropped: u64,
}

/// Enters a queue for `execution`, until it is [`remove`]d.
pub(crate) fn enter(execution: &ExecutionId) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    QUEUES.write().insert(execution.clone(), Arc::clone(&queue));
    queue
}

/// Takes no more lines for `execution`, if `queue` is still the one that does.
pub(crate) fn remove(execution: &ExecutionId, queue: &Arc<Queue>) {
    let mut queues = QUEUES.write();
    if queues.get(execution).is_some_and(|entered| Arc::ptr_eq(entered, queue)) {
        queues.remove(execution);
    }
}

/// Puts the line that `make` makes into the queue of `execution`, if that run is observed.
pub(crate) fn put(execution: &ExecutionId, make: impl FnOnce() -> LogLine) {
    let Some(queue) = QUEUES.read().get(execution).cloned() else { return };
    // Made outside the lock: formatting runs other people's code.
    let line = make();
    {
        let mut waiting = queue.waiting.lock();
        if waiting.lines.len() < MAX_WAITING_LINES {
            waiting.lines.push_back(line);
        } else {
            waiting.dropped = waiting.dropped.saturating_add(1);
        }
    }
    queue.arrived.notify_one();
}

// === impl Queue ===

impl Queue {
    /// What waits, in the order in which it came.
    pub(crate) fn take(&self) -> Waiting {
        std::mem::take(&mut self.waiting.lock())
    }
}
