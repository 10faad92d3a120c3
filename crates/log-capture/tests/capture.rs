//! What is logged in the span of a node becomes a line of that node, and of no other.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::sync::{Arc, Once};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    LogLevel, LogLine, NodeComplete, NodeError, NodeOutput, NodeRef, NodeSkipped, NodeStart, NodeStatus,
    Progress, Prompt, PromptResponse, StatusChange, Timestamp,
    ports::{ExecutionObserver, SystemClock},
};
use log_capture::{CaptureLayer, CapturedObserver, MAX_WAITING_LINES};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// What an observer was told.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Begin,
    Start(String),
    End(String),
    Log(LogLine),
    Finish,
}

/// Notes everything; each line takes a permit.
#[derive(Debug)]
struct Notes {
    told: Mutex<Vec<(CallbackContext, Told)>>,
    lines: Semaphore,
}

/// One run, as an engine would report it.
#[derive(Debug, Clone)]
struct Run {
    id: ExecutionId,
    notes: Arc<Notes>,
    observer: Arc<CapturedObserver>,
}

impl Notes {
    fn note(&self, cx: &CallbackContext, told: Told) {
        self.told.lock().push((cx.clone(), told));
    }
}

#[async_trait]
impl ExecutionObserver for Notes {
    async fn on_execution_start(&self, cx: &CallbackContext, _: &ExecutionStart) {
        self.note(cx, Told::Begin);
    }
    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.note(cx, Told::Start(start.node.id.to_string()));
    }
    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        // Somebody who is slow makes room for lines that come late.
        tokio::task::yield_now().await;
        self.note(cx, Told::End(complete.node.id.to_string()));
    }
    async fn on_execution_complete(&self, cx: &CallbackContext, _: &ExecutionComplete) {
        self.note(cx, Told::Finish);
    }
    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        self.lines.acquire().await.unwrap().forget();
        self.note(cx, Told::Log(line.clone()));
    }
    async fn on_node_error(&self, _: &CallbackContext, _: &NodeError) {}
    async fn on_execution_error(&self, _: &CallbackContext, _: &ExecutionFailure) {}
    async fn on_node_skipped(&self, _: &CallbackContext, _: &NodeSkipped) {}
    async fn on_status_changed(&self, _: &CallbackContext, _: &StatusChange) {}
    async fn on_execution_aborted(&self, _: &CallbackContext, _: &ExecutionAborted) {}
    async fn on_interactive_prompt(&self, _: &CallbackContext, _: &Prompt) {}
    async fn on_interactive_response(&self, _: &CallbackContext, _: &PromptResponse) {}
    async fn on_progress(&self, _: &CallbackContext, _: &Progress) {}
}

impl Run {
    fn new(id: &str, permits: usize) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let subscriber = tracing_subscriber::registry().with(CaptureLayer::new(tracing::Level::INFO));
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        let id = ExecutionId::parse(id).unwrap();
        let notes = Arc::new(Notes { told: Mutex::default(), lines: Semaphore::new(permits) });
        let observer = CapturedObserver::new(Arc::clone(&notes) as _, id.clone(), Arc::new(SystemClock));
        Self { id, notes, observer: Arc::new(observer) }
    }

    fn cx(&self) -> CallbackContext {
        let execution = self.id.clone();
        CallbackContext { root: execution.clone(), execution, parent: None, step: 1, time: Timestamp::now() }
    }

    async fn begin(&self) {
        let start = ExecutionStart { diagram_id: None, diagram_name: None };
        self.observer.on_execution_start(&self.cx(), &start).await;
    }

    async fn finish(&self) {
        let complete = ExecutionComplete { failed_nodes: Vec::new() };
        self.observer.on_execution_complete(&self.cx(), &complete).await;
    }

    fn node(name: &str) -> NodeRef {
        NodeRef { id: name.into(), node_type: "code_job".into(), label: name.to_owned() }
    }

    async fn start(&self, name: &str) {
        let start = NodeStart { node: Self::node(name), iteration: 1 };
        self.observer.on_node_start(&self.cx(), &start).await;
    }

    async fn end(&self, name: &str) {
        let complete = NodeComplete {
            node: Self::node(name),
            iteration: 1,
            status: NodeStatus::Completed,
            output: NodeOutput::new(serde_json::json!(1)),
            started_at: Timestamp::now(),
            token_usage: None,
        };
        self.observer.on_node_complete(&self.cx(), &complete).await;
    }

    /// The span in which an engine does the work of a node.
    fn span(&self, name: &str) -> tracing::Span {
        tracing::info_span!("node", execution = %self.id, node = name)
    }

    fn told(&self) -> Vec<Told> {
        let told = self.notes.told.lock();
        let steps: Vec<u64> = told.iter().map(|(cx, _)| cx.step).collect();
        assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>(), "numbered without a hole");
        assert!(told.iter().all(|(cx, _)| cx.execution == self.id && cx.root == self.id));
        told.iter().map(|(_, told)| told.clone()).collect()
    }
}

