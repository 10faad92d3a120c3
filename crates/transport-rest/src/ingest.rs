//! Runs of outside engines: opening them, and taking their events.

mod events;
mod producer;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use core_events::{
    Cursor, ExecutionId, Seq, limits,
    ports::{AppendError, Ingest, IngestError, Ingested, OpenError, OpenRun},
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use self::events::Posted;
use crate::{
    Problem, RestOptions,
    api::{Links, NO_STORE},
    body::{self, Media},
    fields::Fields,
    path::{self, RawPath},
};

/// The API over [`Ingest`], but for the path on which runs are opened: that is one with [`RestApi`](crate::RestApi)'s.
#[derive(Debug, Clone)]
pub struct IngestApi {
    ingest: Arc<dyn Ingest>,
    options: RestOptions,
}

/// From this size on, a body is read off the runtime's threads.
const LARGE_BYTES: usize = 512 * 1024;

/// The answer to events that were taken.
#[derive(Debug, Serialize)]
struct Taken {
    appended: usize,
    last_seq: Seq,
    cursor: Cursor,
}

// === impl IngestApi ===

impl IngestApi {
    /// The API over `ingest`.
    #[must_use]
    pub fn new(ingest: Arc<dyn Ingest>, options: RestOptions) -> Self {
        Self { ingest, options }
    }

    /// The routes.
    pub fn into_router(self) -> Router {
        Router::new().route("/api/v1/executions/{id}/events", post(append)).with_state(self)
    }
}

/// Opens a run as the body of `POST /api/v1/executions` says.
pub(crate) async fn open(ingest: &dyn Ingest, body: Option<Value>) -> Result<Response, Problem> {
    let mut fields = Fields::new(body)?;
    let id = fields.text("execution_id");
    let diagram_id = fields.text("diagram_id");
    let diagram_name = fields.text("diagram_name");
    for (name, text) in [("diagram_id", &diagram_id), ("diagram_name", &diagram_name)] {
        if text.as_ref().is_some_and(|text| text.len() > limits::MAX_TEXT_BYTES) {
            fields.fault(name, &format!("a text of at most {} bytes is expected", limits::MAX_TEXT_BYTES));
        }
    }
    let execution = match id.as_deref().map(ExecutionId::parse).transpose() {
        Ok(execution) => execution,
        Err(error) => {
            fields.fault("execution_id", &error.to_string());
            None
        }
    };
    fields.finish()?;
    let opened = ingest.open(OpenRun { execution, diagram_id, diagram_name }).await?;
    let id = &opened.execution;
    let status = if opened.existed { StatusCode::OK } else { StatusCode::CREATED };
    let location = (header::LOCATION, format!("/api/v1/executions/{id}"));
    let links = Links::of(id).with_events(id);
    let body = json!({ "execution_id": id, "links": links });
    Ok((status, [location], [NO_STORE], Json(body)).into_response())
}

async fn append(
    State(api): State<IngestApi>,
    id: RawPath<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let id = path::id(id)?;
    let media = body::media(request.headers(), &[Media::Lines, Media::Json])?.unwrap_or(Media::Lines);
    let batch = producer::read(request.headers())?;
    require_plain(request.headers())?;
    let body = body::read(request, api.options.max_body_bytes).await?;
    let Posted { events, places } = if body.len() < LARGE_BYTES {
        events::read(&body, media)?
    } else {
        let read = tokio::task::spawn_blocking(move || events::read(&body, media)).await;
        read.map_err(|_| {
            let detail = "internal error: reading the body stopped; this is a fault of dipeo";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
        })??
    };
    match api.ingest.append(&id, events, batch).await {
        Ok(Ingested { events: appended, last_seq, cursor }) => {
            Ok(([NO_STORE], Json(Taken { appended, last_seq, cursor })).into_response())
        }
        Err(IngestError::Log(AppendError::Repeated { .. })) => {
            Ok((StatusCode::NO_CONTENT, [NO_STORE]).into_response())
        }
        Err(IngestError::Event { index, problem }) => Err(places.fault(index, &problem)),
        Err(IngestError::Log(AppendError::TooLarge(error))) => {
            let place = places.largest().map(|place| format!("{place}: ")).unwrap_or_default();
            Err(events::too_large(format!("{place}{error}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Compressed bodies are not taken: how large they are shows only when they are unpacked.
fn require_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Ok(());
    }
    let detail = "compressed bodies are not taken; send the events as they are, without Content-Encoding";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        let (status, name) = match error {
            OpenError::Taken(_) => (StatusCode::CONFLICT, "execution-exists"),
            OpenError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-open-runs"),
            OpenError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            OpenError::Log(error) => return error.into(),
            OpenError::Lookup(error) => return error.into(),
        };
        Self::new(status, name, error.to_string())
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        let (status, name) = match error {
            IngestError::Lookup(error) => return error.into(),
            IngestError::Log(error) => return error.into(),
            IngestError::NotOpened(_) => (StatusCode::CONFLICT, "not-an-outside-run"),
            IngestError::Event { .. } => (StatusCode::BAD_REQUEST, "invalid-event"),
            IngestError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        Self::new(status, name, error.to_string())
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let (status, name) = match &error {
            AppendError::Ended(_) => (StatusCode::CONFLICT, "execution-ended"),
            AppendError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "event-too-large"),
            AppendError::Mixed => (StatusCode::BAD_REQUEST, "invalid-event"),
            AppendError::Repeated { .. } => (StatusCode::CONFLICT, "repeated-batch"),
            AppendError::Fenced { .. } => (StatusCode::FORBIDDEN, "fenced-producer"),
            AppendError::OutOfOrder { .. } => (StatusCode::CONFLICT, "batch-out-of-order"),
            AppendError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "log-busy"),
            AppendError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "log-unavailable"),
        };
        let problem = Self::new(status, name, error.to_string());
        match error {
            AppendError::Fenced { current } => problem.with_header(producer::EPOCH, current),
            AppendError::OutOfOrder { expected, got } => {
                problem.with_header(producer::EXPECTED_SEQ, expected).with_header(producer::RECEIVED_SEQ, got)
            }
            _ => problem,
        }
    }
}
