//! One run, both paths attached: what each delivers is the same but for named differences.

#![cfg(all(feature = "legacy", feature = "unified"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    collections::BTreeSet,
    future::poll_fn,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    Filter, LogLine, NodeComplete, NodeError, NodeOutput, NodeSkipped, NodeStart, NodeStatus, Progress,
    Prompt, PromptResponse, StatusChange,
    ports::{
        Budget, Delivery, EventLog, ExecutionObserver, MessageRouter, Start, StreamSource, SubscribeRequest,
        Subscribed, Subscription, SystemClock,
    },
};
use diagram::{ConditionNode, EdgeDraft, ExecutableDiagram, Handle, NodeDraft, NodeKind};
use engine::{AbortSignal, Engine, EngineOptions, RunRequest};
use observer_legacy::{EventPublishingObserver, MonitoringStreamObserver};
use observer_unified::UnifiedEventObserver;
use parking_lot::Mutex;
use proptest::prelude::*;
use router::{MemoryLog, MemoryLogOptions, Router, RouterOptions};
use serde_json::{Value, json};
use server::CompositeObserver;
use tests::parity::{Path, Report, Rule, compare};
use transport_sse::SseEncoder;

/// What a broken observer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Dropped,
    Doubled,
    /// A node's end before its start.
    Swapped,
    WrongStatus,
    LostField,
    /// A log line behind its node's end; where there are no logs, a node's end behind the next node's start.
    Late,
}

/// Hands callbacks on, with one fault.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ExecutionObserver>,
    fault: Option<Fault>,
    logs: bool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    done: bool,
    start: Option<(CallbackContext, NodeStart)>,
    line: Option<(CallbackContext, LogLine)>,
    end: Option<(CallbackContext, NodeComplete)>,
}

/// The node on which faults happen.
const VICTIM: &str = "node_1";

impl Faulty {
    fn new(inner: Arc<dyn ExecutionObserver>, fault: Option<Fault>, logs: bool) -> Self {
        Self { inner, fault, logs, held: Mutex::default() }
    }

    fn is(&self, fault: Fault, node: &str) -> bool {
        self.fault == Some(fault) && node == VICTIM && !self.held.lock().done
    }

    fn done(&self) {
        self.held.lock().done = true;
    }
}

#[async_trait]
impl ExecutionObserver for Faulty {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        self.inner.on_execution_start(cx, start).await;
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        if self.is(Fault::Swapped, start.node.id.as_str()) {
            self.held.lock().start = Some((cx.clone(), start.clone()));
            return;
        }
        self.inner.on_node_start(cx, start).await;
        let end = self.held.lock().end.take();
        if let Some((cx, end)) = end {
            self.inner.on_node_complete(&cx, &end).await;
        }
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        let node = complete.node.id.as_str();
        if self.is(Fault::Dropped, node) {
            return self.done();
        }
        if self.is(Fault::Late, node) && !self.logs {
            self.done();
            self.held.lock().end = Some((cx.clone(), complete.clone()));
            return;
        }
        let mut complete = complete.clone();
        if self.is(Fault::WrongStatus, node) {
            complete.status = NodeStatus::MaxIterReached;
        }
        if self.is(Fault::LostField, node) {
            complete.output = NodeOutput::new(Value::Null);
        }
        self.inner.on_node_complete(cx, &complete).await;
        if self.is(Fault::Doubled, node) {
            self.inner.on_node_complete(cx, &complete).await;
        }
        let (start, line) = {
            let mut held = self.held.lock();
            (held.start.take(), held.line.take())
        };
        if let Some((cx, start)) = start {
            self.inner.on_node_start(&cx, &start).await;
            self.done();
        }
        if let Some((cx, line)) = line {
            self.inner.on_log(&cx, &line).await;
            self.done();
        }
    }

    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        let node = line.node.as_ref().map_or("", |node| node.as_str());
        if self.is(Fault::Late, node) && self.logs && self.held.lock().line.is_none() {
            self.held.lock().line = Some((cx.clone(), line.clone()));
            return;
        }
        self.inner.on_log(cx, line).await;
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        self.inner.on_node_error(cx, error).await;
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, complete: &ExecutionComplete) {
        self.inner.on_execution_complete(cx, complete).await;
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        self.inner.on_execution_error(cx, failure).await;
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.inner.on_node_skipped(cx, skipped).await;
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        self.inner.on_status_changed(cx, change).await;
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        self.inner.on_execution_aborted(cx, aborted).await;
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        self.inner.on_interactive_prompt(cx, prompt).await;
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        self.inner.on_interactive_response(cx, response).await;
    }

    async fn on_progress(&self, cx: &CallbackContext, progress: &Progress) {
        self.inner.on_progress(cx, progress).await;
    }
}

