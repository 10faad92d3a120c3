use std::sync::atomic::{AtomicU32, Ordering};

use core_events::{
    Envelope, Event, ExecutionState, ExecutionStatus, NodeStatus, Timestamp,
    ports::{ReadRange, Scope, SystemClock},
};
use engine::EngineOptions;
use ingest::IngestOptions;
use router::{MemoryLog, Router, RouterOptions};

use super::*;
use crate::paths;

const DIAGRAM: &str = r#"
version: light
nodes:
  - {label: Start, type: start, position: {x: 0, y: 0}, props: {trigger_mode: manual}}
  - {label: Job, type: code_job, position: {x: 1, y: 0}, props: {language: bash, code: "echo begun; sleep 1000", timeout: 1000}}
connections:
  - {from: Start, to: Job}
"#;

/// Panics when it is asked for the n-th time.
#[derive(Debug)]
struct BrittleClock {
    left: AtomicU32,
}

impl Clock for BrittleClock {
    fn now(&self) -> Timestamp {
        assert_ne!(self.left.fetch_sub(1, Ordering::SeqCst), 0, "the clock broke");
        Timestamp::now()
    }
}

fn runs(clock: Arc<dyn Clock>) -> Runs {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::default());
    let router = Arc::new(Router::new(Arc::clone(&log), RouterOptions::default()));
    let (outside, shown) = (Arc::clone(&log), Arc::clone(&router));
    let ingest = IngestRuns::start(outside, shown as _, Arc::new(SystemClock), IngestOptions::default());
    let paths = Paths {
        router,
        #[cfg(feature = "legacy")]
        legacy: Arc::new(crate::legacy::Legacy::new(&crate::Config::default(), &log)),
        default: paths::COMPILED[0],
    };
    Runs::new(Parts {
        engine: Engine::new(EngineOptions::default()),
        log,
        ingest: Arc::new(ingest),
        paths,
        clock,
        base_dir: ".".into(),
        max_runs: 3,
        stopping: Stopping::default(),
    })
}

fn request(timeout: Option<Duration>) -> StartExecution {
    let diagram = DiagramSource { text: DIAGRAM.to_owned(), name: "a.light.yaml".to_owned(), base_dir: None };
    StartExecution { diagram, inputs: serde_json::Map::new(), timeout, path: None }
}

async fn events(runs: &Runs, execution: &ExecutionId) -> Vec<Envelope> {
    let log = &runs.0.parts.log;
    let scope = Scope::Run(execution.clone());
    let range = ReadRange { scope, after: 0, up_to: log.head(), max_records: 1000, max_bytes: 1 << 20 };
    let batch = log.read(range).await.unwrap();
    batch.records.iter().map(|record| Envelope::decode(&record.json).unwrap()).collect()
}

#[tokio::test]
async fn i9_a_run_whose_engine_panics_has_a_terminal_event() {
    // It breaks at the first log line, while a node is at work.
    let runs = runs(Arc::new(BrittleClock { left: AtomicU32::new(4) }));
    let started = runs.start(request(None)).await.unwrap();
    runs.0.tasks.close();
    runs.0.tasks.wait().await;
    let events = events(&runs, &started.execution).await;
    let [.., Event::ExecutionError(error), Event::ExecutionStatusChanged(last)] =
        &events.iter().map(|envelope| envelope.event.clone()).collect::<Vec<_>>()[..]
    else {
        panic!("{events:?}");
    };
    assert!(error.error.starts_with("internal error"), "{}", error.error);
    assert_eq!((error.reason.as_deref(), &last.status), (Some("internal"), &ExecutionStatus::Failed));
    let state = ExecutionState::fold(started.execution, &events);
    assert!(state.nodes.values().all(|node| node.status.is_ended()), "{:?}", state.nodes);
    assert!(runs.0.under_way.lock().is_empty());
}

#[tokio::test]
async fn i9_a_run_that_is_cut_off_has_a_terminal_event() {
    let runs = runs(Arc::new(SystemClock));
    let started = runs.start(request(None)).await.unwrap();
    runs.cut_off();
    runs.0.tasks.close();
    runs.0.tasks.wait().await;
    let (state, _) = runs.0.parts.log.state(&started.execution).await.unwrap();
    assert_eq!((state.status, state.reason.as_deref()), (ExecutionStatus::Aborted, Some(SHUTDOWN)));
    assert!(state.nodes.values().all(|node| node.status.is_ended() && node.status != NodeStatus::Running));
}

#[tokio::test]
async fn a_stop_aborts_what_is_under_way_and_refuses_what_comes() {
    let runs = runs(Arc::new(SystemClock));
    let first = runs.start(request(None)).await.unwrap().execution;
    let second = runs.start(request(None)).await.unwrap().execution;
    let third = runs.start(request(None)).await.unwrap().execution;
    assert_eq!(runs.start(request(None)).await, Err(StartError::TooMany(3)));
    runs.stop(Duration::from_secs(10)).await;
    for execution in [first, second, third] {
        assert_eq!(runs.get(&execution).await.unwrap().state.status, ExecutionStatus::Aborted);
        let abort = Control::Abort { reason: String::new() };
        assert_eq!(runs.control(&execution, abort).await, Err(ControlError::Ended(execution)));
    }
    assert_eq!(runs.start(request(None)).await, Err(StartError::Stopping));
}

#[tokio::test]
async fn a_time_limit_reaches_the_engine() {
    let runs = runs(Arc::new(SystemClock));
    let started = runs.start(request(Some(Duration::from_millis(200)))).await.unwrap();
    runs.0.tasks.close();
    runs.0.tasks.wait().await;
    let state = runs.get(&started.execution).await.unwrap().state;
    assert_eq!((state.status, state.reason.as_deref()), (ExecutionStatus::Failed, Some("timeout")));
}
