//! A real browser: `EventSource` as the platform has it, and the page.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails is a test that fails")]

use serde_json::json;
use tests::{browser::Script, diagrams, serve::Serve, wait};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_source_that_comes_after_the_end_gets_all_and_asks_twice() {
    let serve = Serve::start();
    let id = serve.run(&diagrams::python("print('hello')\nresult = 1")).await;
    serve.ended(&id).await;
    let url = serve.url.clone();
    let execution = id.clone();
    let seen = tokio::task::spawn_blocking(move || Script::start("late.mjs", &[&url, &execution]).observe())
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
        let running = script.observe();
        (script, running)
    })
    .await
    .unwrap();
    assert_eq!(running["status"], "RUNNING");
    assert!(running["text"].as_str().unwrap().contains("Work"), "{running}");
    serve.put("go", "");
    let (completed, end) = tokio::task::spawn_blocking(move || {
        script.go_on();
        (script.observe(), script.observe())
    })
    .await
    .unwrap();
    assert_eq!(completed["status"], "COMPLETED");
    assert_eq!(end, json!({"stream": "ended", "problems": [], "foreign": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_fell_into_a_gap_of_its_stream() {
    let serve = Serve::with(&[("DIPEO_LOG_STORE", "memory"), ("DIPEO_LOG_MAX_EVENTS_PER_RUN", "20")]);
    let work = "for i in $(seq 200); do echo $i; done; while [ ! -e go ]; do sleep 0.02; done";
    let id = serve.run(&diagrams::bash(work)).await;
    wait::until("all lines", async || {
        let (_, state) = serve.get(&format!("/api/v1/executions/{id}")).await;
        if state["log_lines"] == 200 { Ok(()) } else { Err(state) }
    })
    .await;
    // By now the log no longer holds that the node began.
    let url = serve.url.clone();
    let (mut script, running) = tokio::task::spawn_blocking(move || {
        let mut script = Script::start("badge.mjs", &[&url, &id, "node_1"]);
        let running = script.observe();
        (script, running)
    })
    .await
    .unwrap();
    assert!(running["text"].as_str().unwrap().contains("Work"), "{running}");
    assert_eq!(running["run"], "RUNNING");
    serve.put("go", "");
    let end = tokio::task::spawn_blocking(move || {
        script.go_on();
        (script.observe(), script.observe())
    });
    assert_eq!(end.await.unwrap().1, json!({"stream": "ended", "problems": [], "foreign": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_forgets_the_runs_of_a_server_that_is_gone_with_its_log() {
    let mut serve = Serve::with(&[("DIPEO_LOG_STORE", "memory")]);
    let before = serve.run(&diagrams::python("result = 1")).await;
    let (url, id) = (serve.url.clone(), before.clone());
    let mut script = tokio::task::spawn_blocking(move || {
        let mut script = Script::start("list.mjs", &[&url]);
        assert_eq!(script.observe(), json!([id]));
        script
    })
    .await
    .unwrap();
    serve.restart();
    let after = serve.run(&diagrams::python("result = 1")).await;
    let seen = tokio::task::spawn_blocking(move || {
        script.go_on();
        script.observe()
    })
    .await
    .unwrap();
    assert_eq!(seen, json!([after]), "not {before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn graphiql_opens_and_asks_with_no_other_host_in_reach() {
    let serve = Serve::start();
    let url = serve.url.clone();
    let seen =
        tokio::task::spawn_blocking(move || Script::start("graphiql.mjs", &[&url]).observe()).await.unwrap();
    assert_eq!(seen, json!({"shown": true, "problems": [], "foreign": []}));
}
