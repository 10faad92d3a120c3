//! Code that misbehaves: memory stays bounded, no process is left behind, the run ends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails is a test that fails")]

use serde_json::Value;
use tests::{diagrams, serve::Serve, wait};

const MIB: usize = 1024 * 1024;

/// How many processes have `mark` on their command line.
fn processes(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

async fn until_gone(mark: &str) {
    wait::until("the end of all its processes", async || match processes(mark) {
        0 => Ok(()),
        left => Err(left),
    })
    .await;
}

async fn until_there(mark: &str, count: usize) {
    wait::until("its processes", async || match processes(mark) {
        there if there >= count => Ok(()),
        there => Err(there),
    })
    .await;
}

fn node<'a>(state: &'a Value, id: &str) -> &'a Value {
    &state["nodes"][id]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_of_output_leave_memory_bounded() {
    let serve = Serve::start();
    let before = serve.memory("VmRSS");
    let code = "line = 'x' * 999\nfor n in range(100_000):\n    print(line)\nresult = 'done'";
    let id = serve.run(&diagrams::python(code)).await;
    let state = serve.ended(&id).await;
    assert_eq!(state["status"], "COMPLETED");
    assert_eq!(node(&state, "node_1")["output"], "done");
    // 10 MiB of the log are kept, and one line says that the rest is not.
    let frames = serve.stream(&id, "?types=EXECUTION_LOG", None).await.rest().await;
    let lines: Vec<&Value> = frames
        .iter()
        .filter_map(|frame| frame.data.as_ref())
        .filter(|d| d["type"] == "EXECUTION_LOG")
        .collect();
    let kept: usize = lines.iter().map(|line| line["data"]["message"].as_str().unwrap().len()).sum();
    assert!((9 * MIB..=10 * MIB + 1024).contains(&kept), "{kept} bytes are kept");
    let truncated: Vec<_> = lines.iter().filter(|line| line["data"]["truncated"] == true).collect();
    assert_eq!(truncated.len(), 1);
    assert_eq!(truncated[0]["data"]["level"], "WARNING");
    assert_eq!(lines.last().unwrap()["data"]["truncated"], true);
    let peak = serve.memory("VmHWM") - before;
    println!("peak memory over the start: {} MiB", peak / MIB);
    assert!(peak < 100 * MIB, "{} MiB", peak / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endless_line_leaves_memory_bounded() {
    let serve = Serve::start();
    let before = serve.memory("VmRSS");
    let code = "import sys\nfor n in range(2_000):\n    sys.stdout.write('y' * 10_000)\nresult = 'done'";
    let id = serve.run(&diagrams::python(code)).await;
    let state = serve.ended(&id).await;
    assert_eq!(node(&state, "node_1")["output"], "done");
    let peak = serve.memory("VmHWM") - before;
    assert!(peak < 100 * MIB, "{} MiB", peak / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_too_large_fails_its_node() {
    let serve = Serve::start();
    let id = serve.run(&diagrams::python("result = 'z' * (9 * 1024 * 1024)")).await;
    let state = serve.ended(&id).await;
    assert_eq!(node(&state, "node_1")["status"], "FAILED");
    let error = node(&state, "node_1")["error"].as_str().unwrap();
    assert!(error.contains("8 MiB") || error.contains("8388608"), "{error}");
    assert_eq!(state["failed_nodes"], serde_json::json!(["node_1"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_output_is_had_through_its_reference() {
    let serve = Serve::start();
    let id = serve.run(&diagrams::python("result = ['w' * 1000] * 1000")).await;
    let state = serve.ended(&id).await;
    let work = node(&state, "node_1");
    assert_eq!((&work["status"], &work["output"]), (&"COMPLETED".into(), &Value::Null));
    assert_eq!(work["output_preview"].as_str().unwrap().len(), 8 * 1024);
    let (status, output) = serve.get(work["output_ref"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(output.as_array().unwrap().len(), 1000);
    assert_eq!(output[999].as_str().unwrap().len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_never_ends_is_ended_by_its_limit() {
    let serve = Serve::start();
    let mark = "7001.25";
    let diagram = diagrams::bash(&format!("sleep {mark}")).replace("timeout: 120", "timeout: 1");
    let id = serve.run(&diagram).await;
    let state = serve.ended(&id).await;
    assert_eq!(node(&state, "node_1")["status"], "FAILED");
    let error = node(&state, "node_1")["error"].as_str().unwrap();
    assert!(error.contains("timed out after 1 s"), "{error}");
    until_gone(mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_children_end_with_their_node() {
    let serve = Serve::start();
    let mark = "7002.25";
    // They keep the pipes open, and one ignores every polite signal.
    let code = format!(
        "for n in 1 2 3 4 5; do sleep {mark} & done; (trap '' TERM INT HUP; sleep {mark}) & echo started"
    );
    let id = serve.run(&diagrams::bash(&code)).await;
    let state = serve.ended(&id).await;
    assert_eq!(state["status"], "COMPLETED");
    assert_eq!(node(&state, "node_1")["output"], "started");
    until_gone(mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_kills_itself_fails_its_node() {
    let serve = Serve::start();
    for (diagram, word) in [
        (diagrams::bash("kill -9 $$"), "SIGKILL"),
        (diagrams::python("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), "SIGKILL"),
        (diagrams::python("import os\nos._exit(7)"), "7"),
        (diagrams::python("import sys\nsys.exit(3)"), "3"),
        (diagrams::python("def f(): return f()\nf()"), "RecursionError"),
    ] {
        let id = serve.run(&diagram).await;
        let state = serve.ended(&id).await;
        assert_eq!(state["status"], "COMPLETED", "{diagram}");
        assert_eq!(node(&state, "node_1")["status"], "FAILED", "{diagram}");
        let error = node(&state, "node_1")["error"].as_str().unwrap();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_ends_the_run_and_all_its_processes() {
    let serve = Serve::start();
    let mark = "7003.25";
    let id = serve.run(&diagrams::bash(&format!("sleep {mark} & sleep {mark}"))).await;
    until_there(mark, 2).await;
    let (status, _) =
        serve.post(&format!("/api/v1/executions/{id}/abort"), &serde_json::json!({"reason": "enough"})).await;
    assert_eq!(status, 202);
    let state = serve.ended(&id).await;
    assert_eq!((&state["status"], &state["reason"]), (&"ABORTED".into(), &"enough".into()));
    assert_eq!(node(&state, "node_1")["status"], "ABORTED");
    until_gone(mark).await;
    let frames = serve.stream(&id, "", None).await.rest().await;
    let last = frames.iter().rev().find(|frame| frame.is_event()).unwrap();
    assert_eq!(last.data.as_ref().unwrap()["data"]["status"], "ABORTED");
    let again = serve.post(&format!("/api/v1/executions/{id}/abort"), &serde_json::json!({})).await;
    assert_eq!(again.0, 409, "{}", again.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_server_leaves_no_process() {
    let serve = Serve::start();
    let mark = "7004.25";
    serve.run(&diagrams::bash(&format!("sleep {mark} & sleep {mark}"))).await;
    until_there(mark, 2).await;
    drop(serve);
    until_gone(mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_runs_and_streams_with_a_reason() {
    let mut serve = Serve::start();
    let mark = "7005.25";
    let id = serve.run(&diagrams::bash(&format!("sleep {mark}"))).await;
    until_there(mark, 1).await;
    let mut stream = serve.stream(&id, "", None).await;
    let mut all = tests::sse::Sse::open(&format!("{}/sse/executions", serve.url), None).await;
    stream.next().await.unwrap();
    all.next().await.unwrap();
    let exit = tokio::task::spawn_blocking(move || serve.terminate());
    let frames = stream.rest().await;
    let last = frames.iter().rev().find(|frame| frame.is_event()).unwrap().data.clone().unwrap();
    assert_eq!(
        (&last["type"], &last["data"]["status"]),
        (&"EXECUTION_STATUS_CHANGED".into(), &"ABORTED".into())
    );
    assert_eq!(frames.last().unwrap().data.as_ref().unwrap()["data"]["reason"], "completed");
    let end = all.rest().await.last().unwrap().data.clone().unwrap();
    assert_eq!(end["data"], serde_json::json!({"reason": "shutdown", "reconnect": true}));
    assert_eq!(exit.await.unwrap().code(), Some(0));
    until_gone(mark).await;
}
