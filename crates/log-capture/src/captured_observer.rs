//! The observer around an observer.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    LogLevel, LogLine, NodeComplete, NodeError, NodeId, NodeSkipped, NodeStart, Progress, Prompt,
    PromptResponse, StatusChange,
    ports::{Clock, ExecutionObserver},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    task::AbortHandle,
};

use crate::queue::{self, Queue};

/// Passes every callback of one run on, and makes callbacks of the lines that [`CaptureLayer`](crate::CaptureLayer)
/// found for it.
///
/// # Ordering
///
/// Callbacks reach the inner observer one at a time, numbered anew without a hole. What was logged before a callback is
/// passed on before it, so that a node's lines come between its start and its end; a line that a node's code logs after
/// that is one of the run itself. Nothing comes before the first callback or after the last (I9).
///
/// # Lagging
///
/// Whoever logs never waits. Beyond [`MAX_WAITING_LINES`](crate::MAX_WAITING_LINES) lines are dropped, and one line before
/// the last callback says how many.
///
/// # Closing
///
/// Dropping it ends its task and takes no more lines.
#[derive(Debug)]
pub struct CapturedObserver {
    execution: ExecutionId,
    shared: Arc<Shared>,
    /// The task that passes lines on while the engine has nothing to say.
    forwarder: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    inner: Arc<dyn ExecutionObserver>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    /// Held while a callback is under way.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The context of the last callback; none before the first.
    last: Option<CallbackContext>,
    running: HashSet<NodeId>,
    dropped: u64,
    ended: bool,
}

// === impl CapturedObserver ===

impl CapturedObserver {
    /// Wraps the observer of `execution`. Needs a Tokio runtime.
    #[must_use]
    pub fn new(inner: Arc<dyn ExecutionObserver>, execution: ExecutionId, clock: Arc<dyn Clock>) -> Self {
        let queue = queue::enter(&execution);
        let shared = Arc::new(Shared { inner, queue, clock, state: Mutex::default() });
        let forwarder = tokio::spawn(Arc::clone(&shared).forward_all()).abort_handle();
        Self { execution, shared, forwarder }
    }

    /// What comes before a callback: the lines before it, and its place among them.
    async fn turn(&self, cx: &CallbackContext) -> (MutexGuard<'_, State>, CallbackContext) {
        let mut state = self.shared.state.lock().await;
        self.shared.forward(&mut state).await;
        let cx = CallbackContext { step: state.step(), ..cx.clone() };
        state.last = Some(cx.clone());
        (state, cx)
    }

    /// What comes before the last callback of the run.
    async fn last_turn(&self, cx: &CallbackContext) -> (MutexGuard<'_, State>, CallbackContext) {
        if cx.execution != self.execution {
            return self.turn(cx).await;
        }
        queue::remove(&self.execution, &self.shared.queue);
        let (mut state, mut cx) = self.turn(cx).await;
        if state.dropped > 0 && !state.ended {
            self.shared.inner.on_log(&cx, &dropped(state.dropped)).await;
            cx.step += 1;
        }
        state.ended = true;
        (state, cx)
    }
}

impl Drop for CapturedObserver {
    fn drop(&mut self) {
        self.forwarder.abort();
        queue::remove(&self.execution, &self.shared.queue);
    }
}

// === impl Shared ===

impl Shared {
    async fn forward_all(self: Arc<Self>) {
        loop {
            self.queue.arrived.notified().await;
            let mut state = self.state.lock().await;
            self.forward(&mut state).await;
        }
    }

    /// Passes on what waits. Before the first callback it goes on waiting; after the last it is nobody's.
    async fn forward(&self, state: &mut State) {
        let Some(last) = state.last.clone() else { return };
        let waiting = self.queue.take();
        if state.ended {
            return;
        }
        state.dropped = state.dropped.saturating_add(waiting.dropped);
        for mut line in waiting.lines {
            line.node = line.node.filter(|node| state.running.contains(node));
            let cx = CallbackContext { step: state.step(), time: self.clock.now(), ..last.clone() };
            state.last = Some(cx.clone());
            self.inner.on_log(&cx, &line).await;
        }
    }
}

// === impl State ===

impl State {
    /// The number of the next callback.
    fn step(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.step).saturating_add(1)
    }
}

fn dropped(count: u64) -> LogLine {
    LogLine {
        node: None,
        level: LogLevel::Warning,
        logger: "log_capture".to_owned(),
        message: format!(
            "{count} log line(s) of this run were dropped: they came faster than they could be taken"
        ),
        truncated: true,
    }
}

#[async_trait]
impl ExecutionObserver for CapturedObserver {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        let (_state, cx) = self.turn(cx).await;
        self.shared.inner.on_execution_start(&cx, start).await;
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        let (mut state, cx) = self.turn(cx).await;
        self.shared.inner.on_node_start(&cx, start).await;
        state.running.insert(start.node.id.clone());
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        let (mut state, cx) = self.turn(cx).await;
        state.running.remove(&complete.node.id);
        self.shared.inner.on_node_complete(&cx, complete).await;
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        let (mut state, cx) = self.turn(cx).await;
        state.running.remove(&error.node.id);
        self.shared.inner.on_node_error(&cx, error).await;
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete) {
        let (_state, cx) = self.last_turn(cx).await;
        self.shared.inner.on_execution_complete(&cx, complete).await;
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        let (_state, cx) = self.last_turn(cx).await;
        self.shared.inner.on_execution_error(&cx, failure).await;
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        let (_state, cx) = self.turn(cx).await;
        self.shared.inner.on_node_skipped(&cx, skipped).await;
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        let (_state, cx) = self.turn(cx).await;
        self.shared.inner.on_status_changed(&cx, change).await;
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        let (_state, cx) = self.last_turn(cx).await;
        self.shared.inner.on_execution_aborted(&cx, aborted).await;
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        let (_state, cx) = self.turn(cx).await;
        self.shared.inner.on_interactive_prompt(&cx, prompt).await;
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        let (_state, cx) = self.turn(cx).await;
        self.shared.inner.on_interactive_response(&cx, response).await;
    }

    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        let (_state, cx) = self.turn(cx).await;
        self.shared.inner.on_log(&cx, line).await;
    }

    async fn on_progress(&self, cx: &CallbackContext, progress: &Progress) {
        let (_state, cx) = self.turn(cx).await;
        self.shared.inner.on_progress(&cx, progress).await;
    }
}
