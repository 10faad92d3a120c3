use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionStart, Fact, LogLine,
    NodeComplete, NodeError, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse, StatusChange, facts,
    ports::{EventLog, ExecutionObserver},
};

/// Appends what a legacy run does to the log.
///
/// Attached only where `UnifiedEventObserver` is not, or every fact would be there twice. Attached before the observers
/// that clients see, so that nobody sees what is not committed (I6).
///
/// A failed append is counted and logged, and the run goes on (I12). A growing output is no fact: it is passed over.
///
/// # Ordering
///
/// A callback returns when its facts are in the log, so that the log has them in the order of the callbacks.
#[derive(Debug)]
pub struct StateStoreObserver {
    log: Arc<dyn EventLog>,
    lost: AtomicU64,
}

// === impl StateStoreObserver ===

impl StateStoreObserver {
    /// An observer that appends to `log`. One may serve any number of executions.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, lost: AtomicU64::new(0) }
    }

    /// How many facts the log did not take.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn append(&self, cx: &CallbackContext, facts: Vec<Fact>) {
        let count = facts.len() as u64;
        if let Err(error) = self.log.append(facts.into()).await {
            self.lost.fetch_add(count, Ordering::Relaxed);
            tracing::error!(execution = %cx.execution, step = cx.step, %error, "{count} event(s) could not be appended");
        }
    }
}

#[async_trait]
impl ExecutionObserver for StateStoreObserver {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        self.append(cx, vec![facts::execution_start(cx, start)]).await;
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.append(cx, vec![facts::node_start(cx, start)]).await;
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        self.append(cx, vec![facts::node_complete(cx, complete)]).await;
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        self.append(cx, vec![facts::node_error(cx, error)]).await;
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete) {
        self.append(cx, vec![facts::execution_complete(cx, complete)]).await;
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        self.append(cx, facts::execution_error(cx, failure)).await;
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.append(cx, vec![facts::node_skipped(cx, skipped)]).await;
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        self.append(cx, vec![facts::status_changed(cx, change)]).await;
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        self.append(cx, facts::execution_aborted(cx, aborted)).await;
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        self.append(cx, vec![facts::interactive_prompt(cx, prompt)]).await;
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        self.append(cx, vec![facts::interactive_response(cx, response)]).await;
    }

    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        self.append(cx, vec![facts::log(cx, line)]).await;
    }

    async fn on_progress(&self, _: &CallbackContext, _: &Progress) {}
}
