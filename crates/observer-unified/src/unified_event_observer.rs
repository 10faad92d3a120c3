use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionStart, Fact, LogLine,
    NodeComplete, NodeError, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse, StatusChange, facts,
    ports::{ExecutionObserver, MessageRouter},
};

/// Publishes what an execution does to a [`MessageRouter`].
///
/// A failed publish is counted and logged, and the run goes on (I12).
///
/// # Ordering
///
/// A callback returns when its facts are in the log, so that the log has them in the order of the callbacks.
#[derive(Debug)]
pub struct UnifiedEventObserver {
    router: Arc<dyn MessageRouter>,
    lost: AtomicU64,
}

// === impl UnifiedEventObserver ===

impl UnifiedEventObserver {
    /// An observer that publishes to `router`. One may serve any number of executions.
    #[must_use]
    pub fn new(router: Arc<dyn MessageRouter>) -> Self {
        Self { router, lost: AtomicU64::new(0) }
    }

    /// How many facts the router did not take.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn publish(&self, cx: &CallbackContext, facts: Vec<Fact>) {
        let count = facts.len() as u64;
        if let Err(error) = self.router.publish(facts).await {
            self.lost.fetch_add(count, Ordering::Relaxed);
            tracing::error!(execution = %cx.execution, step = cx.step, %error, "{count} event(s) could not be published");
        }
    }
}

#[async_trait]
impl ExecutionObserver for UnifiedEventObserver {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        self.publish(cx, vec![facts::execution_start(cx, start)]).await;
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.publish(cx, vec![facts::node_start(cx, start)]).await;
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        self.publish(cx, vec![facts::node_complete(cx, complete)]).await;
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        self.publish(cx, vec![facts::node_error(cx, error)]).await;
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete) {
        self.publish(cx, vec![facts::execution_complete(cx, complete)]).await;
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        self.publish(cx, facts::execution_error(cx, failure)).await;
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.publish(cx, vec![facts::node_skipped(cx, skipped)]).await;
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        self.publish(cx, vec![facts::status_changed(cx, change)]).await;
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        self.publish(cx, facts::execution_aborted(cx, aborted)).await;
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        self.publish(cx, vec![facts::interactive_prompt(cx, prompt)]).await;
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        self.publish(cx, vec![facts::interactive_response(cx, response)]).await;
    }

    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        self.publish(cx, vec![facts::log(cx, line)]).await;
    }

    async fn on_progress(&self, cx: &CallbackContext, progress: &Progress) {
        self.router.publish_progress(cx, progress);
    }
}
