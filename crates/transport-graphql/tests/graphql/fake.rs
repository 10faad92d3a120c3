//! Ports that do what a test says.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use core_events::{
    Cursor, End, EndReason, Envelope, Epoch, Event, EventType, ExecutionId, ExecutionState, ExecutionStatus,
    ExecutionStatusChanged, Gap, GapReason, NodeId, Offset, Record, Seq, Timestamp,
    ports::{
        Block, Budget, CliSession, CliSessions, Clock, Control, ControlError, Delivery, DiagramEntry,
        DiagramError, DiagramFile, DiagramReport, Diagrams, ExecutionSnapshot, Executions, Health, ListQuery,
        LookupError, MonitoringPath, NewCliSession, OutputError, ReadError, RunSummary, Start, StartError,
        StartExecution, StartedExecution, StreamSource, SubscribeError, SubscribeRequest, Subscribed,
        Subscription, System, SystemInfo,
    },
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;
use transport_graphql::{GraphqlApi, GraphqlOptions, GraphqlParts};

pub(crate) const EPOCH: &str = "ab";

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

pub(crate) fn cursor(offset: Offset) -> Cursor {
    Epoch::parse(EPOCH).unwrap().at(offset)
}

pub(crate) fn time() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

/// What a stream brings, in order.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// An event: type, node, data. Its offset and seq are its place among the events, from 1.
    Event(&'static str, Option<&'static str>, Value),
    Progress(Value),
    Gap,
    End(EndReason),
}

pub(crate) fn event(kind: &'static str, data: Value) -> Step {
    Step::Event(kind, None, data)
}

pub(crate) fn node(kind: &'static str, node: &'static str, mut data: Value) -> Step {
    data["node_id"] = node.into();
    Step::Event(kind, Some(node), data)
}

/// The JSON of the event at `offset`.
pub(crate) fn json_of(offset: Offset, kind: &str, data: &Value) -> Value {
    json!({
        "type": kind,
        "execution_id": "exec_1",
        "data": data,
        "timestamp": "2026-01-31T12:00:00Z",
        "seq": offset,
    })
}

/// Streams of the one run `exec_1`; without an end they stay open until they are closed.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) steps: Mutex<Vec<Step>>,
    pub(crate) requests: Mutex<Vec<SubscribeRequest>>,
    pub(crate) refusal: Mutex<Option<SubscribeError>>,
    pub(crate) finished: Mutex<bool>,
    pub(crate) open: Arc<AtomicUsize>,
    closing: Mutex<Option<EndReason>>,
    closed: Arc<tokio::sync::Notify>,
}

impl Streams {
    pub(crate) fn of(steps: Vec<Step>) -> Arc<Self> {
        Arc::new(Self { steps: Mutex::new(steps), ..Self::default() })
    }

    /// Ends all open streams.
    pub(crate) fn close(&self, reason: EndReason) {
        *self.closing.lock() = Some(reason);
        self.closed.notify_waiters();
    }
}

