//! The routes.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use core_events::{
    ExecutionId,
    ports::{Control, ExecutionSnapshot, Executions, Ingest},
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Problem,
    body::read_json,
    fields::Fields,
    ingest, list,
    path::{self, RawPath},
    start,
};

/// Bounds of the API.
#[derive(Debug, Clone, Copy)]
pub struct RestOptions {
    /// The largest body that is read.
    pub max_body_bytes: usize,
}

/// The API over [`Executions`], and over [`Ingest`] where one path opens runs of both.
#[derive(Debug, Clone)]
pub struct RestApi {
    executions: Arc<dyn Executions>,
    ingest: Arc<dyn Ingest>,
    options: RestOptions,
}

pub(crate) const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
const JSON: (HeaderName, HeaderValue) = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

// === impl RestApi ===

impl RestApi {
    /// The API over `executions`; runs of outside engines are opened in `ingest`.
    #[must_use]
    pub fn new(executions: Arc<dyn Executions>, ingest: Arc<dyn Ingest>, options: RestOptions) -> Self {
        Self { executions, ingest, options }
    }

    /// The routes. `base_dir` is honoured only where requests carry the address of their client
    /// ([`ConnectInfo`](axum::extract::ConnectInfo)) and that is this machine.
    pub fn into_router(self) -> Router {
        Router::new()
            .route("/api/v1/executions", post(start_execution).get(list_executions))
            .route("/api/v1/executions/{id}", get(get_execution))
            .route("/api/v1/executions/{id}/outputs/{seq}", get(get_output))
            .route("/api/v1/executions/{id}/abort", post(abort_execution))
            .with_state(self)
    }
}

/// For paths that are not there.
pub async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, "no-such-path", format!("there is nothing at {path}"))
}

/// For paths that don't have the method. `Allow` names those that they have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("{path} has no method {method}; the header `Allow` names those that it has");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

async fn start_execution(State(api): State<RestApi>, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let local = start::is_local(&parts);
    let body = read_json(Request::from_parts(parts, body), api.options.max_body_bytes).await?;
    if !start::is_start(body.as_ref()) {
        return ingest::open(&*api.ingest, body).await;
    }
    let started = api.executions.start(start::read(body, local)?).await?;
    let id = &started.execution;
    let location = (header::LOCATION, format!("/api/v1/executions/{id}"));
    let body = json!({
        "execution_id": id,
        "warnings": started.warnings,
        "path": started.path.name(),
        "links": Links::of(id),
    });
    Ok((StatusCode::CREATED, [location], [NO_STORE], Json(body)).into_response())
}

async fn list_executions(State(api): State<RestApi>, uri: Uri) -> Result<Response, Problem> {
    let query = list::read(&uri)?;
    let runs = api.executions.list(&query).await?;
    let full = runs.len() == query.limit;
    let next = runs.last().filter(|_| full).map(|run| list::next_page(&query, &run.execution_id));
    Ok(([NO_STORE], Json(json!({ "executions": runs, "next": next }))).into_response())
}

async fn get_execution(State(api): State<RestApi>, id: RawPath<String>) -> Result<Response, Problem> {
    let id = path::id(id)?;
    Ok(snapshot(&id, &api.executions.get(&id).await?))
}

/// A state, with where to go on from it.
pub(crate) fn snapshot(id: &ExecutionId, snapshot: &ExecutionSnapshot) -> Response {
    let mut links = Links::of(id);
    // A cursor is a place in the log, and the log's stream takes it whatever path serves the run.
    links.resume = Some(format!("/sse/unified/executions/{id}?from={}", snapshot.cursor));
    let mut body = serde_json::to_value(&snapshot.state).unwrap_or_default();
    if let Value::Object(body) = &mut body {
        body.insert("cursor".to_owned(), json!(snapshot.cursor));
        body.insert("links".to_owned(), json!(links));
    }
    ([NO_STORE], Json(body)).into_response()
}

async fn get_output(State(api): State<RestApi>, at: RawPath<(String, String)>) -> Result<Response, Problem> {
    let (id, seq) = path::id_and_seq(at)?;
    let output = api.executions.output(&id, seq).await?;
    Ok(([JSON, NO_STORE], output).into_response())
}

async fn abort_execution(
    State(api): State<RestApi>,
    id: RawPath<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let id = path::id(id)?;
    let mut fields = Fields::new(read_json(request, api.options.max_body_bytes).await?)?;
    let reason = fields.text("reason").filter(|reason| !reason.trim().is_empty());
    fields.finish()?;
    let reason = reason.unwrap_or_else(|| "aborted through the API".to_owned());
    api.executions.control(&id, Control::Abort { reason }).await?;
    let body = json!({ "execution_id": id, "links": Links::of(&id) });
    Ok((StatusCode::ACCEPTED, [NO_STORE], Json(body)).into_response())
}

/// Where else the execution is.
#[derive(Debug, Serialize)]
pub(crate) struct Links {
    /// Its events, live.
    stream: String,
    /// Its state.
    state: String,
    /// Its page, for a person.
    page: String,
    /// Its events behind the state that this came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<String>,
    /// Where its events are posted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<String>,
}

impl Links {
    pub(crate) fn of(id: &ExecutionId) -> Self {
        Self {
            stream: format!("/sse/executions/{id}"),
            state: format!("/api/v1/executions/{id}"),
            page: format!("/executions/{id}"),
            resume: None,
            events: None,
        }
    }

    pub(crate) fn with_events(mut self, id: &ExecutionId) -> Self {
        self.events = Some(format!("/api/v1/executions/{id}/events"));
        self
    }
}
