//! A recorder of callbacks, and short ways to build and run graphs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    LogLine, NodeComplete, NodeError, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse, StatusChange,
    ports::{ExecutionObserver, SystemClock},
};
use diagram::{
    CodeJobNode, CodeSource, ConditionKind, ConditionNode, EdgeDraft, EndpointNode, ExecutableDiagram,
    GraphBuilder, Handle, Language, NodeDraft, NodeIndex, NodeKind, OnError, StartNode,
};
use engine::{AbortSignal, Engine, EngineOptions, RunOutcome, RunRequest};
use serde_json::{Map, Value};
use tokio::sync::watch;

/// One callback.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Start,
    NodeStart(String, u32),
    NodeComplete(String, Value),
    NodeError(String, String, bool),
    Skipped(String),
    Log { node: String, level: String, logger: String, message: String, truncated: bool },
    Complete(ExecutionComplete),
    Failed(ExecutionFailure),
    Aborted(ExecutionAborted),
}

/// Records callbacks; others may wait for one.
#[derive(Debug)]
pub(crate) struct Recorder {
    seen: watch::Sender<Vec<Seen>>,
    steps: parking_lot::Mutex<Vec<u64>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { seen: watch::Sender::new(Vec::new()), steps: parking_lot::Mutex::default() }
    }
}

impl Recorder {
    fn add(&self, cx: &CallbackContext, seen: Seen) {
        self.steps.lock().push(cx.step);
        self.seen.send_modify(|all| all.push(seen));
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    pub(crate) async fn wait_for(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        let waiting = seen.wait_for(|all| all.iter().any(&wanted));
        let all =
            tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it never came").unwrap();
        all.iter().find(|seen| wanted(seen)).cloned().unwrap()
    }

    pub(crate) fn logs(&self, node: &str, logger: &str) -> Vec<String> {
        let wanted = |seen| match seen {
            Seen::Log { node: of, logger: by, message, truncated: false, .. }
                if of == node && by == logger =>
            {
                Some(message)
            }
            _ => None,
        };
        self.seen().into_iter().filter_map(wanted).collect()
    }
}

#[async_trait]
impl ExecutionObserver for Recorder {
    async fn on_execution_start(&self, cx: &CallbackContext, _start: &ExecutionStart) {
        self.add(cx, Seen::Start);
    }
    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.add(cx, Seen::NodeStart(start.node.label.clone(), start.iteration));
    }
    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        assert_eq!(serde_json::from_slice::<Value>(&complete.output.json).unwrap(), *complete.output.value);
        self.add(cx, Seen::NodeComplete(complete.node.label.clone(), Value::clone(&complete.output.value)));
    }
    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        self.add(cx, Seen::NodeError(error.node.label.clone(), error.error.clone(), error.tolerated));
    }
    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete) {
        self.add(cx, Seen::Complete(complete.clone()));
    }
    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        self.add(cx, Seen::Failed(failure.clone()));
    }
    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.add(cx, Seen::Skipped(skipped.node.label.clone()));
    }
    async fn on_status_changed(&self, _cx: &CallbackContext, _change: &StatusChange) {}
    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        self.add(cx, Seen::Aborted(aborted.clone()));
    }
    async fn on_interactive_prompt(&self, _cx: &CallbackContext, _prompt: &Prompt) {}
    async fn on_interactive_response(&self, _cx: &CallbackContext, _response: &PromptResponse) {}
    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        let node = line.node.as_ref().map(ToString::to_string).unwrap_or_default();
        let (level, logger) = (line.level.to_string(), line.logger.clone());
        self.add(
            cx,
            Seen::Log { node, level, logger, message: line.message.clone(), truncated: line.truncated },
        );
    }
    async fn on_progress(&self, _cx: &CallbackContext, _progress: &Progress) {}
}

/// A graph under construction.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) builder: GraphBuilder,
}

impl Graph {
    pub(crate) fn new() -> Self {
        Self { builder: ExecutableDiagram::builder() }
    }

    pub(crate) fn add(&mut self, label: &str, kind: NodeKind) -> NodeIndex {
        self.builder.node(NodeDraft::new(label, kind))
    }

    pub(crate) fn start(&mut self, label: &str) -> NodeIndex {
        self.add(label, NodeKind::Start(StartNode::default()))
    }

    pub(crate) fn end(&mut self, label: &str) -> NodeIndex {
        self.add(label, NodeKind::Endpoint(EndpointNode::default()))
    }

    pub(crate) fn condition(&mut self, label: &str, expression: &str) -> NodeIndex {
        self.add(label, NodeKind::Condition(ConditionNode::custom(expression)))
    }

    pub(crate) fn counting(&mut self, label: &str, expression: &str, index: &str) -> NodeIndex {
        let condition =
            ConditionNode { expose_index_as: Some(index.to_owned()), ..ConditionNode::custom(expression) };
        self.add(label, NodeKind::Condition(condition))
    }

    pub(crate) fn executed(&mut self, label: &str, nodes: &[NodeIndex]) -> NodeIndex {
        let kind = ConditionKind::CheckNodesExecuted { nodes: nodes.to_vec() };
        self.add(label, NodeKind::Condition(ConditionNode { kind, ..ConditionNode::custom("unused") }))
    }

    pub(crate) fn python(&mut self, label: &str, code: &str) -> NodeIndex {
        self.add(label, NodeKind::CodeJob(CodeJobNode::inline(Language::Python, code)))
    }

    pub(crate) fn bash(&mut self, label: &str, code: &str) -> NodeIndex {
        self.add(label, NodeKind::CodeJob(CodeJobNode::inline(Language::Bash, code)))
    }

