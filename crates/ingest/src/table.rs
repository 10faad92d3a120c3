//! The open runs of outside engines.

use std::{collections::HashMap, sync::Arc, time::Duration};

use core_events::{Cursor, ExecutionId, Seq};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OnceCell},
    time::Instant,
};

/// The open runs, by id.
#[derive(Debug, Default)]
pub(crate) struct Table {
    runs: Mutex<HashMap<ExecutionId, Arc<Run>>>,
    /// Told when a run comes in: its lease may be the next to run out.
    pub(crate) grown: Notify,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Run {
    /// Set once what the log knows of the run is known here; whoever comes first finds out, or opens it.
    pub(crate) begun: OnceCell<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When its lease runs out.
    due: Instant,
    last: Option<Place>,
}

/// The end of a run so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) step: u64,
    pub(crate) seq: Seq,
    pub(crate) cursor: Cursor,
}

// === impl Table ===

impl Table {
    /// The run `id`, which is added with a lease of its own if it is not there. `None` if there are `most` others.
    pub(crate) fn enter(&self, id: &ExecutionId, lease: Duration, most: usize) -> Option<Arc<Run>> {
        let mut runs = self.runs.lock();
        if let Some(run) = runs.get(id) {
            return Some(Arc::clone(run));
        }
        if runs.len() >= most {
            return None;
        }
        let state = State { due: Instant::now() + lease, last: None };
        let run = Arc::new(Run { begun: OnceCell::new(), state: Mutex::new(state) });
        runs.insert(id.clone(), Arc::clone(&run));
        self.grown.notify_one();
        Some(run)
    }

    pub(crate) fn get(&self, id: &ExecutionId) -> Option<Arc<Run>> {
        self.runs.lock().get(id).cloned()
    }

    pub(crate) fn remove(&self, id: &ExecutionId) {
        self.runs.lock().remove(id);
    }

    /// Removes `run` if nobody came to know anything of it.
    pub(crate) fn give_up(&self, id: &ExecutionId, run: &Arc<Run>) {
        let mut runs = self.runs.lock();
        if !run.begun.initialized() && runs.get(id).is_some_and(|known| Arc::ptr_eq(known, run)) {
            runs.remove(id);
        }
    }

    /// When the next lease runs out.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.runs.lock().values().map(|run| run.state.lock().due).min()
    }

    /// The runs whose leases have run out.
    pub(crate) fn silent(&self) -> Vec<(ExecutionId, Arc<Run>)> {
        let runs = self.runs.lock();
        let silent = runs.iter().filter(|(_, run)| run.is_silent());
        silent.map(|(id, run)| (id.clone(), Arc::clone(run))).collect()
    }
}

// === impl Run ===

impl Run {
    pub(crate) fn is_silent(&self) -> bool {
        self.state.lock().due <= Instant::now()
    }

    /// Its lease runs out after `lease` from now.
    pub(crate) fn renew(&self, lease: Duration) {
        self.state.lock().due = Instant::now() + lease;
    }

    pub(crate) fn last(&self) -> Option<Place> {
        self.state.lock().last.clone()
    }

    /// Notes the end of the run; an earlier one than is known says nothing new.
    pub(crate) fn reached(&self, place: Place) {
        let mut state = self.state.lock();
        if state.last.as_ref().is_none_or(|last| last.seq < place.seq) {
            state.last = Some(place);
        }
    }
}
