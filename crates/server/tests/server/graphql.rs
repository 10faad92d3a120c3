use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use server::Config;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::support::{ENDLESS, HELLO, config, get, run, send, start};

/// A WebSocket that has introduced itself.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn connect(address: SocketAddr, origin: Option<&str>) -> Result<Self, Error> {
        let mut request = format!("ws://localhost:{}/graphql", address.port()).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        connect_async(request).await.map(|(socket, _)| Self(socket))
    }

    /// Opens one, and asks for `query`.
    pub(crate) async fn subscribe(address: SocketAddr, query: &str) -> Self {
        let mut socket = Self::connect(address, None).await.unwrap();
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.hear().await.unwrap()["type"], "connection_ack");
        socket.say(json!({ "type": "subscribe", "id": "1", "payload": { "query": query } })).await;
        socket
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; none when the server closes.
    pub(crate) async fn hear(&mut self) -> Option<Value> {
        let hearing = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => return None,
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), hearing)
            .await
            .expect("the server says something")
    }
}

/// POSTs an operation.
async fn graphql(address: SocketAddr, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let response = send(address, "POST", "/graphql", &["Content-Type: application/json"], &body).await;
    assert_eq!(response.status, 200, "{}", response.body);
    response.json()
}

#[tokio::test]
async fn a_subscription_ends_with_its_run() {
    let server = start(config()).await;
    let address = server.local_addr();
    let id = run(address, HELLO).await;
    let query = format!(r#"subscription {{ executionUpdates(execution_id: "{id}") {{ type seq event }} }}"#);
    let mut socket = Socket::subscribe(address, &query).await;
    let mut events = Vec::new();
    loop {
        let message = socket.hear().await.unwrap();
        if message["type"] == "complete" {
            break;
        }
        let update = &message["payload"]["data"]["executionUpdates"];
        assert_eq!(update["event"]["seq"], update["seq"], "{message}");
        events.push(update["event"].clone());
    }
    let last = events.last().unwrap();
    assert_eq!((&last["data"]["status"], &last["seq"]), (&json!("COMPLETED"), &json!(events.len())));
    server.stop().await;
}

#[tokio::test]
async fn a_stop_tells_subscriptions_and_closes_them() {
    let server = start(config()).await;
    let address = server.local_addr();
    let id = run(address, ENDLESS).await;
    let query = format!(r#"subscription {{ executionUpdates(execution_id: "{id}") {{ type event }} }}"#);
    let mut one = Socket::subscribe(address, &query).await;
    while !one.hear().await.unwrap().to_string().contains("begun") {}
    // One that never says anything.
    let mut idle = Socket::connect(address, None).await.unwrap();
    let begin = tokio::time::Instant::now();
    server.stop().await;
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
    let mut heard = String::new();
    while let Some(message) = one.hear().await {
        heard.push_str(&message.to_string());
    }
    assert!(heard.contains("ABORTED") && heard.contains("\"complete\""), "{heard}");
    assert_eq!(idle.hear().await, None);
}

#[tokio::test]
async fn pages_of_other_origins_get_neither_a_socket_nor_a_mutation() {
    let server =
        start(Config { allowed_origins: vec!["http://friend.example".to_owned()], ..config() }).await;
    let address = server.local_addr();
    let own = format!("http://localhost:{}", address.port());
    assert!(Socket::connect(address, Some(&own)).await.is_ok());
    assert!(Socket::connect(address, Some("http://friend.example")).await.is_ok());
    let refused = Socket::connect(address, Some("http://evil.example")).await.err().unwrap();
    assert!(matches!(&refused, Error::Http(response) if response.status() == 403), "{refused}");

    let body = json!({ "query": "mutation { validateDiagram(content: \"\", format: LIGHT) }" }).to_string();
    let json = "Content-Type: application/json";
    for (headers, status) in [
        (&[json][..], 200),
        (&[json, "Origin: http://evil.example"], 403),
        (&["Content-Type: text/plain"], 415),
        (&["Content-Type: application/x-www-form-urlencoded"], 415),
    ] {
        let response = send(address, "POST", "/graphql", headers, &body).await;
        assert_eq!(response.status, status, "{headers:?}: {}", response.body);
    }
    server.stop().await;
}

#[tokio::test]
async fn websockets_are_bounded() {
    let server = start(Config { max_connections: 1, ..config() }).await;
    let first = Socket::connect(server.local_addr(), None).await.unwrap();
    let refused = Socket::connect(server.local_addr(), None).await.err().unwrap();
    assert!(matches!(&refused, Error::Http(response) if response.status() == 503), "{refused}");
    drop(first);
    crate::support::eventually("room for the next", async || {
        Socket::connect(server.local_addr(), None).await.is_ok()
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn what_the_server_knows_can_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/hello.light.yaml"), HELLO).unwrap();
    let server = start(Config { base_dir: Some(dir.path().to_owned()), ..config() }).await;
    let address = server.local_addr();

    let start = "mutation($input: ExecuteDiagramInput!) { executeDiagram(input: $input) { success message data { id } } }";
    let input = json!({ "input": { "diagram_id": "sub/hello.light.yaml" } });
    let answer = graphql(address, start, input).await;
    let started = &answer["data"]["executeDiagram"];
    assert_eq!(started["success"], true, "{answer}");
    let id = started["data"]["id"].as_str().unwrap();
    crate::support::eventually("the end of the run", async || {
        get(address, &format!("/api/v1/executions/{id}")).await.json()["status"] == "COMPLETED"
    })
    .await;

    let register = "mutation($input: RegisterCliSessionInput!) { registerCliSession(input: $input) { success session_id } }";
    let session = json!({ "execution_id": id, "diagram_name": "hello", "diagram_format": "LIGHT" });
    let answer = graphql(address, register, json!({ "input": session })).await;
    assert_eq!(answer["data"]["registerCliSession"]["session_id"], format!("cli_{id}"), "{answer}");

    let answer =
        graphql(address, "{ listDiagrams getActiveCliSession healthCheck getSystemInfo }", json!({})).await;
    let data = answer["data"].to_string();
    for part in ["sub/hello.light.yaml", &format!("cli_{id}"), env!("CARGO_PKG_VERSION"), "code_job"] {
        assert!(data.contains(part), "{part}: {answer}");
    }
    server.stop().await;
}
