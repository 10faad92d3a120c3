//! `dipeo run` on the legacy monitoring path: what one sees of a run does not depend on the path that serves it.

#![cfg(feature = "legacy")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails is a test that fails")]

use std::process::Output;

use serde_json::{Value, json};
use tests::{dipeo, serve::Serve, sse::Sse, wait};

const DIAGRAM: &str = r#"
version: light
nodes:
  - {label: Start, type: start, position: {x: 0, y: 0}, props: {trigger_mode: manual}}
  - {label: Job, type: code_job, position: {x: 1, y: 0}, props: {language: bash, code: "echo one; echo two >&2"}}
  - {label: End, type: endpoint, position: {x: 2, y: 0}}
connections:
  - {from: Start, to: Job}
  - {from: Job, to: End}
"#;

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("d.light.yaml"), DIAGRAM).unwrap();
    let mut command = dipeo::command();
    command.args(["run", "d.light.yaml"]).args(args).envs(env.iter().copied());
    command.current_dir(dir.path()).output().unwrap()
}

/// The events of a run, without what differs from run to run.
fn events(args: &[&str], env: &[(&str, &str)]) -> Vec<Value> {
    let output = run(&[args, &["--json"]].concat(), env);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            for name in ["cursor", "execution_id", "timestamp"] {
                event.as_object_mut().unwrap().remove(name);
            }
            let data = event["data"].as_object_mut().unwrap();
            data.retain(|name, _| !matches!(name.as_str(), "timestamp" | "started_at" | "ended_at"));
            event
        })
        .collect()
}

#[test]
fn a_run_looks_the_same_on_both_paths() {
    let unified = events(&["--unified"], &[]);
    assert_eq!(unified.last().unwrap()["data"]["status"], "COMPLETED");
    assert!(unified.iter().any(|event| event["data"]["message"] == "one"), "{unified:?}");
    assert_eq!(events(&["--legacy"], &[]), unified);
    let env = [("DIPEO_USE_UNIFIED_MONITORING", "false")];
    assert_eq!(events(&[], &env), unified);
    // The flag goes before the configuration.
    assert_eq!(events(&["--unified"], &env), unified);
}

#[test]
fn one_run_has_one_path() {
    let output = run(&["--legacy", "--unified"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flag_reaches_a_server() {
    let serve = Serve::start();
    let url = serve.url.clone();
    let output = tokio::task::spawn_blocking(move || run(&["--legacy", "--server", &url, "--quiet"], &[]));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let (_, list) = serve.get("/api/v1/executions").await;
    let id = list["executions"][0]["execution_id"].as_str().unwrap();
    // The legacy path sends nobody back to what is over; the log still has it all.
    wait::until("the end of the legacy streams", async || {
        let (status, _) = serve.get(&format!("/sse/executions/{id}")).await;
        if status == 204 { Ok(()) } else { Err(Value::from(status)) }
    })
    .await;
    let log = Sse::open(&format!("{}/sse/unified/executions/{id}", serve.url), None).await;
    assert_eq!(log.status, 200);
    let (status, started) = serve
        .post("/api/v1/executions", &json!({ "diagram": DIAGRAM, "use_unified_monitoring": false }))
        .await;
    assert_eq!((status, &started["path"]), (201, &json!("legacy")));
}