#[async_trait]
impl StreamSource for Streams {
    async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscribed, SubscribeError> {
        self.requests.lock().push(request.clone());
        if let Some(refusal) = self.refusal.lock().clone() {
            return Err(refusal);
        }
        let execution = request.execution.clone().unwrap();
        if execution != id("exec_1") {
            return Err(LookupError::Unknown(execution).into());
        }
        if *self.finished.lock() {
            return Ok(Subscribed::Finished);
        }
        let after = match &request.start {
            Start::Beginning => 0,
            Start::Now => u64::MAX,
            Start::After(cursor) => cursor.offset,
        };
        let mut deliveries = VecDeque::new();
        let mut offset = 0;
        for step in &*self.steps.lock() {
            let delivery = match step {
                Step::Event(kind, node, data) => {
                    offset += 1;
                    let record = record(offset, kind, *node, data);
                    if offset <= after || !request.filter.matches(&record) {
                        continue;
                    }
                    let mut out = BytesMut::new();
                    request.encoder.encode(&record, &cursor(offset), &mut out);
                    // In two slices, as it may come from a view.
                    let tail = out.split_off(out.len() / 2);
                    let slices = vec![out.freeze(), tail.freeze()];
                    Delivery::Block(Block { slices, events: 1, last: cursor(offset) })
                }
                Step::Progress(data) => {
                    let json = json!({"type": "NODE_PROGRESS", "execution_id": "exec_1", "data": data});
                    let mut out = BytesMut::new();
                    request.encoder.encode_ephemeral(json.to_string().as_bytes(), &mut out);
                    Delivery::Ephemeral(out.freeze())
                }
                Step::Gap => Delivery::Gap(Gap {
                    from: cursor(1),
                    to: cursor(5),
                    reason: GapReason::Evicted,
                    reset: false,
                }),
                Step::End(reason) => Delivery::End(End { reason: *reason, cursor: cursor(offset) }),
            };
            deliveries.push_back(delivery);
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        let closed = Arc::clone(&self.closed);
        let closed = Box::pin(async move { closed.notified().await });
        let mut stream = Stream { deliveries, offset, open: Arc::clone(&self.open), closed, reason: None };
        stream.reason = *self.closing.lock();
        Ok(Subscribed::Open(Box::new(stream)))
    }
}

struct Stream {
    deliveries: VecDeque<Delivery>,
    offset: Offset,
    open: Arc<AtomicUsize>,
    closed: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    reason: Option<EndReason>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Subscription for Stream {
    fn start(&self) -> Cursor {
        cursor(0)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Delivery> {
        assert!(budget.events > 0);
        if let Some(delivery) = self.deliveries.pop_front() {
            return Poll::Ready(delivery);
        }
        if self.reason.is_none() && self.closed.as_mut().poll(cx).is_ready() {
            self.reason = Some(EndReason::Shutdown);
        }
        match self.reason {
            Some(reason) => {
                self.closed = Box::pin(std::future::pending());
                Poll::Ready(Delivery::End(End { reason, cursor: cursor(self.offset) }))
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn record(offset: Offset, kind: &str, node: Option<&str>, data: &Value) -> Record {
    Record {
        offset,
        seq: offset,
        step: offset,
        root: id("exec_1"),
        execution: id("exec_1"),
        event_type: EventType::from(kind),
        node: node.map(NodeId::from),
        time: time(),
        terminal: None,
        json: Bytes::from(json_of(offset, kind, data).to_string()),
        attachment: None,
    }
}

/// Runs: `exec_1` is under way, and `runs` are listed.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) started: Mutex<Vec<StartExecution>>,
    pub(crate) refusal: Mutex<Option<StartError>>,
    pub(crate) controlled: Mutex<Vec<(ExecutionId, Control)>>,
    pub(crate) runs: Mutex<Vec<RunSummary>>,
    pub(crate) folds: AtomicUsize,
}

pub(crate) fn summary(execution: &str, diagram: &str) -> RunSummary {
    RunSummary {
        execution_id: id(execution),
        status: ExecutionStatus::Completed,
        diagram_id: Some(diagram.to_owned()),
        diagram_name: None,
        started_at: Some(time()),
        ended_at: Some(time()),
        error: None,
        nodes: [("COMPLETED".to_owned(), 1)].into(),
        failed_nodes: 0,
        events: 4,
        source: None,
        pinned: false,
    }
}

fn state(execution: &ExecutionId) -> ExecutionState {
    let mut running = ExecutionStatusChanged::to(ExecutionStatus::Running, time());
    running.diagram_id = Some("d1".to_owned());
    let of = |seq: Seq, event: Event| Envelope {
        event,
        execution_id: execution.clone(),
        timestamp: Some(time()),
        seq: Some(seq),
        parent_execution_id: None,
        root_execution_id: None,
        extra: serde_json::Map::new(),
    };
    let node = |seq, data: Value| of(seq, Event::NodeStatusChanged(serde_json::from_value(data).unwrap()));
    let events = [
        of(1, Event::ExecutionStatusChanged(running)),
        node(2, json!({"node_id": "n1", "status": "RUNNING", "label": "First", "iteration": 1})),
        node(
            3,
            json!({
                "node_id": "n1", "status": "COMPLETED", "node_type": "code_job", "output": {"b": 1, "a": 2.0},
                "started_at": "2026-01-31T12:00:00Z", "ended_at": "2026-01-31T12:00:01.500Z",
                "token_usage": {"input": 3, "output": 4, "cached": null, "total": 7},
            }),
        ),
    ];
    ExecutionState::fold(execution.clone(), &events)
}

#[async_trait]
impl Executions for Runs {
    async fn start(&self, request: StartExecution) -> Result<StartedExecution, StartError> {
        if let Some(refusal) = self.refusal.lock().clone() {
            return Err(refusal);
        }
        let path = request.path.unwrap_or(MonitoringPath::Unified);
        self.started.lock().push(request);
        Ok(StartedExecution { execution: id("exec_1"), warnings: vec!["line 3: unused".to_owned()], path })
    }

    async fn control(&self, execution: &ExecutionId, control: Control) -> Result<(), ControlError> {
        match execution.as_str() {
            "exec_1" => {
                self.controlled.lock().push((execution.clone(), control));
                Ok(())
            }
            "exec_over" => Err(ControlError::Ended(execution.clone())),
            _ => Err(LookupError::Unknown(execution.clone()).into()),
        }
    }

    async fn get(&self, execution: &ExecutionId) -> Result<ExecutionSnapshot, LookupError> {
        self.folds.fetch_add(1, Ordering::SeqCst);
        match execution.as_str() {
            "exec_unreadable" => Err(LookupError::Unavailable("no disk".to_owned())),
            text if text == "exec_1" || text.starts_with("run_") => {
                Ok(ExecutionSnapshot { state: state(execution), cursor: cursor(3) })
            }
            _ => Err(LookupError::Unknown(execution.clone())),
        }
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        let runs = self.runs.lock();
        let from = query
            .before
            .as_ref()
            .map_or(0, |before| runs.iter().position(|run| run.execution_id == *before).unwrap() + 1);
        let wanted =
            runs.iter().skip(from).filter(|run| query.status.as_ref().is_none_or(|s| *s == run.status));
        Ok(wanted.take(query.limit).cloned().collect())
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Bytes, OutputError> {
        Err(OutputError::None { execution: execution.clone(), seq })
    }
}

#[derive(Debug)]
struct Files;

#[async_trait]
impl Diagrams for Files {
    async fn validate(&self, text: String, name: &str) -> DiagramReport {
        if text.contains("nodes") {
            DiagramReport { size: Some((2, 1)), ..DiagramReport::default() }
        } else {
            DiagramReport { errors: vec![format!("{name}: `nodes` is missing")], ..DiagramReport::default() }
        }
    }

    async fn get(&self, id: &str) -> Result<DiagramFile, DiagramError> {
        let entry = self.list().await?.into_iter().find(|entry| entry.id == id);
        let entry = entry.ok_or_else(|| DiagramError::Unknown(id.to_owned()))?;
        Ok(DiagramFile { entry, text: "nodes: []\n".to_owned(), model: json!({"nodes": []}) })
    }

    async fn list(&self) -> Result<Vec<DiagramEntry>, DiagramError> {
        let entry = |id: &str| DiagramEntry {
            id: id.to_owned(),
            name: id.trim_end_matches(".light.yaml").to_owned(),
            format: "light".to_owned(),
            bytes: 10,
        };
        Ok(vec![entry("a.light.yaml"), entry("b.light.yaml")])
    }
}

#[derive(Debug, Default)]
struct Terminals(Mutex<Vec<CliSession>>);

impl CliSessions for Terminals {
    fn register(&self, session: NewCliSession) -> CliSession {
        let session_id = format!("cli_{}", session.execution);
        let entered = CliSession { session_id, session, started_at: time() };
        self.0.lock().push(entered.clone());
        entered
    }

    fn unregister(&self, execution: &ExecutionId) -> bool {
        let mut sessions = self.0.lock();
        let before = sessions.len();
        sessions.retain(|entered| entered.session.execution != *execution);
        sessions.len() < before
    }

    fn active(&self) -> Option<CliSession> {
        self.0.lock().last().cloned()
    }
}

#[derive(Debug)]
struct Process;

impl System for Process {
    fn health(&self) -> Health {
        Health { ready: true, timestamp: time(), checks: vec![("log", true), ("disk", false)] }
    }

    fn info(&self) -> SystemInfo {
        SystemInfo {
            version: "1.2.3",
            node_types: vec!["start", "code_job"],
            paths: vec![MonitoringPath::Unified, MonitoringPath::Legacy],
            default_path: Some(MonitoringPath::Unified),
            max_body_bytes: 10 * 1024 * 1024,
        }
    }
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        time()
    }
}

/// The API over all of them.
pub(crate) struct World {
    pub(crate) runs: Arc<Runs>,
    pub(crate) streams: Arc<Streams>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: Arc<Streams>,
    pub(crate) api: GraphqlApi,
}

impl World {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        Self::with(steps, GraphqlOptions::default())
    }

    pub(crate) fn with(steps: Vec<Step>, options: GraphqlOptions) -> Self {
        let runs = Arc::new(Runs::default());
        let streams = Streams::of(steps);
        #[cfg(feature = "legacy")]
        let legacy = Arc::new(Streams::default());
        let api = GraphqlApi::new(GraphqlParts {
            executions: Arc::clone(&runs) as _,
            diagrams: Arc::new(Files),
            cli_sessions: Arc::new(Terminals::default()),
            system: Arc::new(Process),
            streams: Arc::clone(&streams) as _,
            #[cfg(feature = "legacy")]
            legacy: Some(Arc::clone(&legacy) as _),
            clock: Arc::new(Noon),
            options,
        });
        Self {
            runs,
            streams,
            #[cfg(feature = "legacy")]
            legacy,
            api,
        }
    }

    /// Serves it on a port of its own.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = self.api.clone().into_router();
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    /// Sends one HTTP request.
    pub(crate) async fn send(&self, request: ::http::Request<Body>) -> Answer {
        let response = self.api.clone().into_router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Executes an operation; it must not fail.
    pub(crate) async fn execute(&self, query: &str, variables: Value) -> Value {
        let answer = self.answer(query, variables).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"].clone()
    }

    /// Executes an operation.
    pub(crate) async fn answer(&self, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables}).to_string();
        let request = ::http::Request::post("/graphql")
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        self.send(request).await.json()
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ::http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
