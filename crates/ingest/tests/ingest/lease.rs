use std::time::Duration;

use core_events::{
    ExecutionStatus, NodeStatus,
    ports::{AppendError, ControlError, LookupError},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{MINUTE, World, event, id, node, progress, status};

#[tokio::test(start_paused = true)]
async fn a_silent_run_is_aborted_with_what_runs_in_it() {
    let world = World::new();
    world.open("a").await.unwrap();
    let running =
        json!({"node_id": "m", "status": "RUNNING", "node_type": "job", "label": "M", "iteration": 2});
    let events = [
        status("a", "RUNNING"),
        node("a", "n", "RUNNING"),
        node("a", "n", "FAILED"),
        event("a", "NODE_STATUS_CHANGED", &running),
        status("a.x", "RUNNING"),
        node("a.x", "n", "RUNNING"),
        status("a.y", "RUNNING"),
        status("a.y", "COMPLETED"),
    ];
    world.post("a", &events).await.unwrap();
    sleep(15 * MINUTE - Duration::from_secs(1)).await;
    assert_eq!(world.events("a").await.len(), 9);
    sleep(Duration::from_secs(2)).await;
    let logged = world.events("a").await;
    let told: Vec<_> = logged[9..].iter().map(summary).collect();
    let reason = "producer silent for 15 min";
    assert_eq!(
        told,
        [
            json!(["a.x", "n", "ABORTED", reason, null, 1]),
            json!(["a.x", null, "ABORTED", reason, [], null]),
            json!(["a", "m", "ABORTED", reason, null, 2]),
            json!(["a", null, "ABORTED", reason, ["n"], null]),
        ]
    );
    assert_eq!(
        (&logged[11]["data"]["label"], &logged[11]["data"]["node_type"]),
        (&json!("M"), &json!("job"))
    );
    assert_eq!(world.log.appends.lock().last().unwrap().facts.len(), 4, "one append");
    assert_eq!(world.post("a", &[]).await.unwrap_err(), AppendError::Ended(id("a")).into());
}

fn summary(event: &Value) -> Value {
    let data = &event["data"];
    json!([
        event["execution_id"],
        data["node_id"],
        data["status"],
        data["reason"],
        data["failed_nodes"],
        data["iteration"]
    ])
}

#[tokio::test]
async fn a_run_can_be_aborted_by_others() {
    let world = World::new();
    world.own_run("own").await;
    world.open("a").await.unwrap();
    world.post("a", &[node("a", "n", "RUNNING")]).await.unwrap();
    let abort = async |name: &str| world.ingest.abort(&id(name), "seen enough").await;
    assert_eq!(abort("own").await, Err(ControlError::Ended(id("own"))));
    assert_eq!(abort("z").await, Err(ControlError::Lookup(LookupError::Unknown(id("z")))));
    abort("a").await.unwrap();
    let state = world.state("a").await;
    assert_eq!((state.status, state.reason.as_deref()), (ExecutionStatus::Aborted, Some("seen enough")));
    assert_eq!(state.nodes["n"].status, NodeStatus::Aborted);
    assert_eq!(abort("a").await, Err(ControlError::Ended(id("a"))));
    assert_eq!(world.post("a", &[]).await.unwrap_err(), AppendError::Ended(id("a")).into());
    assert_eq!(world.state("own").await.status, ExecutionStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn any_post_renews_the_lease() {
    let world = World::new();
    world.open("a").await.unwrap();
    world.open("b").await.unwrap();
    for post in [vec![], vec![progress("a", "n", "x")], vec![node("a", "n", "RUNNING")]] {
        sleep(14 * MINUTE).await;
        world.post("a", &post).await.unwrap();
    }
    sleep(14 * MINUTE).await;
    assert!(world.open("a").await.unwrap().existed);
    sleep(14 * MINUTE).await;
    assert_eq!(world.state("a").await.status, ExecutionStatus::Pending);
    assert_eq!(world.state("b").await.status, ExecutionStatus::Aborted);
    sleep(2 * MINUTE).await;
    assert_eq!(world.state("a").await.status, ExecutionStatus::Aborted);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_tries_is_not_silent() {
    let world = World::new();
    world.open("a").await.unwrap();
    *world.log.refuses.lock() = Some(AppendError::Busy);
    for _ in 0..4 {
        sleep(14 * MINUTE).await;
        world.post("a", &[node("a", "n", "RUNNING")]).await.unwrap_err();
    }
    *world.log.refuses.lock() = None;
    sleep(14 * MINUTE).await;
    assert_eq!(world.state("a").await.status, ExecutionStatus::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_closed_when_the_log_takes_it() {
    let world = World::new();
    world.open("a").await.unwrap();
    *world.log.refuses.lock() = Some(AppendError::Unavailable("full".to_owned()));
    sleep(30 * MINUTE).await;
    assert_eq!(world.state("a").await.status, ExecutionStatus::Pending);
    *world.log.refuses.lock() = None;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(world.state("a").await.status, ExecutionStatus::Aborted);
}

#[tokio::test(start_paused = true)]
async fn leases_begin_anew_with_the_service() {
    let world = World::new();
    world.own_run("own").await;
    world.open("a").await.unwrap();
    sleep(10 * MINUTE).await;
    world.ingest.stop().await;
    sleep(60 * MINUTE).await;
    assert_eq!(world.state("a").await.status, ExecutionStatus::Pending, "nobody is there to close it");
    let later = World::over(world.log);
    sleep(14 * MINUTE).await;
    assert_eq!(later.state("a").await.status, ExecutionStatus::Pending);
    sleep(2 * MINUTE).await;
    assert_eq!(later.state("a").await.status, ExecutionStatus::Aborted);
    assert_eq!(later.state("own").await.status, ExecutionStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn a_closed_run_gives_its_place_back() {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.open(name).await.unwrap();
    }
    sleep(16 * MINUTE).await;
    for name in ["e", "f", "g", "h"] {
        world.open(name).await.unwrap();
    }
    for name in ["a", "b", "c", "d"] {
        assert_eq!(world.state(name).await.status, ExecutionStatus::Aborted);
    }
}
