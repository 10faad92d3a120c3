//! The subscriptions of the legacy web path.

use core_events::EndReason;
use serde_json::{Value, json};

use crate::{
    fake::{Step, World, event, node},
    socket::Socket,
};

/// What a subscription brings, up to its last message.
async fn follow(world: &World, query: &str) -> (Vec<Value>, Value) {
    let mut socket = Socket::ready(world.serve().await).await;
    socket.subscribe("1", &format!("subscription {{ {query} }}")).await;
    let mut updates = Vec::new();
    loop {
        let mut message = socket.hear().await;
        if message["type"] != "next" {
            return (updates, message);
        }
        updates.push(message["payload"]["data"].take());
    }
}

fn world() -> World {
    let world = World::new(Vec::new());
    *world.legacy.steps.lock() = vec![
        event("EXECUTION_STATUS_CHANGED", json!({"status": "RUNNING"})),
        node("NODE_STATUS_CHANGED", "n1", json!({"status": "RUNNING"})),
        node("INTERACTIVE_PROMPT", "n1", json!({"prompt": "well?"})),
        node("NODE_STATUS_CHANGED", "n2", json!({"status": "RUNNING"})),
        Step::End(EndReason::Completed),
    ];
    world
}

#[tokio::test]
async fn execution_updates_have_the_originals_shape() {
    let query = r#"execution_updates(execution_id: "exec_1") { execution_id event_type data timestamp }"#;
    let (updates, last) = follow(&world(), query).await;
    assert_eq!(last["type"], "complete");
    assert_eq!(updates.len(), 4);
    let expected = json!({
        "execution_id": "exec_1",
        "event_type": "NODE_STATUS_CHANGED",
        "data": {"status": "RUNNING", "node_id": "n1"},
        "timestamp": "2026-01-31T12:00:00Z",
    });
    assert_eq!(updates[1]["execution_updates"], expected);
}

#[tokio::test]
async fn node_updates_are_bare_data_of_all_nodes_or_of_one() {
    let data = |node: &str| json!({"node_updates": {"status": "RUNNING", "node_id": node}});
    let (updates, _) = follow(&world(), r#"node_updates(execution_id: "exec_1")"#).await;
    assert_eq!(updates, [data("n1"), data("n2")]);
    let (updates, _) = follow(&world(), r#"node_updates(execution_id: "exec_1", node_id: "n2")"#).await;
    assert_eq!(updates, [data("n2")]);
}

#[tokio::test]
async fn interactive_prompts_are_bare_data() {
    let (updates, _) = follow(&world(), r#"interactive_prompts(execution_id: "exec_1")"#).await;
    assert_eq!(updates, [json!({"interactive_prompts": {"prompt": "well?", "node_id": "n1"}})]);
}

#[tokio::test]
async fn an_unknown_execution_completes_without_a_word() {
    let (updates, last) = follow(&world(), r#"node_updates(execution_id: "exec_none")"#).await;
    assert_eq!((updates.len(), last), (0, json!({"type": "complete", "id": "1"})));
}

#[tokio::test]
async fn whoever_loses_messages_or_the_server_gets_an_error() {
    for (step, code) in [(Step::Gap, "SLOW"), (Step::End(EndReason::Shutdown), "SHUTDOWN")] {
        let world = World::new(Vec::new());
        *world.legacy.steps.lock() =
            vec![event("EXECUTION_STATUS_CHANGED", json!({"status": "RUNNING"})), step];
        let query = r#"execution_updates(execution_id: "exec_1") { event_type }"#;
        let (updates, last) = follow(&world, query).await;
        assert_eq!((updates.len(), &last["type"]), (1, &json!("error")));
        assert_eq!(last["payload"][0]["extensions"]["code"], code);
    }
}
