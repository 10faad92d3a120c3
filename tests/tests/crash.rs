//! `kill -9` at random moments, while runs are under way and outside engines send: all that anybody saw is there afterwards,
//! once and in its place; who comes back with a cursor ends with exactly the whole stream; what was interrupted is ABORTED
//! (I5, I6, I7, I9).
//!
//! `DIPEO_LONG=1` takes 200 moments instead of 30; `DIPEO_SEED` repeats the choices of an earlier call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper that fails is a test that fails"
)]

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::{Value, json};
use tests::{
    diagrams,
    serve::Serve,
    sse::{Frame, Sse, seqs},
    wait,
};
use tokio::task::JoinHandle;

/// So many servers live at once.
const AT_ONCE: usize = 4;

/// How long the runs of a moment take, about.
const SPAN: Duration = Duration::from_millis(1_800);

/// Producers of outside engines for each server.
const PRODUCERS: usize = 2;

fn diagrams() -> Vec<String> {
    let example = |name: &str| {
        let path = format!("{}/../examples/{name}.light.yaml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let talkative = "for n in $(seq 300); do echo line $n; sleep 0.004; done; echo done";
    let brief = "echo soon over";
    vec![
        diagrams::bash(brief),
        diagrams::bash(talkative),
        example("parallel"),
        example("loop"),
        example("hello"),
    ]
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    frames: Vec<Frame>,
    last_id: Option<String>,
}

/// A client that reads until it is cut off.
fn watch(serve: &Serve, path: &str) -> JoinHandle<Seen> {
    let url = format!("{}{path}", serve.url);
    tokio::spawn(async move { read(&url, None, |_| false).await })
}

/// Reads until the stream ends, breaks, or `enough` is seen.
async fn read(url: &str, last_id: Option<&str>, mut enough: impl FnMut(&Frame) -> bool) -> Seen {
    let mut seen = Seen::default();
    let Some(mut stream) = Sse::try_open(url, last_id).await else { return seen };
    assert!(matches!(stream.status, 200 | 204), "{} from {url}", stream.status);
    while let Ok(Some(frame)) = stream.try_next().await {
        let last = enough(&frame);
        seen.frames.push(frame);
        if last {
            break;
        }
    }
    seen.last_id = stream.last_id;
    seen
}

impl Seen {
    fn events(&self) -> Vec<Frame> {
        self.frames.iter().filter(|frame| frame.is_event()).cloned().collect()
    }

    /// What it saw, and what it gets when it comes back.
    async fn resumed(&self, url: &str, enough: impl FnMut(&Frame) -> bool) -> Vec<Frame> {
        let mut events = self.events();
        let rest = read(url, self.last_id.as_deref(), enough).await;
        for frame in self.frames.iter().chain(&rest.frames) {
            assert_ne!(frame.kind(), "STREAM_GAP", "nothing may be missing: {frame:?}");
        }
        events.extend(rest.events());
        events
    }
}

/// An outside engine that numbers what it sends, and repeats what was not acknowledged.
struct Producer {
    execution: String,
    name: String,
    /// The number of the next batch.
    batch: u64,
    /// Events in the batches before that one.
    sent: u64,
    client: reqwest::Client,
}

impl Producer {
    async fn open(serve: &Serve, name: String) -> Option<Self> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let execution = format!("theirs:{name}");
        let body = json!({"execution_id": execution, "diagram_name": name});
        let response =
            client.post(format!("{}/api/v1/executions", serve.url)).json(&body).send().await.ok()?;
        assert_eq!(response.status(), 201);
        Some(Self { execution, name, batch: 0, sent: 0, client })
    }

    /// How many events the batch of that number has.
    fn size(batch: u64) -> u64 {
        1 + batch * 7 % 12
    }

    fn event(&self, number: u64) -> Value {
        let data = json!({"level": "INFO", "message": format!("event {number}"), "number": number});
        json!({"type": "EXECUTION_LOG", "execution_id": self.execution, "data": data})
    }

    async fn post(&self, url: &str, events: &[Value]) -> Option<u16> {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let response = self
            .client
            .post(format!("{url}/api/v1/executions/{}/events", self.execution))
            .header("Content-Type", "application/x-ndjson")
            .header("Producer-Id", &self.name)
            .header("Producer-Epoch", "0")
            .header("Producer-Seq", self.batch.to_string())
            .body(lines.join("\n"))
            .send()
            .await
            .ok()?;
        Some(response.status().as_u16())
    }

    /// Sends the next batch; `None` when nobody acknowledged it.
    async fn send(&mut self, url: &str) -> Option<u16> {
        let events: Vec<Value> =
            (self.sent..self.sent + Self::size(self.batch)).map(|number| self.event(number)).collect();
        let status = self.post(url, &events).await?;
        assert!(matches!(status, 200 | 204), "{status} for batch {} of {}", self.batch, self.name);
        (self.sent, self.batch) = (self.sent + events.len() as u64, self.batch + 1);
        Some(status)
    }

    /// Sends until the server is gone.
    fn stream(mut self, url: String) -> JoinHandle<Self> {
        tokio::spawn(async move {
            while self.send(&url).await.is_some() {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            self
        })
    }

    /// Goes on with the server that came back, and ends the run.
    async fn finish(&mut self, url: &str) -> u16 {
        let repeated = self.send(url).await.unwrap();
        assert_eq!(self.send(url).await, Some(200));
        let end = json!({
            "type": "EXECUTION_STATUS_CHANGED", "execution_id": self.execution, "data": {"status": "COMPLETED"},
        });
        assert_eq!(self.post(url, &[end]).await, Some(200));
        repeated
    }
}

/// When a server is killed.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Only once a run of its own has ended.
    late: bool,
    /// So long after that, or after the beginning.
    delay: Duration,
    /// And its successor is killed as well, as soon as it serves.
    again: bool,
}

/// What a moment showed.
#[derive(Debug, Default)]
struct Shown {
    interrupted: usize,
    completed: usize,
    /// Batches that were appended though nobody could be told.
    repeated: usize,
    events: usize,
}

async fn kill_at(moment: Moment) -> Shown {
    let mut serve = Serve::start();
    let url = serve.url.clone();
    let everything = watch(&serve, "/sse/executions?from=start");

    // Whoever is on the way when the server goes does without an answer.
    let started = async {
        let asked = diagrams().into_iter().map(|diagram| {
            let request = reqwest::Client::builder().no_proxy().build().unwrap();
            let body = json!({"diagram": diagram, "name": "a.light.yaml"});
            let request = request.post(format!("{url}/api/v1/executions")).json(&body);
            async move { request.send().await.ok()?.json::<Value>().await.ok() }
        });
        let opened = (0..PRODUCERS).map(|number| Producer::open(&serve, format!("engine-{number}")));
        let (own, theirs) = tokio::join!(join_all(asked), join_all(opened));
        let mut clients = Vec::new();
        for id in own.iter().flatten().map(|body| body["execution_id"].as_str().unwrap().to_owned()) {
            for query in ["", "?types=NODE_STATUS_CHANGED"] {
                clients.push((id.clone(), query, watch(&serve, &format!("/sse/executions/{id}{query}"))));
            }
        }
        let mut producers = Vec::new();
        for producer in theirs.into_iter().flatten() {
            let id = producer.execution.clone();
            clients.push((id.clone(), "", watch(&serve, &format!("/sse/executions/{id}"))));
            producers.push(producer.stream(url.clone()));
        }
        (clients, producers)
    };
    let wait_and_kill = async {
        if moment.late {
            tokio::time::timeout(wait::PATIENCE, one_has_ended(&serve)).await.expect("a run that has ended");
        }
        tokio::time::sleep(moment.delay).await;
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(serve.pid()).unwrap()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
    };
    let ((clients, producers), ()) = tokio::join!(started, wait_and_kill);
    let everything = everything.await.unwrap();
    let mut seen = Vec::new();
    for (id, query, client) in clients {
        seen.push((id, query, client.await.unwrap()));
    }
    let mut theirs = Vec::new();
    for producer in producers {
        theirs.push(producer.await.unwrap());
    }

    serve.kill();
    if moment.again {
        serve.start_again();
        serve.kill();
    }
    serve.start_again();
    assert_eq!(serve.get("/health/ready").await.0, 200);
    let mut shown = Shown::default();
    for producer in &mut theirs {
        let state = serve.get(&format!("/api/v1/executions/{}", producer.execution)).await.1;
        assert_eq!(state["source"], "ingest", "{state}");
        assert!(["PENDING", "RUNNING"].contains(&state["status"].as_str().unwrap()), "{state}");
        shown.repeated += usize::from(producer.finish(&url).await == 204);
    }

    let mut wholes = BTreeMap::new();
    let (_, list) = serve.get("/api/v1/executions?limit=100").await;
    for run in list["executions"].as_array().expect("a list of runs") {
        let id = run["execution_id"].as_str().unwrap().to_owned();
        if run["source"] == "ingest" && !theirs.iter().any(|producer| producer.execution == id) {
            // It was opened, and its engine never heard of that.
            continue;
        }
        let whole = serve.stream(&id, "", None).await.rest().await;
        let whole: Vec<Frame> = whole.into_iter().filter(Frame::is_event).collect();
        check_run(&serve, &id, &whole, run["source"] == "ingest", &mut shown).await;
        wholes.insert(id, whole);
    }
    for producer in &theirs {
        let numbers = wholes[&producer.execution]
            .iter()
            .filter_map(|frame| frame.data.as_ref()?["data"]["number"].as_u64());
        assert_eq!(numbers.collect::<Vec<_>>(), (0..producer.sent).collect::<Vec<_>>(), "{}", producer.name);
    }
    for (id, query, seen) in &seen {
        let whole = wholes.get(id).unwrap_or_else(|| panic!("{id}, which was acknowledged, is gone"));
        let expected: Vec<&Frame> =
            whole.iter().filter(|frame| query.is_empty() || frame.kind() == "NODE_STATUS_CHANGED").collect();
        let got = seen.resumed(&format!("{url}/sse/executions/{id}{query}"), |_| false).await;
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{id}{query}");
    }
    let mut all: Vec<&Frame> = wholes.values().flatten().collect();
    all.sort_by_key(|frame| offset(frame));
    if let Some(last) = all.last() {
        let url = format!("{url}/sse/executions?from=start");
        let known = |frame: &Frame| {
            frame
                .data
                .as_ref()
                .is_none_or(|data| wholes.contains_key(data["execution_id"].as_str().unwrap_or_default()))
        };
        let got = everything.resumed(&url, |frame| frame.is_event() && offset(frame) >= offset(last)).await;
        assert_eq!(got.iter().filter(|frame| known(frame)).collect::<Vec<_>>(), all);
    }
    shown.events = all.len();
    assert!(!serve.stderr().contains("panicked"), "{}", serve.stderr());
    shown
}

async fn one_has_ended(serve: &Serve) {
    let path = "/api/v1/executions?status=COMPLETED&limit=1";
    while serve.get(path).await.1["executions"].as_array().is_none_or(Vec::is_empty) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A run after the restart: gapless, ended, and its state is what its events say.
async fn check_run(serve: &Serve, id: &str, whole: &[Frame], ingested: bool, shown: &mut Shown) {
    assert_eq!(seqs(whole), (1..=whole.len() as u64).collect::<Vec<_>>(), "{id} is gapless");
    let last = &whole.last().unwrap().data.as_ref().unwrap()["data"];
    let (_, state) = serve.get(&format!("/api/v1/executions/{id}")).await;
    assert_eq!((&state["status"], &state["last_seq"]), (&last["status"], &json!(whole.len())), "{id}");
    match last["status"].as_str() {
        Some("COMPLETED") => shown.completed += usize::from(!ingested),
        Some("ABORTED") if !ingested => {
            assert!(
                last["reason"].as_str().is_some_and(|reason| reason.starts_with("interrupted")),
                "{last}"
            );
            let nodes = state["nodes"].as_object().unwrap();
            assert!(nodes.values().all(|node| node["status"] != "RUNNING"), "{state}");
            shown.interrupted += 1;
        }
        _ => panic!("{id} ended as {last}"),
    }
}

fn offset(frame: &Frame) -> u64 {
    frame.id.as_deref().unwrap().rsplit('-').next().unwrap().parse().unwrap()
}

/// Moments spread over the span, each a little off by chance.
fn moments(count: u32, random: &mut TestRng) -> Vec<Moment> {
    let moment = |at: u32| {
        let within = f64::from(random.next_u32()) / f64::from(u32::MAX);
        let delay = SPAN.mul_f64((f64::from(at) + within) / f64::from(count));
        Moment { late: at % 3 == 2, delay, again: at % 5 == 4 }
    };
    (0..count).map(moment).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_loses_and_repeats_nothing() {
    let count = if std::env::var_os("DIPEO_LONG").is_some() { 200 } else { 30 };
    let seed: u64 = std::env::var("DIPEO_SEED").map_or_else(
        |_| std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into(),
        |seed| seed.parse().unwrap(),
    );
    println!("{count} moments; DIPEO_SEED={seed} repeats them");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let moments = moments(count, &mut TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let shown: Vec<Shown> = stream::iter(moments)
        .map(|moment| tokio::spawn(kill_at(moment)))
        .buffer_unordered(AT_ONCE)
        .map(Result::unwrap)
        .collect()
        .await;
    let sum = |figure: fn(&Shown) -> usize| shown.iter().map(figure).sum::<usize>();
    let (interrupted, completed) = (sum(|shown| shown.interrupted), sum(|shown| shown.completed));
    let (repeated, events) = (sum(|shown| shown.repeated), sum(|shown| shown.events));
    println!(
        "{events} events; {interrupted} runs interrupted, {completed} completed; {repeated} batches were appended though their producers did not hear of it"
    );
    assert!(interrupted > shown.len(), "the moments do not lie within runs");
    assert!(completed > 0, "no run was through before its server was killed");
}

/// The backup that docs/operations.md prints, put back.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_put_back_is_known_as_one() {
    let mut serve = Serve::start();
    let data = serve.dir.path().join("data");
    let finished = serve.run(&diagrams::bash("echo one")).await;
    serve.ended(&finished).await;
    let before = serve.stream(&finished, "", None).await.rest().await;
    let under_way = serve.run(&diagrams::bash("echo two; sleep 1000")).await;
    let copy = serve.dir.path().join("backup.sqlite");
    let backup = std::process::Command::new("python3")
        .args([
            "-c",
            "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))",
        ])
        .args([data.join("log.sqlite"), copy.clone()])
        .status();
    assert!(backup.unwrap().success());
    let later = serve.run(&diagrams::bash("echo three")).await;
    serve.ended(&later).await;
    let last_id =
        serve.stream(&later, "", None).await.rest().await.iter().rev().find_map(|frame| frame.id.clone());

    serve.kill();
    for name in ["log.sqlite", "log.sqlite-wal", "log.sqlite-shm", "log.session"] {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    std::fs::rename(copy, data.join("log.sqlite")).unwrap();
    serve.start_again();
    let after = serve.stream(&finished, "", None).await.rest().await;
    let events = |frames: &[Frame]| -> Vec<Value> {
        frames.iter().filter(|frame| frame.is_event()).filter_map(|frame| frame.data.clone()).collect()
    };
    assert_eq!(events(&after), events(&before));
    let state = serve.ended(&under_way).await;
    assert_eq!(state["status"], "ABORTED");
    assert!(state["reason"].as_str().unwrap().starts_with("interrupted"), "{state}");
    assert_eq!(serve.get(&format!("/api/v1/executions/{later}")).await.0, 404);
    // What a cursor of the life after the backup says is not to be mistaken for something else.
    let url = format!("{}/sse/executions", serve.url);
    let reset = read(&url, last_id.as_deref(), |frame| frame.kind() == "STREAM_GAP").await;
    let gap = &reset.frames.last().unwrap().data.as_ref().unwrap()["data"];
    assert_eq!((&gap["reason"], &gap["reset"]), (&json!("foreign_epoch"), &json!(true)));
}
