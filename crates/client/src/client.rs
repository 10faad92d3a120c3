//! The REST side.

use std::{error::Error as _, net::IpAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use core_events::{Cursor, ExecutionId, ExecutionState, Seq, ports::MonitoringPath};
use reqwest::{Method, RequestBuilder, Response, Url, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    error::{ClientError, Problem},
    follow::{FollowOptions, FollowStream},
};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request other than a stream may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to one server. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct StartRequest {
    /// The diagram's text.
    pub diagram: String,
    /// What to call it in errors: usually its file name.
    pub name: Option<String>,
    /// Where relative paths in it start: a directory on the server's machine.
    pub base_dir: Option<PathBuf>,
    /// The execution's variables.
    pub inputs: Map<String, Value>,
    /// Stops the run after this time.
    pub timeout: Option<Duration>,
    /// The monitoring path that serves it; the server chooses if it is not given.
    pub path: Option<MonitoringPath>,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Started {
    /// Its id.
    pub execution_id: ExecutionId,
    /// What the compiler had to say of the diagram, a line each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The state of an execution, and the position up to which it goes: follow from there to see what comes after.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Snapshot {
    /// The fold of its events.
    #[serde(flatten)]
    pub state: ExecutionState,
    /// Up to here.
    pub cursor: Cursor,
}

// === impl Client ===

impl Client {
    /// A client of the server at `address`, such as `http://127.0.0.1:8000`. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`], and [`ClientError::Tls`] for `https`.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        let refuse =
            |problem: &str| ClientError::Address { url: address.to_owned(), problem: problem.to_owned() };
        let mut base = Url::parse(address).map_err(|error| refuse(&error.to_string()))?;
        match base.scheme() {
            "http" => {}
            "https" => return Err(ClientError::Tls { url: address.to_owned() }),
            _ => return Err(refuse("it does not begin with http://")),
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("it has a query or a fragment"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refuse("it has a user name or a password"));
        }
        base.path_segments_mut().map_err(|()| refuse("it has no host"))?.pop_if_empty();
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // Frames are small and wanted at once.
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("dipeo/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A proxy of the environment can't know this machine's loopback.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| refuse(&root_cause(&error)))?;
        Ok(Self { http, base })
    }

    /// The server's address, without a final slash.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether the server is on this machine's loopback, so that paths mean the same on both sides.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.base)
    }

    /// Where a person finds the execution in a browser.
    #[must_use]
    pub fn monitor_url(&self, execution: &ExecutionId) -> String {
        self.url(&["executions", execution.as_str()]).into()
    }

    /// Starts a run; its first event is in the log when this returns.
    ///
    /// Cancelling it leaves open whether the run was started.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with every fault of the diagram, and what every request can meet.
    pub async fn start(&self, request: &StartRequest) -> Result<Started, ClientError> {
        let mut body = json!({ "diagram": request.diagram, "inputs": request.inputs });
        if let Value::Object(body) = &mut body {
            if let Some(name) = &request.name {
                body.insert("name".to_owned(), json!(name));
            }
            if let Some(dir) = &request.base_dir {
                body.insert("base_dir".to_owned(), json!(dir.to_string_lossy()));
            }
            if let Some(timeout) = request.timeout {
                body.insert("timeout".to_owned(), json!(timeout.as_secs_f64()));
            }
            if let Some(path) = request.path {
                body.insert("use_unified_monitoring".to_owned(), json!(path == MonitoringPath::Unified));
            }
        }
        self.request(Method::POST, self.url(&["api", "v1", "executions"]), Some(&body)).await
    }

    /// The state of an execution.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 404 or 410 when it is not there, and what every request can meet.
    pub async fn get(&self, execution: &ExecutionId) -> Result<Snapshot, ClientError> {
        self.request(Method::GET, self.execution_url(execution, &[]), None).await
    }

    /// Asks for the end of a run. It has ended when its stream says so.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 409 when it has ended already, and what every request can meet.
    pub async fn abort(&self, execution: &ExecutionId, reason: &str) -> Result<(), ClientError> {
        let url = self.execution_url(execution, &["abort"]);
        self.send(Method::POST, url, Some(&json!({ "reason": reason }))).await?;
        Ok(())
    }

    /// The output of the node whose end is event `seq`, as JSON: what the `output_ref` of that event names.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with status 404 when there is none, and what every request can meet.
    pub async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Bytes, ClientError> {
        let url = self.execution_url(execution, &["outputs", &seq.to_string()]);
        let response = self.send(Method::GET, url, None).await?;
        response.bytes().await.map_err(|error| self.transport(&error))
    }

    /// Tells that a terminal shows `execution`, so that a monitor finds it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Answer`] when the server does not take it, and what every request can meet.
    pub async fn register_cli_session(
        &self,
        execution: &ExecutionId,
        diagram_name: &str,
    ) -> Result<(), ClientError> {
        let query = "mutation($input: RegisterCliSessionInput!) { done: registerCliSession(input: $input) { success error } }";
        let input =
            json!({ "execution_id": execution, "diagram_name": diagram_name, "diagram_format": "LIGHT" });
        self.mutate(query, &input).await
    }

    /// Tells that no terminal shows `execution` any more.
    ///
    /// # Errors
    ///
    /// [`ClientError::Answer`] when it was not registered, and what every request can meet.
    pub async fn unregister_cli_session(&self, execution: &ExecutionId) -> Result<(), ClientError> {
        let query = "mutation($input: UnregisterCliSessionInput!) { done: unregisterCliSession(input: $input) { success error } }";
        self.mutate(query, &json!({ "execution_id": execution })).await
    }

    /// Follows one execution, or all with `None`. Connects when it is first polled. What comes is the log's, whatever path
    /// serves the execution.
    #[must_use]
    pub fn follow(&self, execution: Option<&ExecutionId>, options: FollowOptions) -> FollowStream {
        let mut url = match execution {
            Some(id) => self.url(&["sse", "unified", "executions", id.as_str()]),
            None => self.url(&["sse", "executions"]),
        };
        options.add_filters(&mut url);
        FollowStream::new(self.clone(), url, options)
    }

    /// Sends a GraphQL mutation, whose one field is called `done`.
    async fn mutate(&self, query: &str, input: &Value) -> Result<(), ClientError> {
        let url = self.url(&["graphql"]);
        let body = json!({ "query": query, "variables": { "input": input } });
        let answer: Value = self.request(Method::POST, url.clone(), Some(&body)).await?;
        if answer.pointer("/data/done/success") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        Err(ClientError::Answer { url: url.into(), problem: answer.to_string() })
    }

    pub(crate) fn execution_url(&self, execution: &ExecutionId, rest: &[&str]) -> Url {
        let mut segments = vec!["api", "v1", "executions", execution.as_str()];
        segments.extend(rest);
        self.url(&segments)
    }

    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        // `new` has made sure that there is a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url
    }

    pub(crate) async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<T, ClientError> {
        let response = self.send(method, url.clone(), body).await?;
        self.read(url, response).await
    }

    /// A request without a time-out.
    pub(crate) fn unhurried(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Reads the answer that `url` gave.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        url: Url,
        response: Response,
    ) -> Result<T, ClientError> {
        let bytes = response.bytes().await.map_err(|error| self.transport(&error))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::Answer { url: url.into(), problem: error.to_string() })
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.request(method, url).timeout(REQUEST_TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// Asks for a stream; the head of the answer, whatever its status.
    pub(crate) async fn open(
        &self,
        url: Url,
        last_event_id: Option<String>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.get(url).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        request.send().await.map_err(|error| self.transport(&error))
    }

    /// Reads the body of a refusal.
    pub(crate) async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        match response.bytes().await {
            Ok(body) => {
                Problem::read(status.as_u16(), status.canonical_reason().unwrap_or_default(), &body).into()
            }
            Err(error) => self.transport(&error),
        }
    }

    pub(crate) fn transport(&self, error: &reqwest::Error) -> ClientError {
        let (server, problem) = (self.address().to_owned(), root_cause(error));
        if error.is_connect() {
            ClientError::Connect { server, problem }
        } else if error.is_timeout() {
            ClientError::Transport { server, problem: "no answer came in time".to_owned() }
        } else {
            ClientError::Transport { server, problem }
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The innermost of the errors: reqwest's own text repeats the address and leaves out the reason.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    let mut source = error.source();
    while let Some(inner) = source {
        cause = inner;
        source = inner.source();
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for (address, text) in [
            ("https://example.org", "https is not supported yet"),
            ("localhost:8000", "does not begin with http://"),
            ("ftp://localhost", "does not begin with http://"),
            ("127.0.0.1:8000", "is no address of a server"),
            ("", "is no address of a server"),
            ("http://", "is no address of a server"),
            ("http://localhost:8000/?a=b", "query"),
            ("http://me:secret@localhost:8000", "user name"),
            ("http://localhost:99999", "port"),
        ] {
            let error = Client::new(address).unwrap_err().to_string();
            assert!(error.contains(text), "{address}: {error}");
        }
    }

    #[test]
    fn urls_are_built_below_the_address() {
        let id = ExecutionId::parse("exec_1").unwrap();
        for (address, expected) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/executions/exec_1"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/executions/exec_1"),
            ("http://example.org/dipeo/", "http://example.org/dipeo/executions/exec_1"),
        ] {
            assert_eq!(Client::new(address).unwrap().monitor_url(&id), expected);
        }
    }

    #[test]
    fn loopback_is_told_apart() {
        for (address, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9:1", true),
            ("http://localhost:1", true),
            ("http://[::1]:1", true),
            ("http://[::ffff:127.0.0.1]:1", true),
            ("http://10.0.0.1:1", false),
            ("http://localhost.example.org:1", false),
        ] {
            assert_eq!(Client::new(address).unwrap().is_loopback(), expected, "{address}");
        }
    }
}
