//! What a server's log holds: runs, their events, their state at any point, whole runs as files.

use bytes::Bytes;
use core_events::{Cursor, EventType, ExecutionId, ExecutionStatus, ports::RunSummary};
use reqwest::{Body, Method, Response, Url, header};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::{Client, REQUEST_TIMEOUT, Snapshot},
    error::ClientError,
    follow::{
        Item,
        frame::{self, Frame},
    },
};

/// Events that a page may have: as many as a server gives.
const PAGE: usize = 1_000;

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

/// The events of a run, a page at a time.
#[derive(Debug)]
pub struct EventPages {
    client: Client,
    url: Url,
    /// The query of the next page, if there is one.
    next: Option<String>,
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

    /// The events of an execution that the log holds, oldest first. Asks for nothing yet.
    #[must_use]
    pub fn events(&self, execution: &ExecutionId, request: &EventsRequest) -> EventPages {
        let mut url = self.execution_url(execution, &["events"]);
        let from = request.from.as_ref().map(|from| ("from", from.to_string()));
        // Each by itself, so that a comma in a name stays one.
        let types = request.types.iter().map(|name| ("types", name.to_string()));
        add(&mut url, from.into_iter().chain(types).chain([("limit", PAGE.to_string())]));
        let next = url.query().map(str::to_owned);
        EventPages { client: self.clone(), url, next }
    }

    /// The state of an execution as it was at `at`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 404, 409 or 410 when the execution is not there or the log does not know that far back,
    /// and what every request can meet.
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
        let url = self.url(&["api", "v1", "imports"]);
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

// === impl EventPages ===

impl EventPages {
    /// The next page: events, and what the log no longer holds of them. `None` behind the last event that there is.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 404, 409 or 410 when the execution is not there or `from` means nothing in this log, and
    /// what every request can meet.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, ClientError> {
        let Some(query) = self.next.take() else { return Ok(None) };
        self.url.set_query(Some(&query));
        let request = self.client.unhurried(Method::GET, self.url.clone()).timeout(REQUEST_TIMEOUT);
        let request = request.header(header::ACCEPT, "application/x-ndjson");
        let response = request.send().await.map_err(|error| self.client.transport(&error))?;
        if !response.status().is_success() {
            return Err(self.client.refusal(response).await);
        }
        let next = response.headers().get(header::LINK).and_then(|link| next_query(link.to_str().ok()?));
        let body = response.bytes().await.map_err(|error| self.client.transport(&error))?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let items: Vec<Item> = lines.filter_map(|line| item(body.slice_ref(line))).collect();
        if items.is_empty() {
            return Ok(None);
        }
        self.next = next;
        Ok(Some(items))
    }
}

/// What a line of a page means.
fn item(json: Bytes) -> Option<Item> {
    match frame::read(json, None) {
        Frame::Item(item) => Some(item),
        Frame::Opened | Frame::Alive | Frame::End { .. } => None,
    }
}

/// The query of the next page, from `</path?query>; rel="next"`.
fn next_query(link: &str) -> Option<String> {
    let (target, relation) = link.strip_prefix('<')?.split_once('>')?;
    let (_, query) = target.split_once('?')?;
    relation.contains("rel=\"next\"").then(|| query.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_where_the_link_says() {
        for (link, query) in [
            ("</a/b?from=ab-3&limit=7>; rel=\"next\"", Some("from=ab-3&limit=7")),
            ("</a/b?from=ab-3>; rel=\"prev\"", None),
            ("</a/b>; rel=\"next\"", None),
            ("/a/b?c; rel=\"next\"", None),
        ] {
            assert_eq!(next_query(link).as_deref(), query, "{link}");
        }
    }
}
