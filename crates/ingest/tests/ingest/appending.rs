use core_events::ports::{AppendError, EventLog, Ingest, IngestError, LookupError};
use serde_json::{Value, json};

use crate::world::{NOW, World, batch, event, id, node, progress, status};

async fn opened() -> World {
    let world = World::new();
    world.open("a").await.unwrap();
    world
}

#[tokio::test]
async fn a_batch_is_appended_whole_and_its_place_is_told() {
    let world = opened().await;
    let events = [status("a", "RUNNING"), node("a", "n", "RUNNING"), node("a", "n", "COMPLETED")];
    let ingested = world.post("a", &events).await.unwrap();
    assert_eq!((ingested.events, ingested.last_seq), (3, 4));
    assert_eq!(ingested.cursor, world.log.epoch().at(4));
    let logged = world.events("a").await;
    assert_eq!(logged.iter().map(|event| &event["seq"]).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let steps: Vec<_> = world.log.appends.lock()[1].facts.iter().map(|fact| fact.context.step).collect();
    assert_eq!(steps, [2, 3, 4]);
}

#[tokio::test]
async fn what_an_engine_says_survives() {
    let world = opened().await;
    let sent = json!({
        "type": "NODE_STATUS_CHANGED",
        "execution_id": "a",
        "data": {"node_id": "n", "status": "maxiter", "node_type": "sub_thing", "mood": {"b": 1, "a": [1.5, null]}},
        "timestamp": "2026-11-23T09:00:00.5",
        "seq": 77,
        "cursor": "abc-3",
        "node_id": "n",
        "metadata": {"seq": 1},
    });
    world.post("a", std::slice::from_ref(&sent)).await.unwrap();
    let logged = world.events("a").await.pop().unwrap();
    assert_eq!(
        logged,
        json!({
            "type": "NODE_STATUS_CHANGED",
            "execution_id": "a",
            "data": {"node_id": "n", "status": "maxiter", "node_type": "sub_thing", "mood": {"b": 1, "a": [1.5, null]}},
            "timestamp": "2026-11-23T09:00:00.500000Z",
            "seq": 2,
            "node_id": "n",
            "metadata": {"seq": 1},
        })
    );
    let unknown = json!({"type": "BATCH_UPDATE", "execution_id": "a", "data": [1, {"x": null}]});
    world.post("a", &[unknown]).await.unwrap();
    let logged = world.events("a").await.pop().unwrap();
    assert_eq!((&logged["type"], &logged["data"]), (&json!("BATCH_UPDATE"), &json!([1, {"x": null}])));
}

#[tokio::test]
async fn an_event_without_a_time_has_that_inside_it_or_the_servers() {
    let world = opened().await;
    let inside = json!({"level": "INFO", "message": "m", "timestamp": "2026-11-23T09:00:00"});
    let unknown = json!({"timestamp": "2026-11-23T10:00:00+01:00"});
    let events = [
        event("a", "EXECUTION_LOG", &inside),
        event("a", "X", &unknown),
        event("a", "X", &json!({"timestamp": 5})),
        node("a", "n", "RUNNING"),
    ];
    world.post("a", &events).await.unwrap();
    let logged = world.events("a").await;
    let times: Vec<_> = logged[1..].iter().map(|event| event["timestamp"].as_str().unwrap()).collect();
    assert_eq!(times, ["2026-11-23T09:00:00.000000Z", "2026-11-23T09:00:00.000000Z", NOW, NOW]);
}

#[tokio::test]
async fn the_source_is_not_the_engines_to_choose() {
    let world = opened().await;
    let data = json!({"status": "RUNNING", "source": "elsewhere"});
    world.post("a", &[event("a", "EXECUTION_STATUS_CHANGED", &data)]).await.unwrap();
    assert_eq!(world.state("a").await.source.as_deref(), Some("ingest"));
}

#[tokio::test]
async fn an_event_that_can_not_be_taken_is_named_and_nothing_is_appended() {
    let world = opened().await;
    let with = |mut event: Value, field: &str, value: Value| {
        event[field] = value;
        event
    };
    let good = || node("a", "n", "RUNNING");
    for (bad, problem) in [
        (
            event("a", "CONNECTION_ESTABLISHED", &json!({})),
            "type: CONNECTION_ESTABLISHED is what a stream says",
        ),
        (event("a", "HEARTBEAT", &json!({})), "type: HEARTBEAT is what a stream says"),
        (event("a", "STREAM_GAP", &json!({})), "type: names that begin with STREAM_"),
        (event("a", "STREAM_END", &json!({})), "type: names that begin with STREAM_"),
        (event("a", "", &json!({})), "type: a name of 1 to 128 bytes"),
        (event("a", "A\nB", &json!({})), "type: a name of 1 to 128 bytes"),
        (event("a", &"X".repeat(129), &json!({})), "type: a name of 1 to 128 bytes"),
        (
            node("a", &"n".repeat(1025), "RUNNING"),
            "data.node_id: it has at most 1024 bytes, this one has 1025",
        ),
        (node("b", "n", "RUNNING"), "execution_id: a is posted to, this is b"),
        (with(node("a.x", "n", "RUNNING"), "root_execution_id", json!("b")), "execution_id: a is posted to"),
        (
            with(node("a.x", "n", "RUNNING"), "parent_execution_id", json!(null)),
            "parent_execution_id: it is missing",
        ),
        (with(good(), "parent_execution_id", json!("z")), "parent_execution_id: the run that is posted to"),
        (with(good(), "root_execution_id", json!("z")), "root_execution_id: a is posted to"),
    ] {
        let error = world.post("a", &[good(), bad.clone(), good()]).await.unwrap_err();
        let IngestError::Event { index: 1, problem: told } = &error else { panic!("{bad}: {error:?}") };
        assert!(told.starts_with(problem), "{bad}: {told}");
    }
    let behind = [status("a", "RUNNING"), status("a", "COMPLETED"), good()];
    let error = world.post("a", &behind).await.unwrap_err();
    assert!(
        matches!(&error, IngestError::Event { index: 2, problem } if problem.contains("ends its execution"))
    );
    assert_eq!(world.events("a").await.len(), 1);
    world.post("a", &[with(good(), "root_execution_id", json!("a"))]).await.unwrap();
}

#[tokio::test]
async fn sub_runs_are_part_of_their_root() {
    let world = opened().await;
    let events = [
        status("a.x", "RUNNING"),
        node("a.x", "n", "COMPLETED"),
        status("a.x", "COMPLETED"),
        node("a", "m", "RUNNING"),
    ];
    world.post("a", &events).await.unwrap();
    assert_eq!(world.log.find(&id("a.x")).await.unwrap().root, id("a"));
    let state = world.state("a.x").await;
    assert_eq!((state.parent_execution_id, state.root_execution_id), (Some(id("a")), Some(id("a"))));
    let error = world.post("a", &[node("a.x", "n", "RUNNING")]).await.unwrap_err();
    assert_eq!(error, IngestError::Log(AppendError::Ended(id("a.x"))));
    // The run itself goes on, and events are posted to it alone.
    assert_eq!(world.post("a.x", &[]).await, Err(IngestError::NotOpened(id("a.x"))));
    world.post("a", &[node("a", "m", "COMPLETED")]).await.unwrap();

    world.open("b").await.unwrap();
    let mut foreign = node("a.x", "n", "RUNNING");
    foreign["root_execution_id"] = json!("b");
    let error = world.post("b", &[node("b", "n", "RUNNING"), foreign]).await.unwrap_err();
    let IngestError::Event { index: 1, problem } = &error else { panic!("{error:?}") };
    assert_eq!(problem, "execution_id: a.x is there already, and no part of b");
}

#[tokio::test]
async fn only_open_runs_of_outside_engines_are_posted_to() {
    let world = opened().await;
    world.own_run("own").await;
    let post = async |id: &str| world.post(id, &[node(id, "n", "RUNNING")]).await.unwrap_err();
    assert_eq!(post("own").await, IngestError::NotOpened(id("own")));
    assert_eq!(post("nobody").await, IngestError::Lookup(LookupError::Unknown(id("nobody"))));
    world.post("a", &[status("a", "COMPLETED")]).await.unwrap();
    assert_eq!(post("a").await, IngestError::Log(AppendError::Ended(id("a"))));
    world.log.remove(&id("a")).await.unwrap();
    assert_eq!(post("a").await, IngestError::Lookup(LookupError::Deleted(id("a"))));
    world.ingest.stop().await;
    assert_eq!(post("a").await, IngestError::Stopping);
}

#[tokio::test]
async fn a_batch_is_appended_once() {
    let world = opened().await;
    let post = async |epoch, seq, event: Value| world.post_batch("a", &[event], batch(epoch, seq)).await;
    let log = |error| IngestError::Log(error);
    post(0, 0, node("a", "n", "RUNNING")).await.unwrap();
    let again = post(0, 0, node("a", "n", "RUNNING")).await.unwrap_err();
    assert_eq!(again, log(AppendError::Repeated { seq: 0 }));
    let gap = post(0, 2, node("a", "n", "RUNNING")).await.unwrap_err();
    assert_eq!(gap, log(AppendError::OutOfOrder { expected: 1, got: 2 }));
    post(3, 0, node("a", "n", "COMPLETED")).await.unwrap();
    let fenced = post(0, 1, node("a", "n", "RUNNING")).await.unwrap_err();
    assert_eq!(fenced, log(AppendError::Fenced { current: 3 }));
    assert_eq!(world.events("a").await.len(), 3);

    // Whoever missed the answer to the last batch learns that it was taken, in a later life of the service, too.
    post(3, 1, status("a", "COMPLETED")).await.unwrap();
    let again = post(3, 1, status("a", "COMPLETED")).await.unwrap_err();
    assert_eq!(again, log(AppendError::Repeated { seq: 1 }));
    let next = post(3, 2, status("a", "COMPLETED")).await.unwrap_err();
    assert_eq!(next, log(AppendError::Ended(id("a"))));
    let later = World::over(world.log);
    let again = later.post_batch("a", &[status("a", "COMPLETED")], batch(3, 1)).await.unwrap_err();
    assert_eq!(again, log(AppendError::Repeated { seq: 1 }));
}

#[tokio::test]
async fn a_log_that_takes_nothing_is_no_reason_to_forget_a_run() {
    let world = opened().await;
    let events = [node("a", "n", "RUNNING")];
    for error in [AppendError::Busy, AppendError::Unavailable("full".to_owned())] {
        *world.log.refuses.lock() = Some(error.clone());
        assert_eq!(world.post_batch("a", &events, batch(0, 0)).await, Err(error.into()));
    }
    *world.log.refuses.lock() = None;
    world.post_batch("a", &events, batch(0, 0)).await.unwrap();
    assert_eq!(world.events("a").await.len(), 2);
}

#[tokio::test]
async fn a_later_life_goes_on_where_the_run_was() {
    let world = opened().await;
    world.post("a", &[node("a", "n", "RUNNING"), node("a.x", "n", "RUNNING")]).await.unwrap();
    let later = World::over(world.log);
    let nothing = later.post("a", &[]).await.unwrap();
    assert_eq!((nothing.events, nothing.last_seq, nothing.cursor), (0, 3, later.log.epoch().at(3)));
    later.post("a", &[node("a", "n", "COMPLETED")]).await.unwrap();
    assert_eq!(later.log.appends.lock().last().unwrap().facts[0].context.step, 4);
}

#[tokio::test]
async fn progress_is_shown_and_not_kept() {
    let world = opened().await;
    let shown =
        || world.watcher.0.lock().drain(..).map(|(_, it)| (it.node.to_string(), it.text)).collect::<Vec<_>>();
    let events = [
        node("a", "n", "RUNNING"),
        progress("a", "n", "On"),
        progress("a", "m", "Zwei"),
        progress("a.x", "n", "Drei"),
        progress("a", "n", "ce"),
    ];
    let ingested = world.post("a", &events).await.unwrap();
    assert_eq!((ingested.events, ingested.last_seq), (1, 2));
    let pair = |node: &str, text: &str| (node.to_owned(), text.to_owned());
    assert_eq!(shown(), [pair("n", "On"), pair("m", "Zwei"), pair("n", "Drei"), pair("n", "ce")]);

    // The text of a node that has ended is in its end.
    let events = [progress("a", "n", "x"), progress("a", "m", "y"), node("a", "n", "COMPLETED")];
    world.post("a", &events).await.unwrap();
    assert_eq!(shown(), [pair("m", "y")]);
    let ingested = world.post("a", &[progress("a", "m", "z")]).await.unwrap();
    assert_eq!((ingested.events, ingested.last_seq), (0, 3));
    assert_eq!(shown(), [pair("m", "z")]);
    assert_eq!(world.events("a").await.len(), 3);

    let error = world.post_batch("a", &[progress("a", "m", "!")], batch(0, 0)).await.unwrap_err();
    assert!(matches!(error, IngestError::Event { index: 0, .. }), "{error:?}");
    assert!(shown().is_empty());
    world.post_batch("a", &[progress("a", "m", "!"), status("a", "COMPLETED")], batch(0, 0)).await.unwrap();
    assert!(shown().is_empty());
}

#[tokio::test]
async fn what_is_posted_at_once_stands_together() {
    let world = opened().await;
    let events =
        |name: &str| (0..20).map(|n| node("a", &format!("{name}{n}"), "RUNNING")).collect::<Vec<_>>();
    let (x, y) = (events("x"), events("y"));
    let (x, y) = tokio::join!(world.post("a", &x), world.post("a", &y));
    assert_eq!([x.unwrap().last_seq, y.unwrap().last_seq], [21, 41]);
    let logged = world.events("a").await;
    let of = |event: &Value| event["data"]["node_id"].as_str().unwrap().chars().next();
    assert!(logged[1..21].iter().all(|event| of(event) == Some('x')));
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused() {
    let world = opened().await;
    let large = event("a", "X", &json!("x".repeat(300_000)));
    let error =
        world.ingest.append(&id("a"), vec![decode(&node("a", "n", "RUNNING")), decode(&large)], None).await;
    assert!(matches!(error, Err(IngestError::Log(AppendError::TooLarge(_)))), "{error:?}");
    assert_eq!(world.events("a").await.len(), 1);
}

fn decode(event: &Value) -> core_events::Envelope {
    core_events::Envelope::decode(event.to_string().as_bytes()).unwrap()
}
