//! A real browser: `EventSource` as the platform has it, and the page.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tests::{diagrams, serve::Serve};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");

/// A script that drives Chromium; its observations come line by line.
struct Script {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let chromium =
            std::env::var("DIPEO_TEST_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        let mut child = Command::new("node")
            .arg(format!("{SCRIPTS}/{name}"))
            .arg(chromium)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("browser tests need node, chromium and playwright-core: run `cargo xtask test` once");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let line = self
            .lines
            .next()
            .expect("the script ended early; is playwright-core installed? run `cargo xtask test` once");
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_source_that_comes_after_the_end_gets_all_and_asks_twice() {
    let serve = Serve::start();
    let id = serve.run(&diagrams::python("print('hello')\nresult = 1")).await;
    serve.ended(&id).await;
    let url = serve.url.clone();
    let execution = id.clone();
    let seen = tokio::task::spawn_blocking(move || Script::start("late.mjs", &[&url, &execution]).next())
        .await
        .unwrap();
    let types: Vec<&str> =
        seen["types"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    assert_eq!((types[0], types[types.len() - 1]), ("CONNECTION_ESTABLISHED", "STREAM_END"));
    let seqs: Vec<u64> = seen["seqs"].as_array().unwrap().iter().map(|seq| seq.as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert!(seqs.len() >= 9, "{seen}");
    // Once for the run, once more by itself behind the last event: 204, and never again.
    assert_eq!(seen["answers"], json!([200, 204]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_a_node_running_before_it_can_end() {
    let serve = Serve::start();
    let id = serve.run(&diagrams::bash("while [ ! -e go ]; do sleep 0.02; done; echo there")).await;
    let url = serve.url.clone();
    let execution = id.clone();
    let (mut script, running) = tokio::task::spawn_blocking(move || {
        let mut script = Script::start("badge.mjs", &[&url, &execution, "node_1"]);
        let running = script.next();
        (script, running)
    })
    .await
    .unwrap();
    assert_eq!(running["status"], "RUNNING");
    assert!(running["text"].as_str().unwrap().contains("Work"), "{running}");
    serve.put("go", "");
    let (completed, end) = tokio::task::spawn_blocking(move || {
        script.go_on();
        (script.next(), script.next())
    })
    .await
    .unwrap();
    assert_eq!(completed["status"], "COMPLETED");
    assert_eq!(end, json!({"stream": "ended", "problems": [], "foreign": []}));
}
