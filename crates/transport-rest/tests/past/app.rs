//! The API over a log in memory, and that log.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Router, body::Body};
use bytes::Bytes;
use core_events::{
    CallbackContext, Cursor, Event, ExecutionId, ExecutionLog, ExecutionStatus, ExecutionStatusChanged, Fact,
    LogLevel, NodeId, NodeStatus, NodeStatusChanged, Record, Seq, Timestamp,
    event::Extra,
    ports::{
        Clock, Control, ControlError, EventLog, EventPage, EventsQuery, ExecutionSnapshot, Executions,
        History, HistoryError, ListQuery, LogProblem, LogStats, LookupError, OutputError, ReadError,
        RemoveError, RunSummary, StartError, StartExecution, StartedExecution,
    },
};
use history::{LogArchive, LogHistory};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use router::{MemoryLog, MemoryLogOptions};
use serde_json::Value;
use tower::ServiceExt;
use transport_rest::{HistoryApi, HistoryOptions, HistoryParts};

pub(crate) const MAX_IMPORT: u64 = 20 * 1024 * 1024;

pub(crate) struct App {
    pub(crate) log: Arc<dyn EventLog>,
    router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// Null, if it is no JSON.
    pub(crate) body: Value,
}

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

/// `a` is a root run, `a.b` a sub-run of it.
fn fact(execution: &str, event: Event) -> Fact {
    let root = execution.split('.').next().unwrap();
    let context = CallbackContext {
        execution: id(execution),
        parent: (root != execution).then(|| id(root)),
        root: id(root),
        step: 0,
        time: Timestamp::from_micros(1_700_000_000_000_000),
    };
    Fact::new(context, event)
}

fn status(execution: &str, status: ExecutionStatus) -> Fact {
    let event = ExecutionStatusChanged::to(status, Timestamp::from_micros(0));
    fact(execution, Event::ExecutionStatusChanged(event))
}

pub(crate) fn begin(execution: &str) -> Fact {
    status(execution, ExecutionStatus::Running)
}

pub(crate) fn end(execution: &str) -> Fact {
    status(execution, ExecutionStatus::Completed)
}

/// A node's end; with its output beside it, if one is given.
pub(crate) fn node(execution: &str, node: &str, output: Option<&str>) -> Fact {
    let status = NodeStatus::Completed;
    let event = NodeStatusChanged::to(NodeId::from(node), status, Timestamp::from_micros(0));
    let attachment = output.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Fact { attachment, ..fact(execution, Event::NodeStatusChanged(event)) }
}

pub(crate) fn line(execution: &str, message: &str) -> Fact {
    let event = ExecutionLog {
        level: LogLevel::Info,
        message: message.to_owned(),
        timestamp: None,
        logger: None,
        node_id: None,
        truncated: None,
        extra: Extra::new(),
    };
    fact(execution, Event::ExecutionLog(event))
}

impl App {
    pub(crate) fn new() -> Self {
        Self::keeping(100_000)
    }

    /// Over a log that keeps only so many events.
    pub(crate) fn keeping(records: usize) -> Self {
        let log: Arc<dyn EventLog> =
            Arc::new(MemoryLog::new(MemoryLogOptions { records, ..MemoryLogOptions::default() }));
        let parts = HistoryParts {
            history: Arc::new(WithoutOutputs(LogHistory::new(Arc::clone(&log)))),
            archive: Arc::new(LogArchive::new(Arc::clone(&log), None)),
            executions: Arc::new(Outputs(Arc::clone(&log))),
            clock: Arc::new(StoppedClock),
        };
        let options = HistoryOptions { max_import_bytes: MAX_IMPORT, max_page_bytes: 2_000 };
        Self { log, router: HistoryApi::new(parts, options).into_router() }
    }

    pub(crate) async fn append(&self, facts: Vec<Fact>) {
        for fact in facts {
            self.log.append(vec![fact].into()).await.unwrap();
        }
    }

    pub(crate) fn at(&self, offset: u64) -> Cursor {
        self.log.epoch().at(offset)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn accepting(&self, path: &str, accept: &str) -> Answer {
        self.send(Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn import(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/api/v1/imports").header(header::CONTENT_TYPE, "application/gzip");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        let answer = Answer { status: parts.status, headers: parts.headers, bytes, body };
        if answer.status.is_client_error() || answer.status.is_server_error() {
            assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(answer.body["status"], answer.status.as_u16());
        }
        answer
    }
}

impl Answer {
    /// The name of the problem, and what it says.
    pub(crate) fn problem(&self) -> (&str, &str) {
        let name = self.body["type"].as_str().unwrap().strip_prefix("urn:dipeo:problem:").unwrap();
        (name, self.body["detail"].as_str().unwrap())
    }
}

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_795_000_000_000_000)
    }
}

/// A log may leave outputs where they are until somebody asks for one.
#[derive(Debug)]
struct WithoutOutputs(LogHistory);

#[async_trait]
impl History for WithoutOutputs {
    async fn events(&self, query: EventsQuery) -> Result<EventPage, HistoryError> {
        let mut page = self.0.events(query).await?;
        for (_, record) in &mut page.events {
            *record = Arc::new(Record { attachment: None, ..(**record).clone() });
        }
        Ok(page)
    }

    async fn state_at(
        &self,
        execution: &ExecutionId,
        at: &Cursor,
    ) -> Result<ExecutionSnapshot, HistoryError> {
        self.0.state_at(execution, at).await
    }

    async fn remove(&self, execution: &ExecutionId) -> Result<(), RemoveError> {
        self.0.remove(execution).await
    }

    async fn pin(&self, execution: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        self.0.pin(execution, pinned).await
    }

    fn stats(&self) -> LogStats {
        self.0.stats()
    }

    fn health(&self) -> Option<LogProblem> {
        self.0.health()
    }
}

/// Knows outputs, and nothing else.
#[derive(Debug)]
struct Outputs(Arc<dyn EventLog>);

#[async_trait]
impl Executions for Outputs {
    async fn start(&self, _: StartExecution) -> Result<StartedExecution, StartError> {
        Err(StartError::Stopping)
    }

    async fn control(&self, execution: &ExecutionId, _: Control) -> Result<(), ControlError> {
        Err(ControlError::Ended(execution.clone()))
    }

    async fn get(&self, execution: &ExecutionId) -> Result<ExecutionSnapshot, LookupError> {
        Err(LookupError::Unknown(execution.clone()))
    }

    async fn list(&self, _: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        Ok(Vec::new())
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Bytes, OutputError> {
        let output = self.0.output(execution, seq).await?;
        output.ok_or_else(|| OutputError::None { execution: execution.clone(), seq })
    }
}
