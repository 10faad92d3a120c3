use std::{sync::Arc, time::Duration};

use axum::body::Body;
use core_events::{
    CallbackContext, EndReason, Event, ExecutionLog, ExecutionStatus, ExecutionStatusChanged, Fact, LogLevel,
    Timestamp,
    event::Extra,
    ports::{EventLog, MessageRouter, StreamSource},
};
use history::LogHistory;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use router::{MemoryLog, MemoryLogOptions, Router, RouterOptions};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;
use transport_sse::SseMessageRouterAdapter;

use crate::fake::{StoppedClock, id};

struct World {
    log: Arc<dyn EventLog>,
    router: Arc<Router>,
    routes: axum::Router,
}

/// A frame, and when it came.
#[derive(Debug, Clone, PartialEq)]
struct Frame {
    after: Duration,
    id: Option<String>,
    data: Option<Value>,
}

/// `a` is a root run, `a.b` a sub-run of it.
fn fact(execution: &str, millis: i64, event: Event) -> Fact {
    let root = execution.split('.').next().unwrap();
    let context = CallbackContext {
        execution: id(execution),
        parent: (root != execution).then(|| id(root)),
        root: id(root),
        step: 0,
        time: Timestamp::from_micros(millis * 1000),
    };
    Fact::new(context, event)
}

fn status(execution: &str, millis: i64, status: ExecutionStatus) -> Fact {
    let event = ExecutionStatusChanged::to(status, Timestamp::from_micros(0));
    fact(execution, millis, Event::ExecutionStatusChanged(event))
}

fn begin(execution: &str, millis: i64) -> Fact {
    status(execution, millis, ExecutionStatus::Running)
}

fn end(execution: &str, millis: i64) -> Fact {
    status(execution, millis, ExecutionStatus::Completed)
}

fn line(execution: &str, millis: i64) -> Fact {
    let event = ExecutionLog {
        level: LogLevel::Info,
        message: "line".to_owned(),
        timestamp: None,
        logger: None,
        node_id: None,
        truncated: None,
        extra: Extra::new(),
    };
    fact(execution, millis, Event::ExecutionLog(event))
}

impl World {
    async fn new(records: usize, facts: Vec<Fact>) -> Self {
        let options = MemoryLogOptions { records, ..MemoryLogOptions::default() };
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(options));
        for fact in facts {
            log.append(vec![fact].into()).await.unwrap();
        }
        let router = Arc::new(Router::new(Arc::clone(&log), RouterOptions::default()));
        let source = Arc::clone(&router) as Arc<dyn StreamSource>;
        let history = Arc::new(LogHistory::new(Arc::clone(&log)));
        let adapter =
            SseMessageRouterAdapter::new(Arc::clone(&source), source, history, Arc::new(StoppedClock));
        Self { log, router, routes: adapter.into_router() }
    }

    async fn open(&self, query: &str) -> Result<Body, (u16, Value)> {
        let request = Request::get(format!("/sse/executions/{query}")).body(Body::empty()).unwrap();
        let response = self.routes.clone().oneshot(request).await.unwrap();
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Err((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    async fn all(&self, query: &str) -> Vec<Frame> {
        let mut body = self.open(query).await.unwrap();
        frames(&mut body, Instant::now()).await
    }
}

/// What is left of a stream.
async fn frames(body: &mut Body, begun: Instant) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = next(body, begun).await {
        frames.extend(frame);
    }
    frames
}

async fn next(body: &mut Body, begun: Instant) -> Option<Vec<Frame>> {
    let bytes = body.frame().await?.unwrap().into_data().unwrap();
    let after = begun.elapsed();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let blocks = text.split_terminator("\n\n").map(|block| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let data = field("data: ").map(|text| serde_json::from_str(&text).unwrap());
        Frame { after, id: field("id: "), data }
    });
    Some(blocks.collect())
}

impl Frame {
    fn kind(&self) -> &str {
        self.data.as_ref().and_then(|data| data["type"].as_str()).unwrap_or("id")
    }

    fn is_event(&self) -> bool {
        self.id.is_some() && self.data.is_some()
    }
}

/// Milliseconds after which each event came.
fn times(frames: &[Frame]) -> Vec<u128> {
    frames.iter().filter(|frame| frame.is_event()).map(|frame| frame.after.as_millis()).collect()
}

