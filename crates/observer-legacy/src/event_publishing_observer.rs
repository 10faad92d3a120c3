use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use core_events::{
    CallbackContext, Event, ExecutionAborted, ExecutionComplete, ExecutionError, ExecutionFailure,
    ExecutionStart, ExecutionStatus, ExecutionStatusChanged, Fact, InteractivePrompt, InteractiveResponse,
    LogLine, NodeComplete, NodeError, NodeRef, NodeSkipped, NodeStart, NodeStatus, NodeStatusChanged,
    Progress, Prompt, PromptResponse, StatusChange,
    event::Extra,
    limits,
    ports::{ExecutionObserver, MessageRouter},
};

/// Publishes what an execution does to the router of the legacy GraphQL subscriptions (T2).
///
/// A message has exactly the original's keys, `{"type","execution_id","data","timestamp"}`, and what the router adds.
/// Logs are not among them. An output larger than [`limits::MAX_INLINE_OUTPUT_BYTES`] is null and has a beginning as
/// `output_preview`; all of it is in the log.
///
/// The router is one of its own, in memory: in the log's, every event would be there twice.
///
/// A failed publish is counted and logged, and the run goes on (I12).
#[derive(Debug)]
pub struct EventPublishingObserver {
    router: Arc<dyn MessageRouter>,
    lost: AtomicU64,
}

// === impl EventPublishingObserver ===

impl EventPublishingObserver {
    /// An observer that publishes to `router`. One may serve any number of executions.
    #[must_use]
    pub fn new(router: Arc<dyn MessageRouter>) -> Self {
        Self { router, lost: AtomicU64::new(0) }
    }

    /// How many messages the router did not take.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn publish(&self, cx: &CallbackContext, events: impl IntoIterator<Item = Event> + Send) {
        let message = |event| Fact::new(cx.clone(), event);
        let messages: Vec<Fact> = events.into_iter().map(message).collect();
        let count = messages.len() as u64;
        if let Err(error) = self.router.publish(messages).await {
            self.lost.fetch_add(count, Ordering::Relaxed);
            tracing::error!(execution = %cx.execution, step = cx.step, %error, "{count} message(s) could not be published");
        }
    }
}

#[async_trait]
impl ExecutionObserver for EventPublishingObserver {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        let mut data = ExecutionStatusChanged::to(ExecutionStatus::Running, cx.time);
        data.diagram_id = start.diagram_id.as_deref().map(text);
        self.publish(cx, [Event::ExecutionStatusChanged(data)]).await;
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.publish(cx, [node(cx, &start.node, NodeStatus::Running, |_| {})]).await;
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        let event = node(cx, &complete.node, complete.status.clone(), |data| {
            let output = &complete.output;
            if output.json.len() <= limits::MAX_INLINE_OUTPUT_BYTES {
                data.output = Some((*output.value).clone());
            } else {
                let shown =
                    output.value.as_str().map_or_else(|| String::from_utf8_lossy(&output.json), Into::into);
                data.output_preview = Some(limits::head(&shown, limits::OUTPUT_PREVIEW_BYTES).to_owned());
            }
            data.started_at = Some(complete.started_at);
            data.ended_at = Some(cx.time);
            data.token_usage = complete.token_usage;
            data.tokens_used = complete.token_usage.and_then(|usage| usage.total);
        });
        self.publish(cx, [event]).await;
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        let failed = |data: &mut NodeStatusChanged| data.error = Some(text(&error.error));
        self.publish(cx, [node(cx, &error.node, NodeStatus::Failed, failed)]).await;
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, _: &ExecutionComplete) {
        self.publish(cx, [execution(cx, ExecutionStatus::Completed)]).await;
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        let error = ExecutionError {
            error: text(&failure.error),
            timestamp: Some(cx.time),
            node_id: None,
            reason: None,
            extra: Extra::new(),
        };
        let end = [Event::ExecutionError(error), execution(cx, ExecutionStatus::Failed)];
        self.publish(cx, stopped(cx, &failure.stopped).chain(end)).await;
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.publish(cx, [node(cx, &skipped.node, NodeStatus::Skipped, |_| {})]).await;
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        self.publish(cx, [execution(cx, change.status.clone())]).await;
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        let end = [execution(cx, ExecutionStatus::Aborted)];
        self.publish(cx, stopped(cx, &aborted.stopped).chain(end)).await;
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        let data = InteractivePrompt {
            node_id: prompt.node.id.clone(),
            prompt: text(&prompt.prompt),
            timeout: prompt.timeout,
            default_value: prompt.default_value.as_deref().map(text),
            timestamp: Some(cx.time),
            extra: Extra::new(),
        };
        self.publish(cx, [Event::InteractivePrompt(data)]).await;
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        let data = InteractiveResponse {
            node_id: response.node.id.clone(),
            response: text(&response.response),
            timestamp: Some(cx.time),
            extra: Extra::new(),
        };
        self.publish(cx, [Event::InteractiveResponse(data)]).await;
    }

    /// Nothing: the original's web path had no logs.
    async fn on_log(&self, _: &CallbackContext, _: &LogLine) {}

    /// Passed on for `node_updates`, which the original served without ever filling it.
    async fn on_progress(&self, cx: &CallbackContext, progress: &Progress) {
        self.router.publish_progress(cx, progress);
    }
}

fn execution(cx: &CallbackContext, status: ExecutionStatus) -> Event {
    Event::ExecutionStatusChanged(ExecutionStatusChanged::to(status, cx.time))
}

fn node(
    cx: &CallbackContext,
    node: &NodeRef,
    status: NodeStatus,
    fill: impl FnOnce(&mut NodeStatusChanged),
) -> Event {
    let mut data = NodeStatusChanged::to(node.id.clone(), status, cx.time);
    data.node_type = Some(node.node_type.clone());
    fill(&mut data);
    Event::NodeStatusChanged(data)
}

fn stopped(cx: &CallbackContext, nodes: &[NodeStart]) -> impl Iterator<Item = Event> + Send {
    nodes.iter().map(|start| node(cx, &start.node, NodeStatus::Aborted, |_| {}))
}

fn text(text: &str) -> String {
    limits::head(text, limits::MAX_TEXT_BYTES).to_owned()
}