type Faults = [Option<Fault>; 3];

/// Runs `diagram` with all observers attached, and returns the three streams.
async fn streams(
    diagram: &Arc<ExecutableDiagram>,
    base_dir: PathBuf,
    faults: Faults,
) -> [(Path, Vec<Value>); 3] {
    let router = || {
        let log = Arc::new(MemoryLog::new(MemoryLogOptions::default())) as Arc<dyn EventLog>;
        Router::new(log, RouterOptions::default())
    };
    let (a, b, c) = (Arc::new(router()), Arc::new(MonitoringStreamObserver::new()), Arc::new(router()));
    let [unified, sse, graphql] = faults;
    let observers: Vec<Arc<dyn ExecutionObserver>> = vec![
        Arc::new(Faulty::new(
            Arc::new(UnifiedEventObserver::new(Arc::clone(&a) as Arc<dyn MessageRouter>)),
            unified,
            true,
        )),
        Arc::new(Faulty::new(Arc::clone(&b) as _, sse, true)),
        Arc::new(Faulty::new(
            Arc::new(EventPublishingObserver::new(Arc::clone(&c) as Arc<dyn MessageRouter>)),
            graphql,
            false,
        )),
    ];
    let execution = ExecutionId::random();
    let request = RunRequest {
        execution: execution.clone(),
        parent: None,
        root: execution.clone(),
        diagram: Arc::clone(diagram),
        variables: serde_json::Map::new(),
        base_dir,
        timeout: Some(Duration::from_secs(60)),
        abort: AbortSignal::never(),
        observer: Arc::new(CompositeObserver::new(observers)),
        clock: Arc::new(SystemClock),
    };
    let engine = Engine::new(EngineOptions::default());
    let run = async { engine.run(request).await };
    // The legacy SSE stream is read live: it keeps only a run's beginning for those who come late.
    let live = async {
        let subscription = loop {
            match b.subscribe(subscribe(&execution)).await {
                Ok(Subscribed::Open(subscription)) => break subscription,
                Ok(Subscribed::Finished) => panic!("the legacy stream was over before it began"),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        drain(subscription).await
    };
    let (_, sse) = tokio::join!(run, live);
    let read = async |source: &dyn StreamSource| match source.subscribe(subscribe(&execution)).await.unwrap()
    {
        Subscribed::Open(subscription) => drain(subscription).await,
        Subscribed::Finished => panic!("nothing was published"),
    };
    let (unified, graphql) = (read(&*a).await, read(&*c).await);
    [(Path::Unified, unified), (Path::LegacySse, sse), (Path::LegacyGraphql, graphql)]
}

fn subscribe(execution: &ExecutionId) -> SubscribeRequest {
    SubscribeRequest {
        execution: Some(execution.clone()),
        start: Start::Beginning,
        filter: Filter::default(),
        encoder: Arc::new(SseEncoder),
    }
}

/// All events of a stream, up to its end.
async fn drain(mut subscription: Box<dyn Subscription>) -> Vec<Value> {
    let budget = Budget { events: 1_000, bytes: 1 << 20 };
    let mut text = Vec::new();
    loop {
        match poll_fn(|cx| subscription.poll_next(cx, budget)).await {
            Delivery::Block(block) => block.slices.iter().for_each(|slice| text.extend_from_slice(slice)),
            Delivery::Ephemeral(bytes) => text.extend_from_slice(&bytes),
            Delivery::Gap(gap) => panic!("a gap: {gap:?}"),
            Delivery::Id(_) => {}
            Delivery::End(_) => break,
        }
    }
    let text = String::from_utf8(text).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap()).collect()
}

fn reports(diagram: &ExecutableDiagram, streams: &[(Path, Vec<Value>); 3]) -> Vec<(Path, Report)> {
    let [unified, legacy @ ..] = streams;
    legacy.iter().map(|one| (one.0, compare(diagram, (unified.0, &unified.1), (one.0, &one.1)))).collect()
}

async fn agree(name: &str, diagram: &Arc<ExecutableDiagram>, base_dir: PathBuf) -> (usize, BTreeSet<Rule>) {
    let streams = streams(diagram, base_dir, [None; 3]).await;
    let (mut events, mut applied) = (0, BTreeSet::new());
    for (path, report) in reports(diagram, &streams) {
        assert!(report.mismatches.is_empty(), "{name}, unified against {path:?}: {:#?}", report.mismatches);
        events += report.events;
        applied.extend(report.applied);
    }
    (events, applied)
}

fn load(path: &FilePath) -> Option<Arc<ExecutableDiagram>> {
    let text = std::fs::read_to_string(path).unwrap();
    diagram::load_light(&text, &path.file_name().unwrap().to_string_lossy()).ok().map(Arc::new)
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_and_probe_diagrams_agree() {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files: Vec<PathBuf> = ["examples", "crates/diagram/tests/probe"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut compared, mut all) = (0, BTreeSet::new());
    for file in files {
        // Those with node types that are still refused run on neither path.
        let Some(diagram) = load(&file) else { continue };
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("files/results")).unwrap();
        let function = "def double(inputs):\n    return {'n2': 2 * inputs['default']['n']}\n";
        std::fs::write(dir.path().join("files/results/g19_fn.py"), function).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (events, applied) = agree(&name, &diagram, dir.path().to_owned()).await;
        let rules: Vec<String> = applied.iter().map(|rule| format!("{rule:?}")).collect();
        println!("parity {name}: {events} events compared; differences that are meant: {}", rules.join(", "));
        all.extend(applied);
        compared += 1;
    }
    for rule in &all {
        println!("parity rule {rule:?}: {}", rule.reason());
    }
    assert!(compared >= 13, "only {compared} diagrams run");
}

/// A graph of nodes that start no process: a start, conditions that go one way or the other, ends.
fn graphs() -> impl Strategy<Value = Arc<ExecutableDiagram>> {
    let node = (any::<bool>(), proptest::collection::vec(any::<prop::sample::Index>(), 0..3));
    proptest::collection::vec(node, 1..12).prop_map(|nodes| {
        let mut builder = ExecutableDiagram::builder();
        let start = builder.node(NodeDraft::new("Start", NodeKind::Start(diagram::StartNode::default())));
        let mut all = vec![];
        for (at, (decision, _)) in nodes.iter().enumerate() {
            let expression = if *decision { "1 < 2" } else { "2 < 1" };
            let kind = NodeKind::Condition(ConditionNode::custom(expression));
            all.push((builder.node(NodeDraft::new(format!("C{at}"), kind)), *decision));
        }
        for (at, (_, sources)) in nodes.iter().enumerate() {
            let target = all[at].0;
            let mut seen = BTreeSet::new();
            for source in sources.iter().filter(|_| at > 0).map(|index| index.index(at)) {
                if seen.insert(source) {
                    let handle = if (source + at) % 2 == 0 { Handle::CondTrue } else { Handle::CondFalse };
                    builder.edge(EdgeDraft::new(all[source].0, target).leaving_by(handle));
                }
            }
            if seen.is_empty() {
                builder.edge(EdgeDraft::new(start, target));
            }
        }
        Arc::new(builder.build().unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("DIPEO_LONG").is_some() { 1_000 } else { 64 }))]

    #[test]
    fn generated_diagrams_agree(diagram in graphs()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agree("generated", &diagram, std::env::temp_dir()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_every_observer_is_caught() {
    let text = json!({
        "nodes": [
            {"label": "Start", "type": "start"},
            {"label": "Work", "type": "code_job", "language": "bash", "code": "echo one; echo two"},
            {"label": "End", "type": "endpoint"},
        ],
        "connections": [{"from": "Start", "to": "Work"}, {"from": "Work", "to": "End"}],
    });
    let diagram = Arc::new(diagram::load_light(&text.to_string(), "faults.light.yaml").unwrap());
    let faults =
        [Fault::Dropped, Fault::Doubled, Fault::Swapped, Fault::WrongStatus, Fault::LostField, Fault::Late];
    for observer in 0..3 {
        for fault in faults {
            let mut planted = [None; 3];
            planted[observer] = Some(fault);
            let streams = streams(&diagram, std::env::temp_dir(), planted).await;
            let found: Vec<String> =
                reports(&diagram, &streams).into_iter().flat_map(|(_, report)| report.mismatches).collect();
            assert!(!found.is_empty(), "{fault:?} in observer {observer} was not noticed");
            println!("parity caught {fault:?} in observer {observer}: {}", found[0]);
        }
    }
}
