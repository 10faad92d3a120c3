//! `executionUpdates`.

use core_events::{
    EndReason, EventType, NodeId,
    ports::{LookupError, Start, SubscribeError},
};
use serde_json::{Value, json};

use crate::{
    fake::{Step, World, cursor, event, id, json_of, node},
    socket::Socket,
};

const ALL: &str = "type execution_id node_id status result error timestamp total_tokens node_type tokens data cursor seq event";

/// What a subscription with these arguments brings, up to its last message.
async fn follow(world: &World, arguments: &str, fields: &str) -> (Vec<Value>, Value) {
    let mut socket = Socket::ready(world.serve().await).await;
    let query = format!("subscription {{ executionUpdates({arguments}) {{ {fields} }} }}");
    socket.subscribe("1", &query).await;
    let mut updates = Vec::new();
    loop {
        let mut message = socket.hear().await;
        if message["type"] != "next" {
            return (updates, message);
        }
        assert!(message["payload"].get("errors").is_none(), "{message}");
        updates.push(message["payload"]["data"]["executionUpdates"].take());
    }
}

fn run() -> Vec<Step> {
    vec![
        event("EXECUTION_STATUS_CHANGED", json!({"status": "RUNNING", "diagram_id": "d1"})),
        node("NODE_STATUS_CHANGED", "n1", json!({"status": "RUNNING", "node_type": "code_job"})),
        node("EXECUTION_LOG", "n1", json!({"level": "INFO", "message": "hello"})),
        node(
            "NODE_STATUS_CHANGED",
            "n1",
            json!({
                "status": "COMPLETED",
                "node_type": "code_job",
                "output": {"z": 1.5, "a": [null, "é"]},
                "token_usage": {"input": 3, "output": 4, "cached": null, "total": 7},
                "tokens_used": 7,
            }),
        ),
        node("NODE_STATUS_CHANGED", "n2", json!({"status": "FAILED", "error": "it broke"})),
        event("EXECUTION_STATUS_CHANGED", json!({"status": "COMPLETED"})),
        Step::End(EndReason::Completed),
    ]
}

