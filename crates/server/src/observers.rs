//! Several observers of one run.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionStart, LogLine,
    NodeComplete, NodeError, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse, StatusChange,
    ports::ExecutionObserver,
};
use futures_util::{FutureExt, future::BoxFuture};

/// Hands each callback, with the same [`CallbackContext`], to every observer in turn. One that panics is told of and
/// neither hinders the others nor the run (I12).
#[derive(Debug)]
pub struct CompositeObserver(Vec<Arc<dyn ExecutionObserver>>);

// === impl CompositeObserver ===

impl CompositeObserver {
    /// All of `observers`.
    #[must_use]
    pub fn new(observers: Vec<Arc<dyn ExecutionObserver>>) -> Self {
        Self(observers)
    }

    async fn each<'a>(
        &'a self,
        cx: &CallbackContext,
        call: impl Fn(&'a dyn ExecutionObserver) -> BoxFuture<'a, ()> + Send,
    ) {
        for observer in &self.0 {
            // An async trait's method may panic already where it makes its future.
            let called = async { call(&**observer).await };
            if AssertUnwindSafe(called).catch_unwind().await.is_err() {
                tracing::error!(execution = %cx.execution, step = cx.step, ?observer, "an observer panicked");
            }
        }
    }
}

#[async_trait]
impl ExecutionObserver for CompositeObserver {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        self.each(cx, |observer| observer.on_execution_start(cx, start)).await;
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.each(cx, |observer| observer.on_node_start(cx, start)).await;
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        self.each(cx, |observer| observer.on_node_complete(cx, complete)).await;
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        self.each(cx, |observer| observer.on_node_error(cx, error)).await;
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete) {
        self.each(cx, |observer| observer.on_execution_complete(cx, complete)).await;
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        self.each(cx, |observer| observer.on_execution_error(cx, failure)).await;
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.each(cx, |observer| observer.on_node_skipped(cx, skipped)).await;
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        self.each(cx, |observer| observer.on_status_changed(cx, change)).await;
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        self.each(cx, |observer| observer.on_execution_aborted(cx, aborted)).await;
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        self.each(cx, |observer| observer.on_interactive_prompt(cx, prompt)).await;
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        self.each(cx, |observer| observer.on_interactive_response(cx, response)).await;
    }

    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        self.each(cx, |observer| observer.on_log(cx, line)).await;
    }

    async fn on_progress(&self, cx: &CallbackContext, progress: &Progress) {
        self.each(cx, |observer| observer.on_progress(cx, progress)).await;
    }
}

#[cfg(test)]
mod tests {
    use core_events::{ExecutionId, Timestamp};
    use parking_lot::Mutex;

    use super::*;

    /// Notes the step of every callback, or breaks.
    #[derive(Debug)]
    struct Notes {
        brittle: bool,
        steps: Mutex<Vec<u64>>,
    }

    macro_rules! notes {
        ($($callback:ident($payload:ty)),* $(,)?) => {
            #[async_trait]
            impl ExecutionObserver for Notes {
                $(async fn $callback(&self, cx: &CallbackContext, _: &$payload) {
                    self.steps.lock().push(cx.step);
                    assert!(!self.brittle, "it broke");
                })*
            }
        };
    }

    notes! {
        on_execution_start(ExecutionStart),
        on_node_start(NodeStart),
        on_node_complete(NodeComplete),
        on_node_error(NodeError),
        on_execution_complete(ExecutionComplete),
        on_execution_error(ExecutionFailure),
        on_node_skipped(NodeSkipped),
        on_status_changed(StatusChange),
        on_execution_aborted(ExecutionAborted),
        on_interactive_prompt(Prompt),
        on_interactive_response(PromptResponse),
        on_log(LogLine),
        on_progress(Progress),
    }

    #[tokio::test]
    async fn i12_one_observer_that_panics_hinders_no_other() {
        let notes = |brittle| Arc::new(Notes { brittle, steps: Mutex::default() });
        let (first, brittle, last) = (notes(false), notes(true), notes(false));
        let observers = CompositeObserver::new(vec![
            Arc::clone(&first) as _,
            Arc::clone(&brittle) as _,
            Arc::clone(&last) as _,
        ]);
        let execution = ExecutionId::random();
        let root = execution.clone();
        let mut cx = CallbackContext { execution, parent: None, root, step: 1, time: Timestamp::now() };
        observers.on_execution_start(&cx, &ExecutionStart { diagram_id: None, diagram_name: None }).await;
        cx.step = 2;
        observers.on_execution_complete(&cx, &ExecutionComplete { failed_nodes: Vec::new() }).await;
        for observer in [first, brittle, last] {
            assert_eq!(*observer.steps.lock(), [1, 2]);
        }
    }
}
