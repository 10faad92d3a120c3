use serde_json::json;

use crate::support::{ENDLESS, HELLO, Stream, config, get, post, run, send, start};

#[cfg(feature = "unified")]
#[tokio::test]
async fn a_run_is_started_followed_and_looked_up() {
    let server = start(config()).await;
    let address = server.local_addr();
    let id = run(address, HELLO).await;
    for path in [format!("/sse/executions/{id}"), format!("/sse/unified/executions/{id}")] {
        let mut stream = Stream::open(address, &path).await;
        stream.until("STREAM_END").await;
        let order = [
            "CONNECTION_ESTABLISHED",
            "id: ",
            "\"status\":\"RUNNING\"",
            "\"message\":\"hello\"",
            "\"output\":\"hello\"",
            "\"reason\":\"completed\",\"reconnect\":false",
        ];
        let places: Vec<_> = order.iter().map(|part| stream.text.find(part).unwrap_or(usize::MAX)).collect();
        assert!(places.is_sorted() && places[5] != usize::MAX, "{places:?}\n{}", stream.text);
        assert!(stream.text.contains("content-type: text/event-stream\r\n"));
    }

    let snapshot = get(address, &format!("/api/v1/executions/{id}")).await.json();
    assert_eq!(snapshot["status"], "COMPLETED");
    // Who has it all need not come back (I9).
    let resume = snapshot["links"]["resume"].as_str().unwrap();
    assert_eq!(get(address, resume).await.status, 204);
    let list = get(address, "/api/v1/executions").await.json();
    assert_eq!(list["executions"][0]["execution_id"], id.as_str());
    assert_eq!(list["executions"][0]["status"], "COMPLETED");

    let abort = post(address, &format!("/api/v1/executions/{id}/abort"), &json!({})).await;
    assert_eq!(abort.status, 409, "{}", abort.body);
    server.stop().await;
}

#[tokio::test]
async fn an_abort_ends_a_run_with_its_reason() {
    let server = start(config()).await;
    let address = server.local_addr();
    let id = run(address, ENDLESS).await;
    let mut stream = Stream::open(address, &format!("/sse/unified/executions/{id}")).await;
    stream.until("begun").await;
    let path = format!("/api/v1/executions/{id}/abort");
    assert_eq!(post(address, &path, &json!({ "reason": "seen enough" })).await.status, 202);
    stream.until("STREAM_END").await;
    assert!(stream.text.contains("\"status\":\"ABORTED\""), "{}", stream.text);
    assert!(stream.text.contains("\"reason\":\"seen enough\""), "{}", stream.text);
    server.stop().await;
}

#[tokio::test]
async fn a_faulty_diagram_is_refused_with_every_place() {
    let server = start(config()).await;
    let diagram = "version: light\nnodes:\n  - {label: A, type: strat}\nconnections:\n  - {from: A, to: B}\n";
    let body = json!({ "diagram": diagram, "name": "a.light.yaml" });
    let response = post(server.local_addr(), "/api/v1/executions", &body).await;
    assert_eq!(response.status, 422);
    let errors = response.json()["errors"].as_array().unwrap().clone();
    assert!(errors.len() >= 2, "{errors:?}");
    assert!(errors.iter().all(|error| error.as_str().unwrap().starts_with("a.light.yaml:")), "{errors:?}");
    let list = get(server.local_addr(), "/api/v1/executions").await.json();
    assert_eq!(list["executions"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn relative_paths_start_in_the_base_directory() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config()).await;
    let address = server.local_addr();
    let diagram = HELLO.replace("echo hello", "pwd");
    let body = json!({ "diagram": diagram, "base_dir": dir.path() });
    let id =
        post(address, "/api/v1/executions", &body).await.json()["execution_id"].as_str().unwrap().to_owned();
    let mut stream = Stream::open(address, &format!("/sse/unified/executions/{id}")).await;
    stream.until("STREAM_END").await;
    assert!(stream.text.contains(dir.path().canonicalize().unwrap().to_str().unwrap()), "{}", stream.text);
    for wrong in [dir.path().join("missing"), "/dev/null".into()] {
        let body = json!({ "diagram": diagram, "base_dir": wrong });
        let response = post(address, "/api/v1/executions", &body).await;
        assert_eq!(response.status, 422);
        assert_eq!(response.json()["type"], "urn:dipeo:problem:invalid-base-dir");
    }
    server.stop().await;
}

#[tokio::test]
async fn more_runs_than_allowed_are_turned_away_for_now() {
    let server = start(server::Config { max_runs: 1, ..config() }).await;
    let address = server.local_addr();
    let id = run(address, ENDLESS).await;
    let body = json!({ "diagram": HELLO });
    let response = post(address, "/api/v1/executions", &body).await;
    assert_eq!((response.status, response.header("retry-after")), (429, Some("2")));
    post(address, &format!("/api/v1/executions/{id}/abort"), &json!({})).await;
    crate::support::eventually("room for the next run", async || {
        post(address, "/api/v1/executions", &body).await.status == 201
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_says_so_in_the_same_form() {
    let server = start(config()).await;
    let address = server.local_addr();
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/executions/", 404),
        ("GET", "/api/v1/executions/exec_0", 404),
        ("GET", "/sse/executions/exec_0", 404),
        ("GET", "/sse/unified/executions/exec_0", 404),
        ("GET", "/sse/executions/exec_0?from=nonsense", 400),
        ("DELETE", "/api/v1/executions/exec_0", 404),
        ("PATCH", "/api/v1/executions/exec_0", 405),
        ("DELETE", "/sse/executions/exec_0", 405),
        ("PUT", "/", 405),
        ("BREW", "/health/live", 405),
    ] {
        let response = send(address, method, path, &[], "").await;
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{method} {path}");
        assert_eq!(response.json()["status"], status);
        assert_eq!(response.header("allow").is_some(), status == 405, "{method} {path}: {}", response.head);
    }
    server.stop().await;
}
