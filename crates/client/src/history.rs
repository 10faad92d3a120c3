//! What a server's log holds: runs, their events, their state at any point, whole runs as files.

use bytes::Bytes;
use core_events::{Cursor, EventType, ExecutionId, ExecutionStatus, ports::RunSummary};
use reqwest::{Body, Method, Response, Url};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    client::{Client, Snapshot},
    error::ClientError,
};

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Only runs with this status.
    pub status: Option<ExecutionStatus>,
    /// Only runs that began before this one did.
    pub before: Option<ExecutionId>,
    /// At most so many; as many as the server likes if it is not given.
    pub limit: Option<usize>,
}

/// Which events of a run.
#[derive(Debug, Clone, Default)]
pub struct EventsRequest {
    /// Behind this position; from the start if it is not given.
    pub from: Option<Cursor>,
    /// Only events of these types; all if empty.
    pub types: Vec<EventType>,
}

/// Some events of a run.
#[derive(Debug, Deserialize)]
pub struct EventsPage {
    /// The events as the server sent them, ascending, each an object with its `cursor`.
    pub events: Vec<Box<RawValue>>,
    /// A part that the log no longer holds, in front of `events`.
    pub gap: Option<Box<RawValue>>,
    /// Where the next page starts.
    pub next: Cursor,
    /// Whether there will never be anything behind `next`.
    pub ended: bool,
}

/// What a log holds, and how it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LogReport {
    /// Its figures: the fields of [`LogStats`](core_events::ports::LogStats).
    pub stats: Value,
    /// What keeps it from storing: the fields of [`LogProblem`](core_events::ports::LogProblem); null if nothing does.
    #[serde(default)]
    pub health: Value,
}

/// A run that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Imported {
    /// Its id.
    pub execution_id: ExecutionId,
    /// How many events it has.
    pub events: u64,
}

/// A run on its way out.
#[derive(Debug)]
pub struct Export {
    client: Client,
    response: Response,
}

#[derive(Deserialize)]
struct List {
    executions: Vec<RunSummary>,
}

// === impl Client ===

impl Client {
    /// Root runs, newest first.
    ///
    /// # Errors
    ///
    /// What every request can meet.
    pub async fn list(&self, request: &ListRequest) -> Result<Vec<RunSummary>, ClientError> {
        let mut url = self.url(&["api", "v1", "executions"]);
        let status = request.status.as_ref().map(|status| ("status", status.to_string()));
        let before = request.before.as_ref().map(|before| ("before", before.to_string()));
        let limit = request.limit.map(|limit| ("limit", limit.to_string()));
        add(&mut url, status.into_iter().chain(before).chain(limit));
        let list: List = self.request(Method::GET, url, None).await?;
        Ok(list.executions)
    }

    /// A page of the events of an execution, oldest first. Ask again with [`EventsPage::next`] for the next one; an empty page
    /// is the last one so far.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 404 or 410 when the execution is not there or `from` is of another life of
    /// the log, and what every request can meet.
    pub async fn events(
        &self,
        execution: &ExecutionId,
        request: &EventsRequest,
    ) -> Result<EventsPage, ClientError> {
        let mut url = self.execution_url(execution, &["events"]);
        let from = request.from.as_ref().map(|from| ("from", from.to_string()));
        let types: Vec<&str> = request.types.iter().map(EventType::as_str).collect();
        let types = (!types.is_empty()).then(|| ("types", types.join(",")));
        add(&mut url, from.into_iter().chain(types));
        self.request(Method::GET, url, None).await
    }

    /// The state of an execution as it was at `at`.
    ///
    /// # Errors
    ///
    /// As [`events`](Self::events).
    pub async fn state_at(&self, execution: &ExecutionId, at: &Cursor) -> Result<Snapshot, ClientError> {
        let mut url = self.execution_url(execution, &["state"]);
        add(&mut url, [("at", at.to_string())]);
        self.request(Method::GET, url, None).await
    }

    /// Removes a finished run with everything in it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 409 when it goes on, 404 or 410 when it is not there, and what every request can
    /// meet.
    pub async fn remove(&self, execution: &ExecutionId) -> Result<(), ClientError> {
        self.send(Method::DELETE, self.execution_url(execution, &[]), None).await.map(drop)
    }

    /// Excepts a run from retention, or no longer.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 404 or 410 when it is not there, and what every request can meet.
    pub async fn pin(&self, execution: &ExecutionId, pinned: bool) -> Result<(), ClientError> {
        let method = if pinned { Method::PUT } else { Method::DELETE };
        self.send(method, self.execution_url(execution, &["pin"]), None).await.map(drop)
    }

    /// Begins to export a run: a compressed file that [`import`](Self::import) takes.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 404 or 410 when it is not there, and what every request can meet.
    pub async fn export(&self, execution: &ExecutionId) -> Result<Export, ClientError> {
        let request = self.unhurried(Method::GET, self.execution_url(execution, &["export"]));
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        if response.status().is_success() {
            Ok(Export { client: self.clone(), response })
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// Imports a run from `file`, which an export wrote.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with the place of the fault, or status 409 when the run is there already, and what every request
    /// can meet; then nothing was imported.
    pub async fn import(&self, file: tokio::fs::File) -> Result<Imported, ClientError> {
        let url = self.url(&["api", "v1", "executions", "import"]);
        let request = self
            .unhurried(Method::POST, url.clone())
            .header("content-type", "application/gzip")
            .body(Body::from(file));
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.read(url, response).await
    }

    /// What the server's log holds.
    ///
    /// # Errors
    ///
    /// What every request can meet.
    pub async fn log(&self) -> Result<LogReport, ClientError> {
        self.request(Method::GET, self.url(&["api", "v1", "log"]), None).await
    }
}

// === impl Export ===

impl Export {
    /// The next bytes of the file; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`ClientError::Transport`] when the connection breaks; then what came is not all.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.response.chunk().await.map_err(|error| self.client.transport(&error))
    }
}

fn add(url: &mut Url, parameters: impl IntoIterator<Item = (&'static str, String)>) {
    let mut parameters = parameters.into_iter().peekable();
    if parameters.peek().is_some() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
}
