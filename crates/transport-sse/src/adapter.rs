//! The routes.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::get,
};
use core_events::{
    ExecutionId,
    ports::{Clock, History, Start, StreamSource, SubscribeRequest, Subscribed},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use crate::{SseBody, SseEncoder, StreamRequest, frames, problem::Refusal, replay, request::RequestError};

/// Serves streams from what sends them; the guide's name.
#[derive(Debug, Clone)]
pub struct SseMessageRouterAdapter {
    run: Arc<dyn StreamSource>,
    unified: Arc<dyn StreamSource>,
    history: Arc<dyn History>,
    clock: Arc<dyn Clock>,
}

// === impl SseMessageRouterAdapter ===

impl SseMessageRouterAdapter {
    /// `run` serves `/sse/executions/{id}`: whatever path the run takes. `unified` reads the log and serves
    /// `/sse/unified/executions/{id}` and `/sse/executions`. Replays are of `history`.
    #[must_use]
    pub fn new(
        run: Arc<dyn StreamSource>,
        unified: Arc<dyn StreamSource>,
        history: Arc<dyn History>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { run, unified, history, clock }
    }

    /// The routes.
    ///
    /// Refusals come before a stream opens: 400 for a malformed request, 404 for an unknown and 410 for a deleted run,
    /// 409 for the replay of a run that goes on, 503 with `Retry-After` when there are too many streams or none are opened any more. 204 means that the run
    /// has ended and the client has it all; an `EventSource` then stops coming back (I9).
    pub fn into_router(self) -> Router {
        Router::new()
            .route("/sse/executions", get(all))
            .route("/sse/executions/{id}", get(run))
            .route("/sse/unified/executions/{id}", get(unified))
            .with_state(Arc::new(self))
    }

    async fn open(
        &self,
        source: &dyn StreamSource,
        execution: Option<ExecutionId>,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let request = StreamRequest::parse(uri.query(), headers)?;
        let default = if execution.is_some() { Start::Beginning } else { Start::Now };
        let start = request.start.unwrap_or(default);
        let subscribed = match (request.speed, &execution) {
            (None, _) => {
                let (execution, filter) = (execution.clone(), request.filter);
                let encoder = Arc::new(SseEncoder);
                source.subscribe(SubscribeRequest { execution, start, filter, encoder }).await?
            }
            (Some(speed), Some(execution)) => {
                let wanted =
                    replay::Wanted { execution: execution.clone(), start, filter: request.filter, speed };
                replay::open(&self.history, &*self.unified, wanted).await?
            }
            (Some(_), None) => return Err(of_all()),
        };
        let Subscribed::Open(subscription) = subscribed else {
            return Ok((StatusCode::NO_CONTENT, [NO_STORE]).into_response());
        };
        let retry = frames::retry_after(RandomState::new().build_hasher().finish());
        let body = SseBody::new(subscription, execution, retry, Arc::clone(&self.clock));
        let headers = [CONTENT_TYPE, NO_STORE, (X_ACCEL_BUFFERING, HeaderValue::from_static("no"))];
        Ok((headers, Body::new(body)).into_response())
    }
}

/// Proxies that know it don't buffer the response then.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const CONTENT_TYPE: (HeaderName, HeaderValue) =
    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

type Adapter = State<Arc<SseMessageRouterAdapter>>;
type Id = Result<Path<String>, PathRejection>;

async fn all(State(adapter): Adapter, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    adapter.open(&*adapter.unified, None, &uri, &headers).await
}

async fn run(State(adapter): Adapter, id: Id, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    adapter.open(&*adapter.run, Some(parse(id)?), &uri, &headers).await
}

async fn unified(State(adapter): Adapter, id: Id, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    adapter.open(&*adapter.unified, Some(parse(id)?), &uri, &headers).await
}

fn of_all() -> Refusal {
    let problem = "a replay is of one run; ask for it at /sse/executions/{id}".to_owned();
    RequestError::Parameter { name: "speed".to_owned(), problem }.into()
}

fn parse(id: Id) -> Result<ExecutionId, Refusal> {
    let Path(id) = id.map_err(|rejection| Refusal::Path(rejection.body_text()))?;
    Ok(ExecutionId::parse(&id)?)
}