fn line(node: Option<&str>, level: LogLevel, message: &str) -> Told {
    let logger = "capture".to_owned();
    Told::Log(LogLine {
        node: node.map(Into::into),
        level,
        logger,
        message: message.to_owned(),
        truncated: false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_runs_that_log_the_same_words_at_once_keep_their_lines_apart() {
    const NODES: usize = 8;
    const LINES: usize = 50;
    let runs: Vec<Run> = (0..10).map(|i| Run::new(&format!("exec_same_{i}"), 10_000)).collect();
    let tasks = runs.iter().cloned().map(|run| {
        tokio::spawn(async move {
            run.begin().await;
            let nodes = (0..NODES).map(|node| {
                let run = run.clone();
                tokio::spawn(async move {
                    let name = format!("node_{node}");
                    run.start(&name).await;
                    let work = async {
                        for i in 0..LINES {
                            tracing::info!("the same words");
                            if i % 7 == 0 {
                                tokio::task::yield_now().await;
                            }
                        }
                        tracing::warn!("the last word");
                    };
                    work.instrument(run.span(&name)).await;
                    run.end(&name).await;
                })
            });
            for node in nodes.collect::<Vec<_>>() {
                node.await.unwrap();
            }
            run.finish().await;
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    for run in runs {
        let told = run.told();
        assert_eq!(told.len(), 2 + NODES * (2 + LINES + 1), "none is lost, none comes twice");
        for node in 0..NODES {
            let name = format!("node_{node}");
            let place = |wanted: &Told| told.iter().position(|told| told == wanted).unwrap();
            let (start, end) = (place(&Told::Start(name.clone())), place(&Told::End(name.clone())));
            let lines: Vec<_> = (0..told.len())
                .filter(|i| matches!(&told[*i], Told::Log(line) if line.node.as_deref_is(&name)))
                .collect();
            assert_eq!(lines.len(), LINES + 1);
            assert!(lines.iter().all(|i| (start..end).contains(i)), "between the node's start and its end");
            assert_eq!(told[lines[LINES]], line(Some(&name), LogLevel::Warning, "the last word"));
        }
        assert_eq!(told.last(), Some(&Told::Finish));
    }
}

trait NodeIs {
    fn as_deref_is(&self, name: &str) -> bool;
}

impl NodeIs for Option<core_events::NodeId> {
    fn as_deref_is(&self, name: &str) -> bool {
        *self == Some(name.into())
    }
}

#[tokio::test]
async fn what_belongs_to_no_node_or_is_ours_stays_out_of_nodes() {
    let run = Run::new("exec_places", 100);
    run.begin().await;
    run.start("a").await;
    let span = run.span("a");
    span.in_scope(|| {
        tracing::info!(target: "router::views", "ours");
        tracing::info!(target: "transport_sse", "ours");
        tracing::debug!("below the level");
        tracing::info!(count = 3, name = "x", "with fields");
        tracing::info_span!("inner", other = 1).in_scope(|| tracing::error!("deeper"));
    });
    tracing::info!("outside");
    tracing::info_span!("run", execution = %run.id).in_scope(|| tracing::info!("of the run"));
    run.end("a").await;
    // A task that its node left behind.
    span.in_scope(|| tracing::info!("late"));
    run.finish().await;
    span.in_scope(|| tracing::info!("too late"));
    tokio::task::yield_now().await;
    let expected = [
        Told::Begin,
        Told::Start("a".to_owned()),
        line(Some("a"), LogLevel::Info, "with fields count=3 name=x"),
        line(Some("a"), LogLevel::Error, "deeper"),
        line(None, LogLevel::Info, "of the run"),
        Told::End("a".to_owned()),
        line(None, LogLevel::Info, "late"),
        Told::Finish,
    ];
    assert_eq!(run.told(), expected);
}

#[tokio::test]
async fn lines_come_while_the_engine_says_nothing() {
    let run = Run::new("exec_quiet", 100);
    run.begin().await;
    run.start("a").await;
    run.span("a").in_scope(|| tracing::info!("still at it"));
    let seen = async {
        while run.told().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), seen).await.unwrap();
    assert_eq!(run.told()[2], line(Some("a"), LogLevel::Info, "still at it"));
}

#[tokio::test]
async fn who_logs_too_fast_loses_lines_and_is_told_once() {
    // The forwarder takes the first line, and is stuck with it.
    let run = Run::new("exec_flood", 0);
    run.begin().await;
    run.start("a").await;
    let span = run.span("a");
    span.in_scope(|| tracing::info!("first"));
    tokio::task::yield_now().await;
    span.in_scope(|| (0..MAX_WAITING_LINES + 5).for_each(|_| tracing::info!("more")));
    run.notes.lines.add_permits(10_000);
    run.end("a").await;
    run.finish().await;
    let told = run.told();
    let lines: Vec<_> =
        told.iter().filter_map(|told| if let Told::Log(line) = told { Some(line) } else { None }).collect();
    assert_eq!(lines.len(), 1 + MAX_WAITING_LINES + 1);
    let [.., Told::Log(last), Told::Finish] = &told[..] else { panic!("{:?}", told.last()) };
    assert_eq!((last.level.clone(), last.truncated, &last.node), (LogLevel::Warning, true, &None));
    assert!(last.message.starts_with("5 log line(s)"), "{}", last.message);
}

#[tokio::test]
async fn a_dropped_observer_takes_nothing_any_more() {
    let run = Run::new("exec_dropped", 100);
    run.begin().await;
    let (notes, span) = (Arc::clone(&run.notes), run.span("a"));
    drop(run);
    span.in_scope(|| tracing::info!("to nobody"));
    tokio::task::yield_now().await;
    assert_eq!(notes.told.lock().len(), 1);
    assert_eq!(Arc::strong_count(&notes), 1, "its task is gone");
}
