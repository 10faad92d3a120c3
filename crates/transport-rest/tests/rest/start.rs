use std::{path::Path, time::Duration};

use axum::body::Body;
use core_events::ports::{MonitoringPath, StartError};
use http::{Request, header};
use serde_json::json;

use crate::fake::{App, MAX_BODY};

const EXECUTIONS: &str = "/api/v1/executions";

#[tokio::test]
async fn a_run_is_started_as_asked() {
    let app = App::new();
    let body = json!({
        "diagram": "version: light\n", "name": "a.light.yaml", "inputs": {"b": 1, "a": [null]},
        "timeout": 1.5, "base_dir": "/tmp",
    });
    let answer = app.post(EXECUTIONS, body.to_string()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers[header::LOCATION], "/api/v1/executions/exec_1");
    insta::assert_json_snapshot!(answer.body);
    let [request] = <[_; 1]>::try_from(std::mem::take(&mut *app.executions.started.lock())).unwrap();
    assert_eq!(request.diagram.text, "version: light\n");
    assert_eq!(request.diagram.name, "a.light.yaml");
    assert_eq!(request.diagram.base_dir.as_deref(), Some(Path::new("/tmp")));
    assert_eq!(json!(request.inputs), json!({"b": 1, "a": [null]}));
    assert_eq!(request.timeout, Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn only_the_diagram_is_needed() {
    let app = App::new();
    let body = json!({"diagram": "x", "inputs": null, "timeout": null, "name": null, "base_dir": null});
    assert_eq!(app.post(EXECUTIONS, body.to_string()).await.status, 201);
    let request = app.executions.started.lock().pop().unwrap();
    assert_eq!(request.diagram.name, "diagram");
    assert_eq!((request.timeout, request.diagram.base_dir, request.inputs.len()), (None, None, 0));
}

#[tokio::test]
async fn the_monitoring_path_is_asked_for_by_the_name_of_the_guide() {
    let app = App::new();
    for (unified, path) in [
        (json!(true), Some(MonitoringPath::Unified)),
        (json!(false), Some(MonitoringPath::Legacy)),
        (json!(null), None),
    ] {
        let body = json!({"diagram": "x", "use_unified_monitoring": unified});
        assert_eq!(app.post(EXECUTIONS, body.to_string()).await.status, 201);
        assert_eq!(app.executions.started.lock().pop().unwrap().path, path);
    }
    let body = json!({"diagram": "x", "use_unified_monitoring": "yes"});
    let answer = app.post(EXECUTIONS, body.to_string()).await;
    assert_eq!(answer.status, 422);
    let error = "use_unified_monitoring: true or false is expected, this is a text";
    assert_eq!(answer.body["errors"], json!([error]));
    *app.executions.start_error.lock() = Some(StartError::NoPath(MonitoringPath::Legacy));
    let answer = app.post(EXECUTIONS, json!({"diagram": "x"}).to_string()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["type"]),
        (422, &json!("urn:dipeo:problem:no-such-path"))
    );
}

#[tokio::test]
async fn every_fault_of_a_body_is_named_at_once() {
    let app = App::new();
    let body = json!({
        "diagram": {"nodes": []}, "name": "a\nb", "inputs": [1], "timeout": 0, "base_dir": "relative",
        "diagramm": 1, "wibble": 2, "data\ndata": 3,
    });
    let answer = app.post(EXECUTIONS, body.to_string()).await;
    assert_eq!(answer.status, 422);
    insta::assert_json_snapshot!(answer.body);
    for body in
        ["[]", "null", "1", "\"x\"", r#"{"diagram":"x","timeout":-1}"#, r#"{"diagram":"x","timeout":1e300}"#]
    {
        assert_eq!(app.post(EXECUTIONS, body).await.status, 422, "{body}");
    }
    assert!(app.executions.started.lock().is_empty());
}

#[tokio::test]
async fn a_body_of_faults_gets_a_short_answer() {
    let app = App::new();
    let fields: serde_json::Map<_, _> = (0..50).map(|i| (format!("k{i}"), json!(1))).collect();
    let answer = app.post(EXECUTIONS, json!(fields).to_string()).await;
    assert_eq!(answer.status, 422);
    let errors = answer.body["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[20]), (21, &json!("… and 30 more unknown fields")));
}

#[tokio::test]
async fn without_a_diagram_nothing_runs() {
    let app = App::new();
    for body in ["", r#"{"diagram":null}"#, r#"{"name":"a.light.yaml"}"#] {
        let answer = app.post(EXECUTIONS, body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["type"]),
            (422, &json!("urn:dipeo:problem:missing-diagram"))
        );
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_its_place() {
    let app = App::new();
    for (body, place) in
        [("{\n \"diagram\": x}", "line 2 column 13"), ("{", "line 1 column 1"), ("{} x", "column 4")]
    {
        let answer = app.post(EXECUTIONS, body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body["detail"].as_str().unwrap().contains(place), "{}", answer.body);
    }
    let deep = format!("{{\"inputs\":{}{}}}", "[".repeat(500), "]".repeat(500));
    assert_eq!(app.post(EXECUTIONS, deep).await.status, 400);
    assert_eq!(app.post(EXECUTIONS, vec![b'"', 0xff, b'"']).await.status, 400);
}

#[tokio::test]
async fn only_json_is_read() {
    let app = App::new();
    for (content_type, status) in [
        (None, 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=x"), 415),
        (Some("text/plain; a=application/json"), 415),
        (Some("application/json; charset=utf-8"), 201),
        (Some("Application/JSON"), 201),
    ] {
        let mut request = Request::post(EXECUTIONS).header(header::CONTENT_LENGTH, "15");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let answer = app.send(request.body(Body::from(r#"{"diagram":"x"}"#)).unwrap()).await;
        assert_eq!(answer.status, status, "{content_type:?}");
        if status == 415 {
            assert!(answer.body["detail"].as_str().unwrap().contains("application/json"));
        }
    }
}

#[tokio::test]
async fn a_large_body_is_refused_whether_it_is_announced_or_not() {
    let app = App::new();
    let body = format!("\"{}\"", "x".repeat(MAX_BODY));
    assert_eq!(app.post(EXECUTIONS, body.clone()).await.status, 413);
    let announced = Request::post(EXECUTIONS)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len());
    let answer = app.send(announced.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body["detail"], "a body has at most 2048 bytes");
}

#[tokio::test]
async fn a_base_directory_is_for_clients_on_this_machine() {
    let body = r#"{"diagram":"x","base_dir":"/tmp"}"#;
    for (peer, status) in [
        ("127.0.0.1:9", 201),
        ("127.9.9.9:9", 201),
        ("[::1]:9", 201),
        ("[::ffff:127.0.0.1]:9", 201),
        ("192.0.2.1:9", 403),
        ("[2001:db8::1]:9", 403),
    ] {
        assert_eq!(App::with_peer(peer).post(EXECUTIONS, body).await.status, status, "{peer}");
        assert_eq!(App::with_peer(peer).post(EXECUTIONS, r#"{"diagram":"x"}"#).await.status, 201, "{peer}");
    }
    let app = App::new();
    let request = Request::post(EXECUTIONS)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-forwarded-for", "192.0.2.1");
    assert_eq!(app.send(request.body(Body::from(body)).unwrap()).await.status, 403);
}

#[tokio::test]
async fn refusals_of_a_start_have_their_status() {
    for (error, status) in [
        (StartError::Diagram(vec!["a:1:1: error: x".into(), "a:2:1: error: y".into()]), 422),
        (StartError::BaseDir("/x is no directory".into()), 422),
        (StartError::Stopping, 503),
        (StartError::TooMany(100), 429),
        (StartError::Log("full".into()), 503),
    ] {
        let app = App::new();
        *app.executions.start_error.lock() = Some(error.clone());
        let answer = app.post(EXECUTIONS, r#"{"diagram":"x"}"#).await;
        assert_eq!(answer.status, status, "{error}");
        assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), matches!(status, 429 | 503));
        if let StartError::Diagram(faults) = error {
            assert_eq!(answer.body["errors"], json!(faults));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_not_waited_for() {
    let app = App::new();
    let never = futures_util::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>();
    let begin = tokio::time::Instant::now();
    let answer = app.post(EXECUTIONS, Body::from_stream(never)).await;
    assert_eq!(answer.status, 408);
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
}
