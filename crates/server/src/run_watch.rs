//! Watches what a run reports, to end it in the log when the engine can't.

use std::sync::Arc;

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    LogLine, NodeComplete, NodeError, NodeId, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse,
    StatusChange,
    ports::{Clock, ExecutionObserver},
};
use indexmap::{IndexMap, IndexSet};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Passes everything on and remembers what a terminal callback has to say.
///
/// It also tells when the first callback is through, which is when [`Executions::start`](core_events::ports::Executions)
/// may return.
#[derive(Debug)]
pub(crate) struct RunWatch {
    inner: Arc<dyn ExecutionObserver>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    begun: Option<oneshot::Sender<()>>,
    step: u64,
    running: IndexMap<NodeId, NodeStart>,
    failed: IndexSet<NodeId>,
}

// === impl RunWatch ===

impl RunWatch {
    /// Watches for `inner`; `begun` is told when the first callback is through.
    pub(crate) fn new(inner: Arc<dyn ExecutionObserver>, begun: oneshot::Sender<()>) -> Self {
        let state = State { begun: Some(begun), step: 0, running: IndexMap::new(), failed: IndexSet::new() };
        Self { inner, state: Mutex::new(state) }
    }

    /// Ends the run as failed, in place of an engine that no longer can.
    pub(crate) async fn fail(&self, execution: &ExecutionId, clock: &dyn Clock, error: &str) {
        let (cx, stopped, failed_nodes) = self.last(execution, clock);
        let failure = ExecutionFailure {
            error: error.to_owned(),
            reason: "internal".to_owned(),
            node: None,
            stopped,
            failed_nodes,
        };
        self.inner.on_execution_error(&cx, &failure).await;
    }

    /// Ends the run as aborted, in place of an engine that was cut off.
    pub(crate) async fn abort(&self, execution: &ExecutionId, clock: &dyn Clock, reason: &str) {
        let (cx, stopped, failed_nodes) = self.last(execution, clock);
        let aborted = ExecutionAborted { reason: reason.to_owned(), stopped, failed_nodes };
        self.inner.on_execution_aborted(&cx, &aborted).await;
    }

    /// What the last callback of the run comes with.
    fn last(
        &self,
        execution: &ExecutionId,
        clock: &dyn Clock,
    ) -> (CallbackContext, Vec<NodeStart>, Vec<NodeId>) {
        let mut state = self.state.lock();
        state.step += 1;
        let cx = CallbackContext {
            execution: execution.clone(),
            parent: None,
            root: execution.clone(),
            step: state.step,
            time: clock.now(),
        };
        let stopped = std::mem::take(&mut state.running).into_values().collect();
        (cx, stopped, state.failed.iter().cloned().collect())
    }

    /// Notes a callback; sub-runs end with their root.
    fn note(&self, cx: &CallbackContext, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        state.step = state.step.max(cx.step);
        if cx.execution == cx.root {
            change(&mut state);
        }
    }
}

#[async_trait]
impl ExecutionObserver for RunWatch {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        self.note(cx, |_| {});
        self.inner.on_execution_start(cx, start).await;
        if let Some(begun) = self.state.lock().begun.take() {
            // Nobody waits any more if the caller of `start` was cancelled.
            begun.send(()).ok();
        }
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.note(cx, |state| drop(state.running.insert(start.node.id.clone(), start.clone())));
        self.inner.on_node_start(cx, start).await;
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        self.note(cx, |state| drop(state.running.shift_remove(&complete.node.id)));
        self.inner.on_node_complete(cx, complete).await;
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        self.note(cx, |state| {
            state.running.shift_remove(&error.node.id);
            if !error.tolerated {
                state.failed.insert(error.node.id.clone());
            }
        });
        self.inner.on_node_error(cx, error).await;
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete) {
        self.note(cx, |_| {});
        self.inner.on_execution_complete(cx, complete).await;
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        self.note(cx, |_| {});
        self.inner.on_execution_error(cx, failure).await;
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.note(cx, |_| {});
        self.inner.on_node_skipped(cx, skipped).await;
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        self.note(cx, |_| {});
        self.inner.on_status_changed(cx, change).await;
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        self.note(cx, |_| {});
        self.inner.on_execution_aborted(cx, aborted).await;
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        self.note(cx, |_| {});
        self.inner.on_interactive_prompt(cx, prompt).await;
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        self.note(cx, |_| {});
        self.inner.on_interactive_response(cx, response).await;
    }

    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        self.note(cx, |_| {});
        self.inner.on_log(cx, line).await;
    }

    async fn on_progress(&self, cx: &CallbackContext, progress: &Progress) {
        self.note(cx, |_| {});
        self.inner.on_progress(cx, progress).await;
    }
}
