//! The past: events page by page, states of any point, what the log keeps, and runs on their way out and in.

mod accept;
mod events;
mod query;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use core_events::ports::{Archive, Clock, Executions, History, HistoryError, LookupError, RemoveError};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::json;

use self::query::Query;
use crate::{
    Problem,
    api::{NO_STORE, snapshot},
    archive,
    path::{self, RawPath},
};

/// Bounds of [`HistoryApi`].
#[derive(Debug, Clone, Copy)]
pub struct HistoryOptions {
    /// A page of events ends when its events have so many bytes.
    pub max_page_bytes: usize,
    /// The most bytes of an import, unpacked.
    pub max_import_bytes: u64,
}

/// What [`HistoryApi`] serves.
#[derive(Debug, Clone)]
pub struct HistoryParts {
    /// The past.
    pub history: Arc<dyn History>,
    /// Where imports go.
    pub archive: Arc<dyn Archive>,
    /// Has the outputs that an export takes along.
    pub executions: Arc<dyn Executions>,
    /// Says when an export was made.
    pub clock: Arc<dyn Clock>,
}

/// The API over [`History`] and [`Archive`].
#[derive(Debug, Clone)]
pub struct HistoryApi {
    pub(crate) parts: HistoryParts,
    pub(crate) options: HistoryOptions,
}

// === impl HistoryOptions ===

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { max_page_bytes: 1024 * 1024, max_import_bytes: 1024 * 1024 * 1024 }
    }
}

// === impl HistoryApi ===

impl HistoryApi {
    /// The API over `parts`.
    #[must_use]
    pub fn new(parts: HistoryParts, options: HistoryOptions) -> Self {
        Self { parts, options }
    }

    /// The routes.
    pub fn into_router(self) -> Router {
        Router::new()
            .route("/api/v1/executions/{id}", delete(remove))
            .route("/api/v1/executions/{id}/events", get(list_events))
            .route("/api/v1/executions/{id}/state", get(state_at))
            .route("/api/v1/executions/{id}/pin", put(pin).delete(unpin))
            .route("/api/v1/executions/{id}/export", get(archive::export))
            .route("/api/v1/imports", post(archive::import))
            .route("/api/v1/log", get(log))
            .with_state(Arc::new(self))
    }
}

pub(crate) type Api = State<Arc<HistoryApi>>;

async fn list_events(
    State(api): Api,
    id: RawPath<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = path::id(id)?;
    let media = accept::choose(&headers)?;
    let query = Query::events(uri.query())?;
    let page = api.parts.history.events(query.of(&id, api.options.max_page_bytes)).await?;
    Ok(events::answer(&id, &query, &page, media, api.parts.clock.now()))
}

async fn state_at(State(api): Api, id: RawPath<String>, uri: Uri) -> Result<Response, Problem> {
    let id = path::id(id)?;
    let at = query::at(uri.query())?;
    Ok(snapshot(&id, &api.parts.history.state_at(&id, &at).await?))
}

async fn remove(State(api): Api, id: RawPath<String>) -> Result<Response, Problem> {
    api.parts.history.remove(&path::id(id)?).await?;
    Ok((StatusCode::NO_CONTENT, [NO_STORE]).into_response())
}

async fn pin(State(api): Api, id: RawPath<String>) -> Result<Response, Problem> {
    api.parts.history.pin(&path::id(id)?, true).await?;
    Ok((StatusCode::NO_CONTENT, [NO_STORE]).into_response())
}

async fn unpin(State(api): Api, id: RawPath<String>) -> Result<Response, Problem> {
    api.parts.history.pin(&path::id(id)?, false).await?;
    Ok((StatusCode::NO_CONTENT, [NO_STORE]).into_response())
}

async fn log(State(api): Api) -> Response {
    let body = json!({ "stats": api.parts.history.stats(), "health": api.parts.history.health() });
    ([NO_STORE], Json(body)).into_response()
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        let (status, name) = match &error {
            HistoryError::Lookup(error) => return LookupError::clone(error).into(),
            HistoryError::Read(error) => return error.clone().into(),
            HistoryError::ForeignEpoch(_) => (StatusCode::CONFLICT, "foreign-epoch"),
            HistoryError::FutureCursor(_) => (StatusCode::CONFLICT, "future-cursor"),
            HistoryError::Incomplete(_) => (StatusCode::GONE, "incomplete-execution"),
        };
        Self::new(status, name, error.to_string())
    }
}

impl From<RemoveError> for Problem {
    fn from(error: RemoveError) -> Self {
        let name = match &error {
            RemoveError::Lookup(error) => return LookupError::clone(error).into(),
            RemoveError::Running(_) => "execution-running",
            RemoveError::NotARoot { .. } => "not-a-root",
        };
        Self::new(StatusCode::CONFLICT, name, error.to_string())
    }
}
