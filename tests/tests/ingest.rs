//! Events of other engines: `docs/ingest.md` as it is printed, and producers that die.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Output},
    time::Duration,
};

use proptest::{
    prelude::RngExt,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{serve::Serve, wait};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const DOC: &str = include_str!("../../docs/ingest.md");

/// The blocks of the page in this language, one after the other.
fn blocks(language: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for line in DOC.lines() {
        if line.starts_with("```") {
            inside = line == format!("```{language}");
        } else if inside {
            text.push_str(line);
            text.push('\n');
        }
    }
    assert!(!text.is_empty());
    text
}

fn bash(serve: &Serve, dir: &Path, script: &str) -> Output {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(dir);
    command.env("DIPEO_URL", &serve.url).env("NO_PROXY", "*").env("no_proxy", "*");
    command.output().unwrap()
}

async fn events(serve: &Serve, run: &str) -> Vec<Value> {
    let mut stream = serve.stream(run, "", None).await;
    let mut events = Vec::new();
    while let Some(frame) = stream.next().await {
        assert_ne!(frame.kind(), "STREAM_GAP");
        events.extend(frame.data.clone().filter(|_| frame.is_event()));
    }
    events
}

/// What the log has of a run, each event once and in order.
async fn logged(serve: &Serve, run: &str) -> Vec<Value> {
    let events = events(serve, run).await;
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    events
}

async fn post_lines(serve: &Serve, run: &str, lines: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/api/v1/executions/{run}/events", serve.url));
    let request = request.header("Content-Type", "application/x-ndjson").body(lines.to_owned());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn open(serve: &Serve, run: &str) {
    let (status, body) = serve.post("/api/v1/executions", &json!({ "execution_id": run })).await;
    assert_eq!(status, 201, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_as_printed() {
    let serve = Serve::start();
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("producer.py"), blocks("python")).unwrap();
    let output = bash(&serve, dir.path(), &blocks("sh"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for (run, events, node) in [("nightly-1", 6, "fetch"), ("nightly-2", 5, "sum")] {
        let (_, state) = serve.get(&format!("/api/v1/executions/{run}")).await;
        assert_eq!((&state["status"], &state["source"]), (&json!("COMPLETED"), &json!("ingest")), "{state}");
        assert_eq!(state["nodes"][node]["status"], "COMPLETED");
        assert_eq!(logged(&serve, run).await.len(), events);
    }
    assert!(stdout.contains(r#"{"appended":4,"last_seq":5,"cursor":""#), "{stdout}");

    // Started once more, it finds that there is nothing to do.
    let again = r#"python3 producer.py "$DIPEO_URL" nightly-2 events.ndjson"#;
    let output = bash(&serve, dir.path(), again);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(logged(&serve, "nightly-2").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_line_is_named_and_nothing_of_its_batch_is_appended() {
    let serve = Serve::start();
    open(&serve, "a").await;
    let line = |n: usize, status: Value| {
        let data = json!({"node_id": format!("n{n}"), "status": status});
        json!({"type": "NODE_STATUS_CHANGED", "execution_id": "a", "data": data}).to_string() + "\n"
    };
    let mut lines: Vec<_> = (1..=10).map(|n| line(n, json!("RUNNING"))).collect();
    let good = lines.concat();
    for (bad, problem) in [
        (line(7, json!(7)), "line 7: data.status: invalid type: integer `7`, expected a string"),
        ("{\"type\":\n".to_owned(), "line 7: not JSON: EOF while parsing a value at column 8"),
        (
            "{\"type\":\"X\",\"execution_id\":\"a\",\"data\":NaN}\n".to_owned(),
            "line 7: not JSON: NaN at column 39; write null instead",
        ),
        (
            "{\"type\":\"HEARTBEAT\",\"execution_id\":\"a\"}\n".to_owned(),
            "line 7: type: HEARTBEAT is what a stream says about itself, and no event of a run; leave it out",
        ),
        (
            "{\"type\":\"X\",\"execution_id\":\"b\"}\n".to_owned(),
            "line 7: execution_id: a is posted to, this is b; a sub-run says `root_execution_id` and `parent_execution_id`",
        ),
    ] {
        lines[6] = bad;
        let (status, body) = post_lines(&serve, "a", &lines.concat()).await;
        assert_eq!((status, &body["errors"]), (400, &json!([problem])));
        assert_eq!(body["detail"], problem);
    }
    let data = json!({"level": "INFO", "message": "x".repeat(300_000)});
    lines[6] = json!({"type": "EXECUTION_LOG", "execution_id": "a", "data": data}).to_string() + "\n";
    let (status, body) = post_lines(&serve, "a", &lines.concat()).await;
    assert_eq!(status, 413);
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.starts_with("line 7: an event of type EXECUTION_LOG has 300"), "{detail}");

    let (_, state) = serve.get("/api/v1/executions/a").await;
    assert_eq!((&state["last_seq"], &state["nodes"]), (&json!(1), &json!({})), "nothing was appended");
    let (status, body) = post_lines(&serve, "a", &good).await;
    assert_eq!((status, &body["appended"], &body["last_seq"]), (200, &json!(10), &json!(11)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_originals_events_come_through() {
    let serve = Serve::start();
    open(&serve, "exec_0123").await;
    // As its observers write them: local or UTC, nobody says; nulls; a diagram called None; no time outside `data` on its SSE path.
    let events = [
        json!({"type": "EXECUTION_STATUS_CHANGED", "execution_id": "exec_0123",
               "data": {"status": "RUNNING", "diagram_id": "None", "timestamp": "2025-08-04T09:00:00.000001"}}),
        json!({"type": "NODE_STATUS_CHANGED", "execution_id": "exec_0123",
               "data": {"node_id": "node_0", "status": "RUNNING", "node_type": null, "timestamp": "2025-08-04T09:00:01"}}),
        json!({"type": "EXECUTION_LOG", "execution_id": "exec_0123", "timestamp": "2025-08-04T09:00:01.5",
               "data": {"level": "INFO", "message": "dipeo - hello", "timestamp": "2025-08-04T09:00:01.5", "logger": "dipeo", "node_id": null}}),
        json!({"type": "NODE_STATUS_CHANGED", "execution_id": "exec_0123", "node_id": null, "metadata": {"priority": "normal"},
               "data": {"node_id": "node_0", "status": "PENDING", "node_type": "person_job", "output": {"value": "é"}, "started_at": null,
                        "ended_at": null, "token_usage": {"input": 1, "output": 2, "cached": null, "total": 3}, "tokens_used": 3,
                        "timestamp": "2025-08-04T09:00:02"}}),
        json!({"type": "NODE_STATUS_CHANGED", "execution_id": "exec_0123",
               "data": {"node_id": "node_1", "status": "MAXITER_REACHED", "node_type": "job", "output": null, "timestamp": "2025-08-04T09:00:02"}}),
        json!({"type": "INTERACTIVE_RESPONSE", "execution_id": "exec_0123", "data": {"node_id": "node_0", "response": "yes", "metadata": {}}}),
        json!({"type": "optimization_suggested", "execution_id": "exec_0123", "data": {"hint": [1, 2.50, null]}}),
        json!({"type": "EXECUTION_STATUS_CHANGED", "execution_id": "exec_0123", "data": {"status": "COMPLETED", "timestamp": "2025-08-04T09:00:03"}}),
    ];
    let (status, body) = serve.post("/api/v1/executions/exec_0123/events", &json!(events)).await;
    assert_eq!((status, &body["appended"]), (200, &json!(8)), "{body}");
    let logged = logged(&serve, "exec_0123").await;
    for (sent, logged) in events.iter().zip(&logged[1..]) {
        assert_eq!(logged["type"], sent["type"]);
        for (key, value) in sent["data"].as_object().unwrap() {
            let logged = &logged["data"][key];
            if key == "timestamp" {
                let (sent, logged) = (value.as_str().unwrap(), logged.as_str().unwrap());
                assert!(logged.starts_with(sent) && logged.ends_with('Z'), "{sent}: {logged}");
            } else {
                assert_eq!(logged, value, "{key} of {sent}");
            }
        }
    }
    assert_eq!(logged[1]["timestamp"], "2025-08-04T09:00:00.000001Z");
    assert_eq!(logged[4]["metadata"], json!({"priority": "normal"}));
    let state = serve.ended("exec_0123").await;
    assert_eq!(
        (&state["started_at"], &state["ended_at"]),
        (&json!("2025-08-04T09:00:00.000001Z"), &json!("2025-08-04T09:00:03.000000Z"))
    );
    assert_eq!((&state["diagram_id"], &state["token_usage"]["total"]), (&json!("None"), &json!(3)));
    let (status, body) = serve.post("/api/v1/executions/exec_0123/events", &json!(events)).await;
    assert_eq!((status, &body["type"]), (409, &json!("urn:dipeo:problem:execution-ended")));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_reaches_whoever_watches_and_is_not_kept() {
    let serve = Serve::start();
    open(&serve, "a").await;
    let mut stream = serve.stream("a", "", None).await;
    let event = |kind: &str, data: Value| json!({"type": kind, "execution_id": "a", "data": data});
    let node = |status: &str| event("NODE_STATUS_CHANGED", json!({"node_id": "n", "status": status}));
    let part = |text: &str| event("NODE_PROGRESS", json!({"node_id": "n", "text": text, "position": 0}));
    let path = "/api/v1/executions/a/events";
    let (_, body) = serve.post(path, &json!([node("RUNNING"), part("Once "), part("upon")])).await;
    assert_eq!(body["appended"], 1, "{body}");
    let mut text = String::new();
    while text != "Once upon" {
        let frame = stream.next().await.unwrap();
        if frame.kind() == "NODE_PROGRESS" {
            text.push_str(frame.data.unwrap()["data"]["text"].as_str().unwrap());
        }
    }
    let end = event("EXECUTION_STATUS_CHANGED", json!({"status": "COMPLETED"}));
    serve.post(path, &json!([node("COMPLETED"), end])).await;
    assert_eq!(logged(&serve, "a").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_engine_is_aborted_like_any_other() {
    let serve = Serve::start();
    open(&serve, "a").await;
    let node = json!({"type": "NODE_STATUS_CHANGED", "execution_id": "a", "data": {"node_id": "n", "status": "RUNNING"}});
    let path = "/api/v1/executions/a/events";
    assert_eq!(serve.post(path, &json!([node])).await.0, 200);
    let (status, _) = serve.post("/api/v1/executions/a/abort", &json!({"reason": "seen enough"})).await;
    assert_eq!(status, 202);
    let state = serve.ended("a").await;
    assert_eq!((&state["status"], &state["reason"]), (&json!("ABORTED"), &json!("seen enough")));
    assert_eq!(state["nodes"]["n"]["status"], "ABORTED");
    assert_eq!(serve.post(path, &json!([node])).await.0, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_taken_whole() {
    let serve = Serve::start();
    open(&serve, "a").await;
    let line = |n: usize| {
        let data = json!({"level": "INFO", "message": format!("{n} {}", "x".repeat(400))});
        json!({"type": "EXECUTION_LOG", "execution_id": "a", "data": data}).to_string() + "\n"
    };
    let lines: Vec<_> = (0..10_001).map(line).collect();
    let (status, body) = post_lines(&serve, "a", &lines.concat()).await;
    assert_eq!((status, &body["type"]), (413, &json!("urn:dipeo:problem:event-too-large")));
    let (status, body) = post_lines(&serve, "a", &lines[1..].concat()).await;
    assert_eq!((status, &body["appended"], &body["last_seq"]), (200, &json!(10_000), &json!(10_001)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_run_is_closed() {
    let serve = Serve::with(&[("DIPEO_INGEST_LEASE", "1")]);
    open(&serve, "a").await;
    let state = serve.ended("a").await;
    assert_eq!((&state["status"], &state["reason"]), (&json!("ABORTED"), &json!("producer silent for 1 s")));
}

/// The producer of the page, at work.
fn producer(server: &str, dir: &Path) -> Child {
    let mut command = Command::new("python3");
    command.args(["producer.py", server, "long", "events.ndjson"]).current_dir(dir).env("NO_PROXY", "*");
    command.spawn().unwrap()
}

/// A way from `listener` to `upstream` on which every third answer is lost.
fn lose_answers(listener: TcpListener, upstream: String) {
    tokio::spawn(async move {
        for number in 0_u64.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let upstream = upstream.clone();
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(upstream).await else { return };
                let (mut from_client, mut to_client) = client.split();
                let (mut from_server, mut to_server) = server.split();
                let answer = async {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                        if number % 3 == 2 || to_client.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = answer => {}
                    // The client waits for its answer, so that this goes on unless it dies.
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                }
            });
        }
    });
}

/// Producers and servers are killed at random moments; `DIPEO_SEED` repeats the choices of an earlier call.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_and_started_again_appends_nothing_twice() {
    const LINES: usize = 400;
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
    let seed: u64 = std::env::var("DIPEO_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    println!("DIPEO_SEED={seed} repeats this");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = listener.local_addr().unwrap().to_string();
    let mut serve = Serve::with(&[("DIPEO_ALLOWED_HOSTS", &way)]);
    lose_answers(listener, serve.url.trim_start_matches("http://").to_owned());
    let server = format!("http://{way}");
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("producer.py"), blocks("python")).unwrap();
    let mut file = std::fs::File::create(dir.path().join("events.ndjson")).unwrap();
    // An engine that writes its events down, a line at a time.
    let writer = tokio::spawn(async move {
        for n in 0..LINES {
            let data = json!({"level": "INFO", "message": n.to_string()});
            writeln!(file, "{}", json!({"type": "EXECUTION_LOG", "execution_id": "long", "data": data}))
                .unwrap();
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
        let data = json!({"status": "COMPLETED"});
        let end = json!({"type": "EXECUTION_STATUS_CHANGED", "execution_id": "long", "data": data});
        writeln!(file, "{end}").unwrap();
    });

    let mut child = producer(&server, dir.path());
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
        if random.random_range(0..4) == 0 {
            serve.kill();
            serve.start_again();
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
            child = producer(&server, dir.path());
        }
    }
    writer.await.unwrap();
    let status = wait::until("the end of the producer", async || child.try_wait().unwrap().ok_or(())).await;
    assert!(status.success());

    let events = logged(&serve, "long").await;
    let messages: Vec<_> = events.iter().filter_map(|event| event["data"]["message"].as_str()).collect();
    assert_eq!(messages, (0..LINES).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(events.len(), LINES + 2);
    assert_eq!(events[LINES + 1]["data"]["status"], "COMPLETED");
}
