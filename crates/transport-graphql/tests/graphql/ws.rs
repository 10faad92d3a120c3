//! The protocol, frame by frame.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use core_events::EndReason;
use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use transport_graphql::GraphqlOptions;

use crate::{
    fake::{World, event},
    socket::Socket,
};

const HEALTH: &str = "{ healthCheck }";
const OPEN: &str = r#"subscription { executionUpdates(execution_id: "exec_1") { seq } }"#;

#[tokio::test]
async fn whoever_does_not_introduce_itself_is_closed() {
    let options = GraphqlOptions { init_timeout: Duration::from_millis(50), ..GraphqlOptions::default() };
    let address = World::with(Vec::new(), options).serve().await;
    let mut socket = Socket::open(address).await;
    assert_eq!(socket.closed().await, (4408, "Connection initialisation timeout".to_owned()));
}

#[tokio::test]
async fn the_init_timeout_ends_with_the_introduction() {
    let options = GraphqlOptions { init_timeout: Duration::from_millis(500), ..GraphqlOptions::default() };
    let address = World::with(Vec::new(), options).serve().await;
    let mut socket = Socket::ready(address).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    socket.subscribe("1", HEALTH).await;
    assert_eq!(socket.hear().await["type"], "next");
}

#[tokio::test]
async fn introducing_oneself_twice_closes() {
    let mut socket = Socket::ready(World::new(Vec::new()).serve().await).await;
    socket.say(json!({"type": "connection_init", "payload": {"a": 1}})).await;
    assert_eq!(socket.closed().await, (4429, "Too many initialisation requests".to_owned()));
}

#[tokio::test]
async fn an_operation_before_the_introduction_closes() {
    let mut socket = Socket::open(World::new(Vec::new()).serve().await).await;
    socket.subscribe("1", HEALTH).await;
    assert_eq!(socket.closed().await, (4401, "Unauthorized".to_owned()));
}

#[tokio::test]
async fn an_id_that_is_in_use_closes() {
    let world = World::new(Vec::new());
    let mut socket = Socket::ready(world.serve().await).await;
    socket.subscribe("x", OPEN).await;
    socket.subscribe("x", OPEN).await;
    assert_eq!(socket.closed().await, (4409, "Subscriber for x already exists".to_owned()));
}

