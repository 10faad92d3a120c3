use core_events::ports::{AppendError, EventLog, Ingest, OpenError, OpenRun, Unstored};
use serde_json::json;

use crate::world::{NOW, OPTIONS, World, id, status};

#[tokio::test]
async fn a_run_begins_with_its_source() {
    let world = World::new();
    let run = OpenRun {
        execution: Some(id("a")),
        diagram_id: Some("d".to_owned()),
        diagram_name: Some("D".to_owned()),
    };
    let opened = world.ingest.open(run).await.unwrap();
    assert_eq!((opened.execution, opened.existed), (id("a"), false));
    assert_eq!(
        world.events("a").await,
        [json!({
            "type": "EXECUTION_STATUS_CHANGED",
            "execution_id": "a",
            "data": {"status": "PENDING", "diagram_id": "d", "timestamp": NOW, "diagram_name": "D", "source": "ingest"},
            "timestamp": NOW,
            "seq": 1,
        })]
    );
    assert_eq!(world.state("a").await.source.as_deref(), Some(ingest::SOURCE));
    assert_eq!(world.log.appends.lock()[0].unstored, Unstored::Refuse);

    let other = world.ingest.open(OpenRun::default()).await.unwrap();
    assert!(other.execution.as_str().starts_with("exec_") && !other.existed);
}

#[tokio::test]
async fn what_is_open_is_opened_again() {
    let world = World::new();
    world.open("a").await.unwrap();
    assert!(world.open("a").await.unwrap().existed);
    // A later life does not know of it yet.
    let later = World::over(world.log);
    assert!(later.open("a").await.unwrap().existed);
    assert_eq!(later.events("a").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_that_open_at_once_open_one_run() {
    let world = World::new();
    *world.log.slow.lock() = true;
    let (a, b) = tokio::join!(world.open("a"), world.open("a"));
    assert_eq!([a.unwrap().existed, b.unwrap().existed], [false, true]);
    assert_eq!(world.events("a").await.len(), 1);
}

#[tokio::test]
async fn an_id_that_is_taken_is_refused() {
    let world = World::new();
    world.own_run("own").await;
    world.open("a").await.unwrap();
    world.post("a", &[status("a.x", "RUNNING")]).await.unwrap();
    world.open("done").await.unwrap();
    world.post("done", &[status("done", "COMPLETED")]).await.unwrap();
    world.open("gone").await.unwrap();
    world.post("gone", &[status("gone", "COMPLETED")]).await.unwrap();
    world.log.remove(&id("gone")).await.unwrap();
    for taken in ["own", "a.x", "done", "gone"] {
        assert_eq!(world.open(taken).await, Err(OpenError::Taken(id(taken))));
    }
}

#[tokio::test]
async fn open_runs_are_counted() {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.open(name).await.unwrap();
    }
    assert_eq!(world.open("e").await, Err(OpenError::TooMany(OPTIONS.max_open_runs)));
    assert!(world.open("a").await.unwrap().existed, "it has its place");
    world.post("b", &[status("b", "FAILED")]).await.unwrap();
    world.open("e").await.unwrap();
}

#[tokio::test]
async fn a_run_that_could_not_be_opened_leaves_nothing_behind() {
    let world = World::new();
    *world.log.refuses.lock() = Some(AppendError::Busy);
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(world.open(name).await, Err(OpenError::Log(AppendError::Busy)));
    }
    *world.log.refuses.lock() = None;
    assert!(!world.open("a").await.unwrap().existed);
    world.ingest.stop().await;
    assert_eq!(world.open("b").await, Err(OpenError::Stopping));
}
