//! A service, its log, and whoever watches progress.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use core_events::{
    CallbackContext, Cursor, EndReason, Envelope, Epoch, ExecutionId, ExecutionState, Fact, Offset, Progress,
    Seq, Timestamp,
    ports::{
        Append, AppendError, Appended, Clock, CommitListener, EventLog, ExecutionInfo, Ingest, IngestError,
        Ingested, ListQuery, LogProblem, LogStats, LookupError, MessageRouter, OpenError, OpenRun, OpenedRun,
        ProducerBatch, ReadBatch, ReadError, ReadRange, RemoveError, RouterStats, RunSummary, Scope,
        StreamSource, SubscribeError, SubscribeRequest, Subscribed, Unstored,
    },
};
use ingest::{IngestOptions, IngestRuns};
use parking_lot::Mutex;
use router::MemoryLog;
use serde_json::{Value, json};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const OPTIONS: IngestOptions =
    IngestOptions { lease: Duration::from_secs(15 * 60), max_open_runs: 4 };

/// The server's time, where events have none.
pub(crate) const NOW: &str = "2001-02-03T04:05:06.000000Z";

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) log: Arc<Moody>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) ingest: IngestRuns,
}

/// A log that fails when it is told to.
#[derive(Debug, Default)]
pub(crate) struct Moody {
    log: MemoryLog,
    pub(crate) refuses: Mutex<Option<AppendError>>,
    pub(crate) appends: Mutex<Vec<Append>>,
    /// Whether appends wait until nothing else can go on.
    pub(crate) slow: Mutex<bool>,
}

/// Sees progress.
#[derive(Debug, Default)]
pub(crate) struct Watcher(pub(crate) Mutex<Vec<(CallbackContext, Progress)>>);

#[derive(Debug)]
struct Then;

impl Clock for Then {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }
}

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

/// An event of `execution`; `a.b` is a part of `a`.
pub(crate) fn event(execution: &str, kind: &str, data: &Value) -> Value {
    let mut event = json!({"type": kind, "execution_id": execution, "data": data});
    if let Some((root, _)) = execution.split_once('.') {
        event["parent_execution_id"] = json!(root);
        event["root_execution_id"] = json!(root);
    }
    event
}

pub(crate) fn status(execution: &str, status: &str) -> Value {
    event(execution, "EXECUTION_STATUS_CHANGED", &json!({ "status": status }))
}

pub(crate) fn node(execution: &str, node: &str, status: &str) -> Value {
    event(execution, "NODE_STATUS_CHANGED", &json!({"node_id": node, "status": status}))
}

pub(crate) fn progress(execution: &str, node: &str, text: &str) -> Value {
    event(execution, "NODE_PROGRESS", &json!({"node_id": node, "text": text, "position": 0}))
}

pub(crate) fn batch(epoch: u64, seq: u64) -> Option<ProducerBatch> {
    Some(ProducerBatch { producer: "p".into(), epoch, seq })
}

// === impl World ===

impl World {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(Moody::default()))
    }

    /// A later life of the service over the same log.
    pub(crate) fn over(log: Arc<Moody>) -> Self {
        let watcher = Arc::new(Watcher::default());
        let ingest =
            IngestRuns::start(Arc::clone(&log) as _, Arc::clone(&watcher) as _, Arc::new(Then), OPTIONS);
        Self { log, watcher, ingest }
    }

    pub(crate) async fn open(&self, execution: &str) -> Result<OpenedRun, OpenError> {
        self.ingest.open(OpenRun { execution: Some(id(execution)), ..OpenRun::default() }).await
    }

    pub(crate) async fn post(&self, execution: &str, events: &[Value]) -> Result<Ingested, IngestError> {
        self.post_batch(execution, events, None).await
    }

    pub(crate) async fn post_batch(
        &self,
        execution: &str,
        events: &[Value],
        batch: Option<ProducerBatch>,
    ) -> Result<Ingested, IngestError> {
        let events = events.iter().map(|event| Envelope::decode(event.to_string().as_bytes()).unwrap());
        self.ingest.append(&id(execution), events.collect(), batch).await
    }

    /// The events of a run, as JSON.
    pub(crate) async fn events(&self, execution: &str) -> Vec<Value> {
        let range = ReadRange {
            scope: Scope::Run(id(execution)),
            after: 0,
            up_to: self.log.head(),
            max_records: usize::MAX,
            max_bytes: usize::MAX,
        };
        let records = self.log.read(range).await.unwrap().records;
        assert!(records.iter().map(|record| record.step).is_sorted());
        records.iter().map(|record| serde_json::from_slice(&record.json).unwrap()).collect()
    }

    pub(crate) async fn state(&self, execution: &str) -> ExecutionState {
        self.log.state(&id(execution)).await.unwrap().0
    }

    /// Puts a run of this installation into the log.
    pub(crate) async fn own_run(&self, execution: &str) {
        let event = Envelope::decode(status(execution, "RUNNING").to_string().as_bytes()).unwrap().event;
        let cx = CallbackContext {
            execution: id(execution),
            parent: None,
            root: id(execution),
            step: 1,
            time: NOW.parse().unwrap(),
        };
        self.log.append(Append::from(vec![Fact::new(cx, event)])).await.unwrap();
    }
}

#[async_trait]
impl EventLog for Moody {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn head(&self) -> Offset {
        self.log.head()
    }

    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset {
        self.log.follow(listener)
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if *self.slow.lock() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if append.unstored == Unstored::Refuse
            && let Some(error) = &*self.refuses.lock()
        {
            return Err(error.clone());
        }
        self.appends.lock().push(append.clone());
        self.log.append(append).await
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        self.log.read(range).await
    }

    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        self.log.find(execution).await
    }

    async fn state(&self, execution: &ExecutionId) -> Result<(ExecutionState, Cursor), LookupError> {
        self.log.state(execution).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        self.log.list(query).await
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Option<Bytes>, LookupError> {
        self.log.output(execution, seq).await
    }

    async fn remove(&self, root: &ExecutionId) -> Result<(), RemoveError> {
        self.log.remove(root).await
    }

    async fn pin(&self, root: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        self.log.pin(root, pinned).await
    }

    fn health(&self) -> Option<LogProblem> {
        self.log.health()
    }

    fn stats(&self) -> LogStats {
        self.log.stats()
    }
}

#[async_trait]
impl StreamSource for Watcher {
    async fn subscribe(&self, _: SubscribeRequest) -> Result<Subscribed, SubscribeError> {
        Ok(Subscribed::Finished)
    }
}

#[async_trait]
impl MessageRouter for Watcher {
    async fn publish(&self, _: Vec<Fact>) -> Result<Appended, AppendError> {
        panic!("facts go into the log")
    }

    fn publish_progress(&self, cx: &CallbackContext, progress: &Progress) {
        self.0.lock().push((cx.clone(), progress.clone()));
    }

    fn close(&self, _: EndReason) {}

    fn stats(&self) -> RouterStats {
        RouterStats::default()
    }
}
