use std::sync::Arc;

use async_trait::async_trait;

use super::ExecutionObserver;
use crate::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionStart, LogLine,
    NodeComplete, NodeError, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse, StatusChange,
};

/// Several observers as one: each gets every callback with the same context, so that what they make of it can be compared.
///
/// # Ordering
///
/// One after the other, in the order given; a callback returns when the last of them is done.
#[derive(Debug, Clone)]
pub struct CompositeObserver {
    observers: Vec<Arc<dyn ExecutionObserver>>,
}

// === impl CompositeObserver ===

impl CompositeObserver {
    /// All of `observers`.
    #[must_use]
    pub fn new(observers: Vec<Arc<dyn ExecutionObserver>>) -> Self {
        Self { observers }
    }
}

macro_rules! each {
    ($($callback:ident($payload:ty)),* $(,)?) => {
        #[async_trait]
        impl ExecutionObserver for CompositeObserver {
            $(async fn $callback(&self, cx: &CallbackContext, payload: &$payload) {
                for observer in &self.observers {
                    observer.$callback(cx, payload).await;
                }
            })*
        }
    };
}

each! {
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