#[tokio::test]
async fn what_is_no_message_closes() {
    let address = World::new(Vec::new()).serve().await;
    for text in [
        "",
        "{",
        "[]",
        "7",
        "{}",
        r#"{"type":"start"}"#,
        r#"{"type":7}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","id":"1"}"#,
        r#"{"type":"subscribe","id":1,"payload":{"query":"{ healthCheck }"}}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"{ healthCheck }"}}"#,
        r#"{"type":"subscribe","id":"1","payload":{}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{ healthCheck }","variables":[]}}"#,
        r#"{"type":"complete"}"#,
    ] {
        let mut socket = Socket::ready(address).await;
        socket.text(text).await;
        assert_eq!(socket.closed().await.0, 4400, "{text}");
    }
    let mut socket = Socket::ready(address).await;
    socket.0.send(Message::binary(&br#"{"type":"ping"}"#[..])).await.unwrap();
    assert_eq!(socket.closed().await.0, 4400, "binary");
}

#[tokio::test]
async fn another_sub_protocol_closes() {
    let address = World::new(Vec::new()).serve().await;
    let mut socket = Socket::connect(address, &[]).await;
    assert_eq!(socket.closed().await, (4406, "Subprotocol not acceptable".to_owned()));
}

#[tokio::test]
async fn a_page_of_another_origin_is_closed_at_once() {
    let address = World::new(Vec::new()).serve().await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let mut socket = Socket::connect(address, &[protocol, ("origin", "http://evil.example.org")]).await;
    assert_eq!(socket.closed().await, (4403, "Forbidden".to_owned()));
    let own = format!("http://{address}");
    let mut socket = Socket::connect(address, &[protocol, ("origin", &own)]).await;
    socket.say(json!({"type": "connection_init"})).await;
    assert_eq!(socket.hear().await["type"], "connection_ack");
}

#[tokio::test]
async fn who_may_connect_can_be_configured() {
    let origin =
        Arc::new(|headers: &::http::HeaderMap| headers.get("origin").is_some_and(|o| o == "http://friend"));
    let options = GraphqlOptions { origin, ..GraphqlOptions::default() };
    let address = World::with(Vec::new(), options).serve().await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    assert_eq!(Socket::open(address).await.closed().await.0, 4403);
    let mut socket = Socket::connect(address, &[protocol, ("origin", "http://friend")]).await;
    socket.say(json!({"type": "connection_init"})).await;
    assert_eq!(socket.hear().await["type"], "connection_ack");
}

#[tokio::test]
async fn pings_are_answered_with_their_payload() {
    let mut socket = Socket::open(World::new(Vec::new()).serve().await).await;
    socket.say(json!({"type": "ping"})).await;
    assert_eq!(socket.hear().await, json!({"type": "pong"}));
    socket.say(json!({"type": "pong", "payload": {"ignored": true}})).await;
    socket.say(json!({"type": "ping", "payload": {"n": 1}})).await;
    assert_eq!(socket.hear().await, json!({"type": "pong", "payload": {"n": 1}}));
}

#[tokio::test]
async fn whoever_answers_no_ping_is_dropped() {
    let options = GraphqlOptions { ping_interval: Duration::from_millis(250), ..GraphqlOptions::default() };
    let world = World::with(Vec::new(), options);
    let connections = world.api.connections();
    let mut lively = Socket::ready(world.serve().await).await;
    // Reads, and so answers pings by itself.
    for _ in 0..4 {
        assert!(matches!(lively.frame().await, Some(Message::Ping(_))));
    }
    assert_eq!(connections.len(), 1);
    // From here on nobody reads.
    while !connections.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn queries_and_mutations_are_answered_and_completed() {
    let mut socket = Socket::ready(World::new(Vec::new()).serve().await).await;
    socket.subscribe("q", "{ getSystemInfo }").await;
    let next = socket.hear().await;
    assert_eq!((&next["id"], &next["type"]), (&json!("q"), &json!("next")));
    assert_eq!(next["payload"]["data"]["getSystemInfo"]["version"], "1.2.3");
    assert_eq!(socket.hear().await, json!({"type": "complete", "id": "q"}));
    let mutation =
        r#"mutation { controlExecution(input: {action: "abort", execution_id: "exec_1"}) { success } }"#;
    // The id is free again.
    socket.subscribe("q", mutation).await;
    assert_eq!(socket.hear().await["payload"]["data"]["controlExecution"]["success"], true);
    assert_eq!(socket.hear().await, json!({"type": "complete", "id": "q"}));
}

#[tokio::test]
async fn what_is_not_executed_is_an_error_and_nothing_follows() {
    let mut socket = Socket::ready(World::new(Vec::new()).serve().await).await;
    for query in
        ["{", "{ nothing }", "subscription { nothing }", r#"{ getExecution(execution_id: 7) { id } }"#]
    {
        socket.subscribe("1", query).await;
        let error = socket.hear().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("1")), "{query}: {error}");
        assert!(error["payload"][0]["message"].is_string(), "{error}");
        // No `complete` between the error and the pong.
        socket.say(json!({"type": "ping"})).await;
        assert_eq!(socket.hear().await, json!({"type": "pong"}), "{query}");
    }
}

#[tokio::test]
async fn what_fails_while_executed_is_a_part_of_the_result() {
    let mut socket = Socket::ready(World::new(Vec::new()).serve().await).await;
    socket.subscribe("1", r#"{ getDiagram(diagram_id: "none") }"#).await;
    let next = socket.hear().await;
    assert_eq!(next["type"], "next");
    assert_eq!(next["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(socket.hear().await, json!({"type": "complete", "id": "1"}));
}

#[tokio::test]
async fn complete_ends_a_subscription_and_frees_its_id() {
    let world = World::new(vec![event("EXECUTION_STATUS_CHANGED", json!({"status": "RUNNING"}))]);
    let mut socket = Socket::ready(world.serve().await).await;
    for _ in 0..3 {
        socket.subscribe("1", OPEN).await;
        assert_eq!(socket.hear().await["payload"]["data"]["executionUpdates"]["seq"], 1);
        socket.say(json!({"type": "complete", "id": "1"})).await;
        // Unknown ids are nothing to complain about.
        socket.say(json!({"type": "complete", "id": "unknown"})).await;
        while world.streams.open.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }
    socket.say(json!({"type": "ping"})).await;
    assert_eq!(socket.hear().await, json!({"type": "pong"}));
}

#[tokio::test]
async fn a_lost_connection_ends_its_subscriptions() {
    let world = World::new(Vec::new());
    let mut socket = Socket::ready(world.serve().await).await;
    socket.subscribe("1", OPEN).await;
    while world.streams.open.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    while world.streams.open.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn operations_of_one_connection_are_bounded() {
    let options = GraphqlOptions { max_operations: 2, ..GraphqlOptions::default() };
    let mut socket = Socket::ready(World::with(Vec::new(), options).serve().await).await;
    socket.subscribe("1", OPEN).await;
    socket.subscribe("2", OPEN).await;
    socket.subscribe("3", OPEN).await;
    let error = socket.hear().await;
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("3")));
    assert_eq!(error["payload"][0]["extensions"]["code"], "TOO_MANY_OPERATIONS");
    socket.say(json!({"type": "complete", "id": "1"})).await;
    socket.subscribe("3", HEALTH).await;
    assert_eq!(socket.hear().await["type"], "next");
}

#[tokio::test]
async fn a_message_that_is_too_large_closes() {
    let options = GraphqlOptions { max_body_bytes: 1024, ..GraphqlOptions::default() };
    let mut socket = Socket::ready(World::with(Vec::new(), options).serve().await).await;
    socket.subscribe("1", &" ".repeat(2000)).await;
    assert_eq!(socket.closed().await.0, 1009);
}

#[tokio::test]
async fn a_server_that_stops_ends_subscriptions_with_a_place_to_go_on_from_and_then_connections() {
    let world = World::new(vec![event("EXECUTION_STATUS_CHANGED", json!({"status": "RUNNING"}))]);
    let connections = world.api.connections();
    let address = world.serve().await;
    let mut socket = Socket::ready(address).await;
    socket.subscribe("1", OPEN).await;
    assert_eq!(socket.hear().await["type"], "next");
    let closing = tokio::spawn({
        let connections = connections.clone();
        async move { connections.close().await }
    });
    // Until its subscription has ended, the connection is there; but nothing new begins on it.
    while tokio_tungstenite::connect_async(format!("ws://{address}/graphql")).await.is_ok() {}
    socket.subscribe("2", HEALTH).await;
    let error = socket.hear().await;
    assert_eq!((&error["id"], &error["payload"][0]["extensions"]["code"]), (&json!("2"), &json!("SHUTDOWN")));
    world.streams.close(EndReason::Shutdown);
    let error = socket.hear().await;
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("1")));
    let extensions = &error["payload"][0]["extensions"];
    assert_eq!(*extensions, json!({"code": "SHUTDOWN", "cursor": "ab-1", "retry": true}));
    assert_eq!(socket.closed().await.0, 1001);
    closing.await.unwrap();
    assert!(connections.is_empty());
}

#[tokio::test]
async fn connections_can_be_cut_off() {
    let world = World::new(Vec::new());
    let connections = world.api.connections();
    let mut socket = Socket::ready(world.serve().await).await;
    socket.subscribe("1", OPEN).await;
    connections.cut_off();
    connections.close().await;
    assert!(socket.frame().await.is_none());
}
