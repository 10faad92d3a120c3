use serde_json::json;
use server::Config;

use crate::support::{ENDLESS, HELLO, Stream, config, get, post, start};

/// Starts a run on the legacy path. Returns its id.
async fn run(address: std::net::SocketAddr, diagram: &str) -> String {
    let body = json!({ "diagram": diagram, "use_unified_monitoring": false });
    let started = post(address, "/api/v1/executions", &body).await;
    assert_eq!(started.json()["path"], "legacy", "{}", started.body);
    started.json()["execution_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_legacy_run_has_the_stream_of_its_path_and_its_facts_in_the_log() {
    let server = start(config()).await;
    let address = server.local_addr();
    // A node that waits for us, so that the run has not ended before anybody looks.
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let waiting = format!("until [ -e {} ]; do sleep 0.02; done; echo hello", gate.display());
    let id = run(address, &HELLO.replace("echo hello", &waiting)).await;
    let mut legacy = Stream::open(address, &format!("/sse/executions/{id}")).await;
    let mut unified = Stream::open(address, &format!("/sse/unified/executions/{id}")).await;
    legacy.until("RUNNING").await;
    std::fs::write(&gate, "").unwrap();
    unified.until("STREAM_END").await;
    // The original's stream has no frame behind its last message; the response just ends.
    legacy.until("\r\n0\r\n").await;
    assert!(legacy.text.contains("\"message\":\"hello\""), "{}", legacy.text);
    assert!(legacy.text.contains("COMPLETED"), "{}", legacy.text);
    assert!(!legacy.text.contains("STREAM_END") && !legacy.text.contains("\"seq\":"), "{}", legacy.text);
    assert!(unified.text.contains("\"output\":\"hello\""), "{}", unified.text);

    // Where it has ended nobody need come back on either path (I9).
    let snapshot = get(address, &format!("/api/v1/executions/{id}")).await.json();
    assert_eq!(snapshot["status"], "COMPLETED");
    assert_eq!(get(address, snapshot["links"]["resume"].as_str().unwrap()).await.status, 204);
    assert_eq!(get(address, &format!("/sse/executions/{id}")).await.status, 204);
    server.stop().await;
}

#[tokio::test]
async fn the_configuration_chooses_for_runs_that_do_not() {
    let server = start(Config { use_unified_monitoring: false, ..config() }).await;
    let address = server.local_addr();
    let started = post(address, "/api/v1/executions", &json!({ "diagram": HELLO })).await;
    assert_eq!(started.json()["path"], "legacy", "{}", started.body);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_legacy_runs_and_their_streams() {
    let server = start(config()).await;
    let id = run(server.local_addr(), ENDLESS).await;
    let mut stream = Stream::open(server.local_addr(), &format!("/sse/executions/{id}")).await;
    stream.until("begun").await;
    server.stop().await;
    let text = stream.rest().await;
    assert!(text.contains("ABORTED"), "{text}");
}

#[tokio::test]
async fn the_legacy_web_path_has_the_messages_of_legacy_runs() {
    let server = start(config()).await;
    let id = run(server.local_addr(), ENDLESS).await;
    let query =
        format!(r#"subscription {{ execution_updates(execution_id: "{id}") {{ event_type data }} }}"#);
    let mut socket = crate::graphql::Socket::subscribe(server.local_addr(), &query).await;
    // The original has no log lines there.
    while !socket.hear().await.unwrap().to_string().contains("code_job") {}
    post(server.local_addr(), &format!("/api/v1/executions/{id}/abort"), &json!({})).await;
    let mut heard = String::new();
    while let Some(message) = socket.hear().await {
        heard.push_str(&message.to_string());
        if message["type"] == "complete" {
            break;
        }
    }
    assert!(heard.contains("ABORTED") && heard.contains("\"complete\""), "{heard}");
    server.stop().await;
}