/// All that there is but when it came.
fn said(frames: &[Frame]) -> Vec<(Option<String>, Option<Value>)> {
    frames.iter().map(|frame| (frame.id.clone(), frame.data.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn events_come_at_their_distance_divided_by_the_speed() {
    let facts = vec![
        begin("a", 50_000),
        line("a", 50_100),
        line("a", 50_100),
        line("b", 51_000),
        line("a", 55_000),
        // The clock was set back.
        line("a", 53_000),
        line("a", 56_000),
        end("a", 59_000),
    ];
    let world = World::new(100, facts).await;
    for (speed, expected) in [
        ("1", [0, 100, 100, 5_000, 5_000, 8_000, 11_000]),
        ("10", [0, 10, 10, 500, 500, 800, 1_100]),
        ("0.5", [0, 200, 200, 10_000, 10_000, 16_000, 22_000]),
        ("10000", [0, 1, 1, 1, 1, 1, 2]),
    ] {
        let frames = world.all(&format!("a?speed={speed}")).await;
        assert_eq!(times(&frames), expected, "speed {speed}");
        assert_eq!(frames.last().unwrap().kind(), "STREAM_END");
    }
    // From a cursor on, the first one comes at once.
    let cursor = world.log.epoch().at(3);
    assert_eq!(times(&world.all(&format!("a?speed=10&from={cursor}")).await), [0, 0, 300, 600]);
    // With a filter the first that passes does, and the others keep their distance; so does the end.
    let frames = world.all("a?speed=10&types=EXECUTION_LOG").await;
    assert_eq!(times(&frames), [0, 0, 490, 490, 790]);
    assert_eq!(frames.last().unwrap().after.as_millis(), 1_090);
}

#[tokio::test(start_paused = true)]
async fn a_long_silence_has_heartbeats() {
    let world = World::new(100, vec![begin("a", 0), line("a", 1_000), end("a", 36_000)]).await;
    let frames = world.all("a?speed=1").await;
    let kinds: Vec<_> = frames.iter().map(|frame| (frame.after.as_secs(), frame.kind())).collect();
    let (status, log) = ("EXECUTION_STATUS_CHANGED", "EXECUTION_LOG");
    assert_eq!(
        kinds,
        [
            (0, "CONNECTION_ESTABLISHED"),
            (0, "id"),
            (0, status),
            (1, log),
            (11, "HEARTBEAT"),
            (21, "HEARTBEAT"),
            (31, "HEARTBEAT"),
            (36, status),
            (36, "id"),
            (36, "STREAM_END"),
        ]
    );
}

/// Three executions in each other, more than a page of them.
fn long() -> Vec<Fact> {
    let mut facts = vec![begin("a", 0), begin("b", 0), begin("a.x", 1)];
    facts.extend((0..700).map(|n| line(["a", "a", "b", "a.x"][n % 4], n as i64)));
    facts.extend([end("a.x", 800), line("b", 801), line("a", 802), end("a", 803), line("b", 804)]);
    facts
}

#[tokio::test(start_paused = true)]
async fn i5_a_replay_is_the_stream_but_for_its_hours() {
    let world = World::new(100_000, long()).await;
    let epoch = world.log.epoch();
    for query in [
        "a",
        "a.x",
        "a?types=EXECUTION_STATUS_CHANGED",
        "a?executions=a.x",
        "a.x?types=EXECUTION_LOG",
        "a?types=NONE",
    ] {
        for offset in [0, 1, 2, 3, 4, 99, 256, 257, 300, 699, 703, 704, 706, 707] {
            let sign = if query.contains('?') { '&' } else { '?' };
            let query = format!("{query}{sign}from={}", epoch.at(offset));
            let (plain, replay) = (world.open(&query).await, world.open(&format!("{query}&speed=10")).await);
            match (plain, replay) {
                (Ok(mut plain), Ok(mut replay)) => {
                    let begun = Instant::now();
                    let (plain, replay) = (frames(&mut plain, begun).await, frames(&mut replay, begun).await);
                    let events = |frames: &[Frame]| {
                        said(frames)
                            .into_iter()
                            .filter(|(id, data)| id.is_some() && data.is_some())
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(events(&replay), events(&plain), "{query}");
                    assert_eq!(said(&replay)[..2].last(), said(&plain)[..2].last(), "{query}");
                    assert_eq!(said(&replay)[replay.len() - 2..], said(&plain)[plain.len() - 2..], "{query}");
                    if !query.starts_with("a.x") && offset < 100 && !events(&plain).is_empty() {
                        let ids =
                            |frames: &[Frame]| frames.iter().filter(|frame| frame.data.is_none()).count();
                        assert!(ids(&replay) > 2 || !query.contains("types"), "{query}: positions are told");
                    }
                }
                (Err(plain), Err(replay)) => assert_eq!((plain.0, replay.0), (204, 204), "{query}"),
                (plain, replay) => panic!("{query}: {:?} {:?}", plain.err(), replay.err()),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i4_while_the_client_takes_nothing_time_stands_still() {
    let facts: Vec<_> = std::iter::once(begin("a", 0))
        .chain((1..=5).map(|n| line("a", n * 1_000)))
        .chain([end("a", 6_000)])
        .collect();
    let world = World::new(100, facts).await;
    let mut body = world.open("a?speed=1").await.unwrap();
    let begun = Instant::now();
    let mut first = Vec::new();
    while times(&first).len() < 3 {
        first.extend(next(&mut body, begun).await.unwrap());
    }
    assert_eq!(times(&first), [0, 1_000, 2_000]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    // The one that was due comes at once, the others at their distance from it.
    assert_eq!(times(&frames(&mut body, begun).await), [62_000, 63_000, 64_000, 65_000]);
}

#[tokio::test(start_paused = true)]
async fn i4_a_replay_waits_for_the_window() {
    let facts: Vec<_> =
        std::iter::once(begin("a", 0)).chain((0..300).map(|_| line("a", 0))).chain([end("a", 0)]).collect();
    let world = World::new(1_000, facts).await;
    let mut body = world.open("a?speed=1").await.unwrap();
    let (mut held, mut events) = (Vec::new(), 0);
    // Nothing is written to a socket: what was handed out is alive.
    while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_secs(1), body.frame()).await {
        let bytes = frame.unwrap().into_data().unwrap();
        events += bytes.windows(7).filter(|window| window == b"\ndata: ").count();
        held.push(bytes);
    }
    assert_eq!(events, 101, "the first frame, and as many events as the window has room for");
    drop(held);
    let rest = frames(&mut body, Instant::now()).await;
    assert_eq!(rest.iter().filter(|frame| frame.is_event()).count(), 202);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_replayed_says_why() {
    let world =
        World::new(100, vec![begin("a", 0), begin("b", 0), end("b", 1), begin("c", 0), end("c", 0)]).await;
    world.log.remove(&id("c")).await.unwrap();
    for (query, status, problem) in [
        ("a?speed=1", 409, "execution-running"),
        ("c?speed=1", 410, "deleted-execution"),
        ("d?speed=1", 404, "unknown-execution"),
        ("b?speed=0", 400, "invalid-parameter"),
        ("b?speed=1&speed=2", 400, "invalid-parameter"),
        ("?speed=1", 404, ""),
    ] {
        let (given, body) = world.open(query).await.unwrap_err();
        assert_eq!(given, status, "{query}");
        if !problem.is_empty() {
            assert_eq!(body["type"], format!("urn:dipeo:problem:{problem}"), "{query}");
        }
    }
    let request = Request::get("/sse/executions?speed=2").body(Body::empty()).unwrap();
    assert_eq!(world.routes.clone().oneshot(request).await.unwrap().status(), StatusCode::BAD_REQUEST);
    for query in ["b?speed=1&from=now", &format!("b?speed=1&from={}", world.log.epoch().at(3))] {
        assert_eq!(world.open(query).await.unwrap_err().0, 204, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn i7_a_foreign_cursor_starts_over_and_a_gap_is_told() {
    let mut facts = vec![begin("a", 0)];
    facts.extend((0..20).map(|n| line("a", n * 100)));
    facts.push(end("a", 2_000));
    let world = World::new(10, facts).await;
    let epoch = world.log.epoch();
    for query in [
        "a?from=start".to_owned(),
        "a?from=other-3".to_owned(),
        format!("a?from={}", epoch.at(99)),
        format!("a?from={}", epoch.at(5)),
    ] {
        let (plain, replay) = (world.all(&query).await, world.all(&format!("{query}&speed=100")).await);
        assert_eq!(said(&replay), said(&plain), "{query}");
        assert!(replay.iter().any(|frame| frame.kind() == "STREAM_GAP"), "{query}");
        assert_eq!(times(&replay)[0], 0);
    }
}

/// What the last frame says.
fn ending(frames: &[Frame]) -> Value {
    frames.last().unwrap().data.as_ref().unwrap()["data"].clone()
}

#[tokio::test(start_paused = true)]
async fn i9_a_replay_of_a_run_that_is_removed_shows_what_it_has_and_ends() {
    let mut facts = vec![begin("a", 0)];
    facts.extend((0..400).map(|n| line("a", n * 100)));
    facts.push(end("a", 100_000));
    let world = World::new(1_000, facts).await;
    let mut body = world.open("a?speed=1").await.unwrap();
    world.log.remove(&id("a")).await.unwrap();
    let shown = frames(&mut body, Instant::now()).await;
    assert_eq!(ending(&shown), json!({"reason": "deleted", "reconnect": false}));
    assert_eq!(times(&shown).len(), 256, "a page");
}

#[tokio::test(start_paused = true)]
async fn i9_a_replay_ends_when_all_streams_do() {
    let world = World::new(100, vec![begin("b", 0), line("b", 500), end("b", 60_000)]).await;
    let mut body = world.open("b?speed=1").await.unwrap();
    let router = Arc::clone(&world.router);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        router.close(EndReason::Shutdown);
    });
    let shown = frames(&mut body, Instant::now()).await;
    assert_eq!(ending(&shown), json!({"reason": "shutdown", "reconnect": true}));
    assert_eq!((times(&shown), shown.last().unwrap().after), (vec![0, 500], Duration::from_secs(3)));
    // Its last position is where it was.
    assert_eq!(shown[shown.len() - 2].id, Some(world.log.epoch().at(2).to_string()));
    assert_eq!(world.open("b?speed=1").await.unwrap_err().0, 503);
}
