//! Gives the observer its callbacks, one at a time, numbered and dated.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use core_events::{
    CallbackContext, ExecutionId, LogLevel, LogLine, NodeId,
    ports::{Clock, ExecutionObserver},
};
use tokio::sync::{Mutex, MutexGuard};

/// Serialises the callbacks of one run.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) execution: ExecutionId,
    pub(crate) parent: Option<ExecutionId>,
    pub(crate) root: ExecutionId,
    pub(crate) observer: Arc<dyn ExecutionObserver>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The last step. Held while a callback is under way, so that the next one waits; fair, so that no node's log
    /// starves another's.
    pub(crate) step: Mutex<u64>,
}

/// The right to make one callback.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) observer: &'a dyn ExecutionObserver,
    pub(crate) cx: CallbackContext,
    _step: MutexGuard<'a, u64>,
}

/// The log of one run of a node.
#[derive(Debug)]
pub(crate) struct NodeLog {
    reporter: Arc<Reporter>,
    node: NodeId,
    limit: usize,
    written: AtomicUsize,
    truncated: AtomicBool,
}

// === impl Reporter ===

impl Reporter {
    /// Waits until the callback before is done.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        let mut step = self.step.lock().await;
        *step += 1;
        let cx = CallbackContext {
            execution: self.execution.clone(),
            parent: self.parent.clone(),
            root: self.root.clone(),
            step: *step,
            time: self.clock.now(),
        };
        Turn { observer: &*self.observer, cx, _step: step }
    }
}

// === impl NodeLog ===

impl NodeLog {
    pub(crate) const fn new(reporter: Arc<Reporter>, node: NodeId, limit: usize) -> Self {
        let (written, truncated) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { reporter, node, limit, written, truncated }
    }

    /// Whether no further line will be reported.
    pub(crate) fn is_full(&self) -> bool {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Reports a line and waits until the observer has it. The first line that doesn't fit is replaced by
    /// LOG_TRUNCATED; further ones are dropped.
    pub(crate) async fn line(&self, level: LogLevel, logger: &str, message: String) {
        if self.is_full() {
            return;
        }
        // The line's end counts too, or empty lines would be free.
        let written = self.written.fetch_add(message.len() + 1, Ordering::Relaxed) + message.len() + 1;
        let (level, message, truncated) = if written <= self.limit {
            (level, message, false)
        } else if self.truncated.swap(true, Ordering::Relaxed) {
            return;
        } else {
            let text =
                format!("the log passed its limit of {} bytes; the rest of it is not recorded", self.limit);
            (LogLevel::Warning, text, true)
        };
        let line =
            LogLine { node: Some(self.node.clone()), level, logger: logger.to_owned(), message, truncated };
        let turn = self.reporter.turn().await;
        turn.observer.on_log(&turn.cx, &line).await;
    }
}
