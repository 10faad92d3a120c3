//! An `Executions` and an `Ingest` that answer what a test tells them, and an app around them.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use axum::{Router, body::Body, extract::ConnectInfo};
use bytes::Bytes;
use core_events::{
    Envelope, Epoch, ExecutionId, ExecutionState, Seq,
    ports::{
        Control, ControlError, ExecutionSnapshot, Executions, Ingest, IngestError, Ingested, ListQuery,
        LookupError, MonitoringPath, OpenError, OpenRun, OpenedRun, OutputError, ProducerBatch, ReadError,
        RunSummary, StartError, StartExecution, StartedExecution,
    },
};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt;
use transport_rest::{IngestApi, RestApi, RestOptions};

pub(crate) const MAX_BODY: usize = 2048;

#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) started: Mutex<Vec<StartExecution>>,
    pub(crate) controlled: Mutex<Vec<(ExecutionId, Control)>>,
    pub(crate) listed: Mutex<Vec<ListQuery>>,
    pub(crate) start_error: Mutex<Option<StartError>>,
    pub(crate) runs: Mutex<Vec<RunSummary>>,
}

/// A batch as it came to the port.
pub(crate) type Posted = (ExecutionId, Vec<Envelope>, Option<ProducerBatch>);

#[derive(Debug, Default)]
pub(crate) struct FakeIngest {
    pub(crate) opened: Mutex<Vec<OpenRun>>,
    pub(crate) open_error: Mutex<Option<OpenError>>,
    pub(crate) appended: Mutex<Vec<Posted>>,
    pub(crate) append_error: Mutex<Option<IngestError>>,
}

pub(crate) struct App {
    pub(crate) executions: Arc<Fake>,
    pub(crate) ingest: Arc<FakeIngest>,
    router: Router,
    peer: SocketAddr,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

/// `exec_1` runs, `exec_ended` ended, `exec_gone` was deleted; the others were never there.
fn lookup(execution: &ExecutionId) -> Result<(), LookupError> {
    match execution.as_str() {
        "exec_1" | "exec_ended" => Ok(()),
        "exec_gone" => Err(LookupError::Deleted(execution.clone())),
        _ => Err(LookupError::Unknown(execution.clone())),
    }
}

#[async_trait]
impl Executions for Fake {
    async fn start(&self, request: StartExecution) -> Result<StartedExecution, StartError> {
        self.started.lock().push(request);
        match &*self.start_error.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(StartedExecution {
                execution: id("exec_1"),
                warnings: vec!["a warning".into()],
                path: MonitoringPath::Unified,
            }),
        }
    }

    async fn control(&self, execution: &ExecutionId, control: Control) -> Result<(), ControlError> {
        lookup(execution)?;
        if execution.as_str() == "exec_ended" {
            return Err(ControlError::Ended(execution.clone()));
        }
        self.controlled.lock().push((execution.clone(), control));
        Ok(())
    }

    async fn get(&self, execution: &ExecutionId) -> Result<ExecutionSnapshot, LookupError> {
        lookup(execution)?;
        let cursor = Epoch::parse("ab").unwrap().at(7);
        Ok(ExecutionSnapshot { state: ExecutionState::new(execution.clone()), cursor })
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        self.listed.lock().push(query.clone());
        Ok(self.runs.lock().iter().take(query.limit).cloned().collect())
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Bytes, OutputError> {
        lookup(execution)?;
        if seq == 3 {
            return Ok(Bytes::from_static(b"[1,2]"));
        }
        Err(OutputError::None { execution: execution.clone(), seq })
    }
}

#[async_trait]
impl Ingest for FakeIngest {
    async fn open(&self, run: OpenRun) -> Result<OpenedRun, OpenError> {
        self.opened.lock().push(run.clone());
        if let Some(error) = self.open_error.lock().clone() {
            return Err(error);
        }
        let execution = run.execution.unwrap_or(id("exec_1"));
        Ok(OpenedRun { existed: execution.as_str() == "exec_open", execution })
    }

    async fn append(
        &self,
        execution: &ExecutionId,
        events: Vec<Envelope>,
        batch: Option<ProducerBatch>,
    ) -> Result<Ingested, IngestError> {
        lookup(execution)?;
        let count = events.len();
        self.appended.lock().push((execution.clone(), events, batch));
        match self.append_error.lock().clone() {
            Some(error) => Err(error),
            None => Ok(Ingested { events: count, last_seq: 9, cursor: Epoch::parse("ab").unwrap().at(12) }),
        }
    }
}

impl App {
    pub(crate) fn new() -> Self {
        Self::with_peer("127.0.0.1:40000")
    }

    pub(crate) fn with_peer(peer: &str) -> Self {
        let executions = Arc::new(Fake::default());
        let ingest = Arc::new(FakeIngest::default());
        let options = RestOptions { max_body_bytes: MAX_BODY };
        let api = RestApi::new(Arc::clone(&executions) as _, Arc::clone(&ingest) as _, options);
        let events = IngestApi::new(Arc::clone(&ingest) as _, options);
        let router = api.into_router().merge(events.into_router());
        Self { executions, ingest, router, peer: peer.parse().unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(Method::POST).uri(path);
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()).await
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        if answer.status.is_client_error() || answer.status.is_server_error() {
            assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(answer.body["status"], answer.status.as_u16());
            assert!(answer.body["detail"].is_string() && answer.body["title"].is_string());
            assert!(answer.body["type"].as_str().unwrap().starts_with("urn:dipeo:problem:"));
        }
        answer
    }
}
