//! Notices when the writer is stuck in the middle of a commit.

use std::{sync::Arc, time::Duration};

use core_events::ports::LogProblemKind;
use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use crate::shared::Shared;

/// So often it looks within the bound.
const LOOKS: u32 = 8;

/// It looks no more often than that.
const SHORTEST: Duration = Duration::from_millis(5);

/// Ends threads, and tells whether they have ended.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    on: Mutex<bool>,
    changed: Condvar,
}

/// Watches until `stop`.
pub(crate) fn watch(shared: &Shared, stop: &Signal) {
    let bound = shared.options.stall_after;
    let mut front = None;
    let mut since = Instant::now();
    while !stop.wait((bound / LOOKS).max(SHORTEST)) {
        let (now, in_trouble) = {
            let sequencer = shared.sequencer.lock();
            (sequencer.front(), sequencer.trouble.is_some())
        };
        if now != front || now.is_none() {
            (front, since) = (now, Instant::now());
        } else if !in_trouble && since.elapsed() >= bound {
            shared.degrade(LogProblemKind::Stalled, format!("a commit takes longer than {bound:?}"));
        }
    }
}

// === impl Signal ===

impl Signal {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn give(&self) {
        *self.on.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for it, `bound` at most. Returns whether it was given.
    pub(crate) fn wait(&self, bound: Duration) -> bool {
        let mut on = self.on.lock();
        self.changed.wait_while_for(&mut on, |on| !*on, bound);
        *on
    }
}
