//! Callbacks become facts in the order in which they came, and a router that fails stops nothing (I12).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::sync::Arc;

use async_trait::async_trait;
use core_events::{
    CallbackContext, EndReason, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId,
    ExecutionStart, ExecutionStatus, Fact, LogLevel, LogLine, NodeComplete, NodeError, NodeOutput, NodeRef,
    NodeSkipped, NodeStart, NodeStatus, Progress, Prompt, PromptResponse, StatusChange, Timestamp,
    ports::{
        AppendError, Appended, ExecutionObserver, MessageRouter, RouterStats, StreamSource, SubscribeError,
        SubscribeRequest, Subscribed,
    },
};
use observer_unified::UnifiedEventObserver;
use parking_lot::Mutex;

/// Keeps what is published, or refuses it.
#[derive(Debug, Default)]
struct Recorder {
    refuse: bool,
    facts: Mutex<Vec<Vec<Fact>>>,
    progress: Mutex<Vec<String>>,
}

#[async_trait]
impl StreamSource for Recorder {
    async fn subscribe(&self, _: SubscribeRequest) -> Result<Subscribed, SubscribeError> {
        Err(SubscribeError::Closed(EndReason::Shutdown))
    }
}

#[async_trait]
impl MessageRouter for Recorder {
    async fn publish(&self, facts: Vec<Fact>) -> Result<Appended, AppendError> {
        if self.refuse {
            return Err(AppendError::Unavailable("disk full".into()));
        }
        self.facts.lock().push(facts);
        Ok(Appended { records: vec![], stored: true })
    }

    fn publish_progress(&self, _: &CallbackContext, progress: &Progress) {
        self.progress.lock().push(progress.text.clone());
    }

    fn close(&self, _: EndReason) {}

    fn stats(&self) -> RouterStats {
        RouterStats::default()
    }
}

/// Calls every callback once, the terminal ones included.
async fn call_all(observer: &UnifiedEventObserver) {
    let id = ExecutionId::parse("exec_1").unwrap();
    let mut step = 0;
    let mut cx = || {
        step += 1;
        CallbackContext {
            execution: id.clone(),
            parent: None,
            root: id.clone(),
            step,
            time: Timestamp::from_micros(0),
        }
    };
    let node = NodeRef { id: "node_1".into(), node_type: "code_job".into(), label: "Make".into() };
    let at = Timestamp::from_micros(0);
    let start = NodeStart { node: node.clone(), iteration: 1 };
    observer.on_execution_start(&cx(), &ExecutionStart { diagram_id: None, diagram_name: None }).await;
    observer.on_node_start(&cx(), &start).await;
    let line = LogLine {
        node: Some(node.id.clone()),
        level: LogLevel::Info,
        logger: "stdout".into(),
        message: "hi".into(),
        truncated: false,
    };
    observer.on_log(&cx(), &line).await;
    observer.on_progress(&cx(), &Progress { node: node.id.clone(), text: "par".into() }).await;
    let prompt = Prompt { node: node.clone(), prompt: "?".into(), timeout: None, default_value: None };
    observer.on_interactive_prompt(&cx(), &prompt).await;
    observer
        .on_interactive_response(&cx(), &PromptResponse { node: node.clone(), response: "!".into() })
        .await;
    let complete = NodeComplete {
        node: node.clone(),
        iteration: 1,
        status: NodeStatus::Completed,
        output: NodeOutput::new(serde_json::json!(1)),
        started_at: at,
        token_usage: None,
    };
    observer.on_node_complete(&cx(), &complete).await;
    let error =
        NodeError { node: node.clone(), iteration: 2, error: "no".into(), tolerated: false, started_at: at };
    observer.on_node_error(&cx(), &error).await;
    observer.on_node_skipped(&cx(), &NodeSkipped { node }).await;
    observer.on_status_changed(&cx(), &StatusChange { status: ExecutionStatus::Paused, reason: None }).await;
    observer.on_execution_complete(&cx(), &ExecutionComplete { failed_nodes: vec![] }).await;
    let failure = ExecutionFailure {
        error: "no".into(),
        reason: "node_failed".into(),
        node: None,
        stopped: vec![start.clone()],
        failed_nodes: vec![],
    };
    observer.on_execution_error(&cx(), &failure).await;
    let aborted = ExecutionAborted { reason: "by hand".into(), stopped: vec![start], failed_nodes: vec![] };
    observer.on_execution_aborted(&cx(), &aborted).await;
}

#[tokio::test]
async fn every_callback_reaches_the_router_in_order() {
    let recorder = Arc::new(Recorder::default());
    let observer = UnifiedEventObserver::new(recorder.clone());
    call_all(&observer).await;

    let appends = recorder.facts.lock();
    let types: Vec<Vec<String>> = appends
        .iter()
        .map(|facts| facts.iter().map(|fact| fact.event.event_type().to_string()).collect())
        .collect();
    let expected = [
        vec!["EXECUTION_STATUS_CHANGED"],
        vec!["NODE_STATUS_CHANGED"],
        vec!["EXECUTION_LOG"],
        vec!["INTERACTIVE_PROMPT"],
        vec!["INTERACTIVE_RESPONSE"],
        vec!["NODE_STATUS_CHANGED"],
        vec!["NODE_STATUS_CHANGED"],
        vec!["NODE_STATUS_CHANGED"],
        vec!["EXECUTION_STATUS_CHANGED"],
        vec!["EXECUTION_STATUS_CHANGED"],
        // I9: the error and the terminal event are one append, so that nothing comes between them.
        vec!["NODE_STATUS_CHANGED", "EXECUTION_ERROR", "EXECUTION_STATUS_CHANGED"],
        vec!["NODE_STATUS_CHANGED", "EXECUTION_STATUS_CHANGED"],
    ];
    assert_eq!(types, expected);
    let steps: Vec<u64> = appends.iter().flatten().map(|fact| fact.context.step).collect();
    assert!(steps.is_sorted(), "{steps:?}");
    assert_eq!(*recorder.progress.lock(), ["par"]);
    assert_eq!(observer.lost(), 0);
}

#[tokio::test]
async fn a_failing_router_is_counted_and_stops_nothing() {
    let recorder = Arc::new(Recorder { refuse: true, ..Recorder::default() });
    let observer = UnifiedEventObserver::new(recorder);
    call_all(&observer).await;
    assert_eq!(observer.lost(), 15);
}
