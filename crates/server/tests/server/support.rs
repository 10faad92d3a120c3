//! What every test needs: a server, and the smallest of clients.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use server::{Config, LogConfig, LogStore, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Prints a line and ends.
pub(crate) const HELLO: &str = r#"
version: light
nodes:
  - {label: Start, type: start, position: {x: 0, y: 0}, props: {trigger_mode: manual}}
  - {label: Job, type: code_job, position: {x: 1, y: 0}, props: {language: bash, code: "echo hello"}}
connections:
  - {from: Start, to: Job}
"#;

/// Never ends.
pub(crate) const ENDLESS: &str = r#"
version: light
nodes:
  - {label: Start, type: start, position: {x: 0, y: 0}, props: {trigger_mode: manual}}
  - {label: Job, type: code_job, position: {x: 1, y: 0}, props: {language: bash, code: "echo begun; sleep 1000", timeout: 1000}}
connections:
  - {from: Start, to: Job}
"#;

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A connection on which a stream arrives.
pub(crate) struct Stream {
    connection: TcpStream,
    pub(crate) text: String,
}

pub(crate) fn config() -> Config {
    let log = LogConfig { store: LogStore::Memory, ..LogConfig::default() };
    Config { port: 0, log, ..Config::default() }
}

pub(crate) async fn start(config: Config) -> Server {
    Server::start(config).await.unwrap()
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Sends `text` as it is and reads until the server closes.
pub(crate) async fn raw(address: SocketAddr, text: &str) -> Response {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A server that refuses may close before it has read everything: what it said counts.
    timeout(PATIENCE, connection.read_to_end(&mut bytes)).await.expect("the server answers").ok();
    response(&String::from_utf8_lossy(&bytes))
}

fn response(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

/// A request with the server's own name and `headers`, a line each.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Response {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n{headers}{length}\r\n{body}",
        address.port()
    );
    raw(address, &text).await
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Response {
    send(address, "GET", path, &[], "").await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &Value) -> Response {
    send(address, "POST", path, &["Content-Type: application/json"], &body.to_string()).await
}

/// Starts a run and returns its id.
pub(crate) async fn run(address: SocketAddr, diagram: &str) -> String {
    let response = post(address, "/api/v1/executions", &json!({ "diagram": diagram })).await;
    assert_eq!(response.status, 201, "{}", response.body);
    response.json()["execution_id"].as_str().unwrap().to_owned()
}

impl Stream {
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", address.port());
        connection.write_all(text.as_bytes()).await.unwrap();
        Self { connection, text: String::new() }
    }

    /// Reads until `part` has come.
    pub(crate) async fn until(&mut self, part: &str) {
        let mut buffer = vec![0; 64 * 1024];
        while !self.text.contains(part) {
            let read = timeout(PATIENCE, self.connection.read(&mut buffer)).await;
            let read = read.unwrap_or_else(|_| panic!("{part} did not come: {}", self.text)).unwrap();
            assert_ne!(read, 0, "the stream ended without {part}: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }

    /// Reads to the end of the connection.
    pub(crate) async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.connection.read_to_end(&mut rest)).await.expect("the stream ends").unwrap();
        self.text + &String::from_utf8_lossy(&rest)
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}