    pub(crate) fn program(
        &mut self,
        label: &str,
        language: Language,
        path: &str,
        function: &str,
    ) -> NodeIndex {
        let job = CodeJobNode {
            source: CodeSource::File { path: path.to_owned() },
            function: function.to_owned(),
            function_given: true,
            ..CodeJobNode::inline(language, "")
        };
        self.add(label, NodeKind::CodeJob(job))
    }

    pub(crate) fn limited(
        &mut self,
        label: &str,
        language: Language,
        code: &str,
        timeout: Duration,
    ) -> NodeIndex {
        self.add(label, NodeKind::CodeJob(CodeJobNode { timeout, ..CodeJobNode::inline(language, code) }))
    }

    pub(crate) fn with_on_error(&mut self, label: &str, on_error: OnError, kind: NodeKind) -> NodeIndex {
        self.builder.node(NodeDraft { on_error, ..NodeDraft::new(label, kind) })
    }

    pub(crate) fn edge(&mut self, from: NodeIndex, to: NodeIndex) {
        self.builder.edge(EdgeDraft::new(from, to));
    }

    pub(crate) fn named(&mut self, from: NodeIndex, to: NodeIndex, label: &str) {
        self.builder.edge(EdgeDraft { label: Some(label.to_owned()), ..EdgeDraft::new(from, to) });
    }

    pub(crate) fn yes(&mut self, from: NodeIndex, to: NodeIndex) {
        self.builder.edge(EdgeDraft::new(from, to).leaving_by(Handle::CondTrue));
    }

    pub(crate) fn no(&mut self, from: NodeIndex, to: NodeIndex) {
        self.builder.edge(EdgeDraft::new(from, to).leaving_by(Handle::CondFalse));
    }
}

/// How to run a graph.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) options: EngineOptions,
    pub(crate) variables: Value,
    pub(crate) base_dir: PathBuf,
    pub(crate) timeout: Option<Duration>,
    pub(crate) abort: AbortSignal,
    pub(crate) recorder: Arc<Recorder>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: EngineOptions::default(),
            variables: Value::Object(Map::new()),
            base_dir: std::env::temp_dir(),
            timeout: None,
            abort: AbortSignal::never(),
            recorder: Arc::new(Recorder::default()),
        }
    }
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: RunOutcome,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) seen: Vec<Seen>,
}

pub(crate) async fn run(graph: Graph) -> Ran {
    run_with(graph, Setup::default()).await
}

/// Runs it, and checks what holds of every run (I9).
pub(crate) async fn run_with(graph: Graph, setup: Setup) -> Ran {
    let diagram = Arc::new(graph.builder.build().unwrap());
    let recorder = Arc::clone(&setup.recorder);
    let execution = ExecutionId::random();
    let request = RunRequest {
        root: execution.clone(),
        execution,
        parent: None,
        diagram: Arc::clone(&diagram),
        variables: setup.variables.as_object().cloned().unwrap(),
        base_dir: setup.base_dir,
        timeout: setup.timeout,
        abort: setup.abort,
        observer: setup.recorder,
        clock: Arc::new(SystemClock),
    };
    let outcome = Engine::new(setup.options).run(request).await;
    let seen = recorder.seen();
    assert_eq!(seen.first(), Some(&Seen::Start));
    let terminal = |seen: &&Seen| matches!(seen, Seen::Complete(_) | Seen::Failed(_) | Seen::Aborted(_));
    assert_eq!(seen.iter().filter(terminal).count(), 1);
    assert!(seen.last().as_ref().is_some_and(terminal), "{seen:?}");
    assert_eq!(*recorder.steps.lock(), (1..=seen.len() as u64).collect::<Vec<_>>());
    for node in diagram.nodes() {
        let started =
            seen.iter().any(|seen| matches!(seen, Seen::NodeStart(label, _) if *label == node.label));
        let skips =
            seen.iter().filter(|seen| matches!(seen, Seen::Skipped(label) if *label == node.label)).count();
        assert_eq!(skips, usize::from(!started), "{} is either started or skipped", node.label);
    }
    Ran { outcome, recorder, seen }
}

impl Ran {
    /// The labels of the nodes that started, in order.
    pub(crate) fn started(&self) -> Vec<&str> {
        self.seen
            .iter()
            .filter_map(|seen| if let Seen::NodeStart(label, _) = seen { Some(&**label) } else { None })
            .collect()
    }

    pub(crate) fn skipped(&self) -> Vec<&str> {
        self.seen
            .iter()
            .filter_map(|seen| if let Seen::Skipped(label) = seen { Some(&**label) } else { None })
            .collect()
    }

    /// What a node produced last.
    pub(crate) fn output(&self, label: &str) -> Value {
        let outputs = self.seen.iter().rev().filter_map(|seen| match seen {
            Seen::NodeComplete(of, value) if of == label => Some(value.clone()),
            _ => None,
        });
        outputs.into_iter().next().unwrap_or_else(|| panic!("{label} did not complete: {:?}", self.seen))
    }

    /// Why a node failed last.
    pub(crate) fn error(&self, label: &str) -> String {
        let errors = self.seen.iter().rev().filter_map(|seen| match seen {
            Seen::NodeError(of, error, _) if of == label => Some(error.clone()),
            _ => None,
        });
        errors.into_iter().next().unwrap_or_else(|| panic!("{label} did not fail: {:?}", self.seen))
    }

    pub(crate) fn status(&self) -> &str {
        self.outcome.status.as_str()
    }

    pub(crate) fn position(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.seen.iter().position(wanted).unwrap()
    }
}
