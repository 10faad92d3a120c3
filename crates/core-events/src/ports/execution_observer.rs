use async_trait::async_trait;

use crate::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionStart, LogLine,
    NodeComplete, NodeError, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse, StatusChange,
};

/// Is told what an execution does.
///
/// No callback returns an error: observing never breaks running (I12). An observer that can't do its work counts it,
/// logs it, and lets the run go on.
///
/// # Ordering
///
/// The engine awaits each callback before the next one of the same execution, with ascending `step`. The first is
/// `on_execution_start`; the last is exactly one of `on_execution_complete`, `on_execution_error` and
/// `on_execution_aborted` (I9). A node's log lines come between its start and its end.
#[async_trait]
pub trait ExecutionObserver: Send + Sync + std::fmt::Debug {
    /// The execution begins.
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart);

    /// A node begins.
    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart);

    /// A node ended well.
    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete);

    /// A node failed. The run may go on.
    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError);

    /// The execution came to its end.
    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete);

    /// The execution failed. Nodes still at work were stopped.
    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure);

    /// A node will never run.
    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped);

    /// The execution was held or goes on. Never terminal.
    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange);

    /// Somebody ended the execution. Nodes still at work were stopped.
    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted);

    /// A node asks a person.
    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt);

    /// A person answered.
    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse);

    /// A line of a log.
    async fn on_log(&self, cx: &CallbackContext, line: &LogLine);

    /// A part of an output that is still growing.
    async fn on_progress(&self, cx: &CallbackContext, progress: &Progress);
}