#[tokio::test]
async fn events_arrive_with_every_field_and_the_end_of_the_run_completes() {
    let world = World::new(run());
    let (updates, last) = follow(&world, r#"execution_id: "exec_1""#, ALL).await;
    assert_eq!(last, json!({"type": "complete", "id": "1"}));
    assert_eq!(updates.len(), 6);
    insta::assert_json_snapshot!(updates);
}

#[tokio::test]
async fn the_event_is_what_sse_brings_key_by_key() {
    let world = World::new(run());
    let (updates, _) = follow(&world, r#"execution_id: "exec_1""#, "event").await;
    let mut offset = 0;
    for (update, step) in updates.iter().zip(run()) {
        let Step::Event(kind, _, data) = step else { unreachable!() };
        offset += 1;
        assert_eq!(update["event"].to_string(), json_of(offset, kind, &data).to_string());
    }
    assert_eq!(offset, 6);
}

/// The table of types: ours, status, what `type` says.
#[tokio::test]
async fn types_follow_the_table() {
    const TABLE: &[(&str, &str, &str)] = &[
        ("EXECUTION_STATUS_CHANGED", "PENDING", "EXECUTION_STATUS_CHANGED"),
        ("EXECUTION_STATUS_CHANGED", "RUNNING", "EXECUTION_STARTED"),
        ("EXECUTION_STATUS_CHANGED", "PAUSED", "EXECUTION_STATUS_CHANGED"),
        ("EXECUTION_STATUS_CHANGED", "COMPLETED", "EXECUTION_COMPLETED"),
        ("EXECUTION_STATUS_CHANGED", "FAILED", "EXECUTION_STATUS_CHANGED"),
        ("EXECUTION_STATUS_CHANGED", "ABORTED", "EXECUTION_STATUS_CHANGED"),
        ("EXECUTION_ERROR", "", "EXECUTION_ERROR"),
        ("NODE_STATUS_CHANGED", "PENDING", "NODE_STATUS_CHANGED"),
        ("NODE_STATUS_CHANGED", "RUNNING", "NODE_STARTED"),
        ("NODE_STATUS_CHANGED", "PAUSED", "NODE_STATUS_CHANGED"),
        ("NODE_STATUS_CHANGED", "COMPLETED", "NODE_COMPLETED"),
        ("NODE_STATUS_CHANGED", "MAXITER_REACHED", "NODE_COMPLETED"),
        ("NODE_STATUS_CHANGED", "FAILED", "NODE_ERROR"),
        ("NODE_STATUS_CHANGED", "SKIPPED", "NODE_STATUS_CHANGED"),
        ("NODE_STATUS_CHANGED", "ABORTED", "NODE_STATUS_CHANGED"),
        ("EXECUTION_LOG", "", "EXECUTION_LOG"),
        ("INTERACTIVE_PROMPT", "", "INTERACTIVE_PROMPT"),
        ("INTERACTIVE_RESPONSE", "", "INTERACTIVE_RESPONSE"),
        ("FOREIGN_EVENT", "", "EXECUTION_STATUS_CHANGED"),
    ];
    let data = |status: &str| if status.is_empty() { json!({}) } else { json!({"status": status}) };
    let mut steps: Vec<_> = TABLE.iter().map(|(kind, status, _)| event(kind, data(status))).collect();
    steps.push(Step::End(EndReason::Completed));
    let (updates, _) = follow(&World::new(steps), r#"execution_id: "exec_1""#, "type status").await;
    assert_eq!(updates.len(), TABLE.len());
    for (update, (kind, status, expected)) in updates.iter().zip(TABLE) {
        assert_eq!(update["type"], *expected, "{kind} {status}");
        assert_eq!(update["status"].as_str().unwrap_or_default(), *status);
    }
}

#[tokio::test]
async fn a_growing_output_has_no_cursor() {
    let steps = vec![
        Step::Progress(json!({"node_id": "n1", "text": "abc", "position": 0})),
        Step::End(EndReason::Completed),
    ];
    let (updates, _) =
        follow(&World::new(steps), r#"execution_id: "exec_1""#, "type node_id cursor seq data").await;
    let data = json!({"node_id": "n1", "text": "abc", "position": 0});
    let expected = json!({"type": "NODE_OUTPUT", "node_id": "n1", "cursor": null, "seq": null, "data": data});
    assert_eq!(updates, [expected]);
}

#[tokio::test]
async fn any_cursor_goes_on_behind_itself() {
    let world = World::new(run());
    let (all, _) = follow(&world, r#"execution_id: "exec_1""#, "seq cursor").await;
    for (cut, update) in all.iter().enumerate() {
        let arguments = format!(r#"execution_id: "exec_1", after: {}"#, update["cursor"]);
        let (rest, last) = follow(&world, &arguments, "seq cursor").await;
        assert_eq!(rest, all[cut + 1..]);
        assert_eq!(last["type"], "complete");
    }
    assert_eq!(world.streams.requests.lock()[1].start, Start::After(cursor(1)));
}

#[tokio::test]
async fn a_finished_run_completes_at_once() {
    let world = World::new(Vec::new());
    *world.streams.finished.lock() = true;
    let (updates, last) = follow(&world, r#"execution_id: "exec_1""#, "seq").await;
    assert_eq!((updates.len(), last), (0, json!({"type": "complete", "id": "1"})));
}

#[tokio::test]
async fn types_and_nodes_are_filtered_at_the_source() {
    let world = World::new(run());
    let arguments = r#"execution_id: "exec_1", types: ["NODE_STATUS_CHANGED", "FOREIGN"], nodes: ["n1"]"#;
    let (updates, _) = follow(&world, arguments, "seq").await;
    assert_eq!(updates, [json!({"seq": 2}), json!({"seq": 4})]);
    let filter = world.streams.requests.lock()[0].filter.clone();
    assert_eq!(filter.types, Some([EventType::NodeStatusChanged, EventType::from("FOREIGN")].into()));
    assert_eq!(filter.nodes, Some([NodeId::from("n1")].into()));
}

#[tokio::test]
async fn a_gap_is_told_where_it_is() {
    let steps = vec![
        event("EXECUTION_STATUS_CHANGED", json!({"status": "RUNNING"})),
        Step::Gap,
        event("EXECUTION_STATUS_CHANGED", json!({"status": "COMPLETED"})),
        Step::End(EndReason::Completed),
    ];
    let (updates, last) = follow(&World::new(steps), r#"execution_id: "exec_1""#, "type cursor event").await;
    let gap = json!({"from": "ab-1", "to": "ab-5", "reason": "evicted", "reset": false});
    let frame = json!({
        "type": "STREAM_GAP", "execution_id": "exec_1", "data": gap, "timestamp": updates[1]["event"]["timestamp"],
    });
    assert_eq!(updates[1], json!({"type": "STREAM_GAP", "cursor": "ab-5", "event": frame}));
    assert_eq!(updates.len(), 3);
    assert_eq!(last["type"], "complete");
}

#[tokio::test]
async fn every_other_end_is_an_error_that_says_whether_to_come_back() {
    for (reason, code, retry) in [
        (EndReason::Shutdown, "SHUTDOWN", true),
        (EndReason::Moved, "MOVED", true),
        (EndReason::Slow, "SLOW", true),
        (EndReason::Deleted, "DELETED", false),
        (EndReason::Error, "ERROR", true),
    ] {
        let running = event("EXECUTION_STATUS_CHANGED", json!({"status": "RUNNING"}));
        let world = World::new(vec![running, Step::End(reason)]);
        let (updates, last) = follow(&world, r#"execution_id: "exec_1""#, "seq").await;
        assert_eq!(updates.len(), 1);
        assert_eq!(last["type"], "error");
        let expected = json!({"code": code, "cursor": "ab-1", "retry": retry});
        assert_eq!(last["payload"][0]["extensions"], expected);
    }
}

#[tokio::test]
async fn what_can_not_be_opened_is_an_error_and_no_stream() {
    let world = World::new(Vec::new());
    for (refusal, expected) in [
        (SubscribeError::Lookup(LookupError::Unknown(id("exec_1"))), json!({"code": "NOT_FOUND"})),
        (SubscribeError::Lookup(LookupError::Deleted(id("exec_1"))), json!({"code": "DELETED"})),
        (SubscribeError::Lookup(LookupError::Unavailable("x".to_owned())), json!({"code": "UNAVAILABLE"})),
        (
            SubscribeError::Closed(EndReason::Shutdown),
            json!({"code": "SHUTDOWN", "cursor": "ab-3", "retry": true}),
        ),
        (SubscribeError::TooMany(9), json!({"code": "TOO_MANY_STREAMS", "cursor": "ab-3", "retry": true})),
    ] {
        *world.streams.refusal.lock() = Some(refusal);
        let (updates, last) = follow(&world, r#"execution_id: "exec_1", after: "ab-3""#, "seq").await;
        assert_eq!((updates.len(), &last["type"]), (0, &json!("error")), "{last}");
        assert_eq!(last["payload"][0]["extensions"], expected);
    }
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let world = World::new(run());
    for (arguments, named) in [
        (r#"execution_id: "a b""#, "execution_id"),
        (r#"execution_id: "exec_1", after: "7""#, "after"),
        (r#"execution_id: "exec_1", types: []"#, "types"),
        (r#"execution_id: "exec_1", types: ["NODE_STARTED"]"#, "types"),
        (r#"execution_id: "exec_1", nodes: []"#, "nodes"),
    ] {
        let (updates, last) = follow(&world, arguments, "seq").await;
        assert_eq!((updates.len(), &last["type"]), (0, &json!("error")), "{last}");
        assert_eq!(last["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
        assert!(last["payload"][0]["message"].as_str().unwrap().contains(named), "{last}");
    }
}
