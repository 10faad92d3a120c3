//! Bad requests get a clear refusal, in problem+json, and lose nothing (I15).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails is a test that fails")]

use serde_json::{Value, json};
use tests::{diagrams, serve::Serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends bytes as they are; returns the status and the whole answer.
async fn raw(serve: &Serve, request: &str) -> (u16, String) {
    let address = serve.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.replace("ADDRESS", address).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A refusal may reset the connection behind its answer.
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

async fn get(serve: &Serve, path: &str, headers: &str) -> (u16, String) {
    raw(serve, &format!("GET {path} HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\n{headers}\r\n")).await
}

async fn post(serve: &Serve, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    raw(
        serve,
        &format!(
            "POST /api/v1/executions HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ),
    )
    .await
}

fn problem(answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{answer}");
    let body = body.find('{').map_or(body, |at| &body[at..=body.rfind('}').unwrap()]);
    let problem: Value = serde_json::from_str(body).unwrap();
    for field in ["type", "title", "status", "detail"] {
        assert!(problem.get(field).is_some(), "{field} is missing: {problem}");
    }
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_and_origins_are_refused() {
    let serve = Serve::start();
    let json_type = "Content-Type: application/json\r\n";
    let body = json!({"diagram": diagrams::bash("echo hi")}).to_string();
    for host in [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
    ] {
        let (status, answer) = raw(
            &serve,
            &format!("GET /api/v1/executions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!((400..500).contains(&status), "Host {host:?}: {answer}");
    }
    let (status, answer) = raw(&serve, "GET /api/v1/executions HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status, 400, "{answer}");
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"] {
        let (status, answer) = post(&serve, &format!("{json_type}Origin: {origin}\r\n"), &body).await;
        assert_eq!(status, 403, "Origin {origin}: {answer}");
        problem(&answer);
    }
    let (status, answer) = post(&serve, &format!("{json_type}Sec-Fetch-Site: cross-site\r\n"), &body).await;
    assert_eq!(status, 403, "{answer}");
    // A page of our own, and a program without an origin, may.
    for origin in ["Origin: http://ADDRESS\r\n", ""] {
        let (status, answer) = post(&serve, &format!("{json_type}{origin}"), &body).await;
        assert_eq!(status, 201, "{answer}");
        assert!(!answer.to_lowercase().contains("access-control-allow"), "{answer}");
    }
    let (_, runs) = serve.get("/api/v1/executions").await;
    assert_eq!(runs["executions"].as_array().unwrap().len(), 2, "nothing that was refused has run: {runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_must_be_json_and_say_what_is_wrong() {
    let serve = Serve::start();
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
    {
        let (status, answer) = post(&serve, &format!("Content-Type: {kind}\r\n"), "{}").await;
        assert_eq!(status, 415, "{kind}: {answer}");
        assert!(problem(&answer)["detail"].as_str().unwrap().contains("application/json"));
    }
    let (status, answer) = post(&serve, "", "{}").await;
    assert_eq!(status, 415, "{answer}");
    for (body, expected, words) in [
        ("", 422, "diagram"),
        ("{", 400, "line 1"),
        ("[]", 422, "object"),
        (r#"{"diagram": 3}"#, 422, "diagram"),
        (r#"{"diagram": "nodes: []", "timeout": -1}"#, 422, "timeout"),
        (r#"{"diagram": "nodes: []", "timeout": "soon"}"#, 422, "timeout"),
        (r#"{"diagram": "nodes: []", "inputs": []}"#, 422, "inputs"),
        (r#"{"diagramm": "nodes: []"}"#, 422, "diagram"),
        (r#"{"diagram": "nodes: []", "base_dir": "/does/not/exist"}"#, 422, "base directory"),
    ] {
        let (status, answer) = post(&serve, "Content-Type: application/json\r\n", body).await;
        let told = problem(&answer).to_string();
        assert!(status == expected || (expected == 422 && status == 400), "{body}: {answer}");
        assert!(told.contains(words), "{body}: {told}");
    }
    let (status, answer) =
        post(&serve, "Content-Type: application/json\r\n", "{\"diagram\": \"\u{0}\"}").await;
    assert!((400..=422).contains(&status), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_diagram_is_answered_with_all_its_faults() {
    let serve = Serve::start();
    let diagram = "nodes:
- {label: Start, type: start}
- {label: Work, type: code_jop, code: x}
connections:
- {from: Start, to: Wrok}
- {from: Statr, to: Work}
";
    let (status, answer) =
        serve.post("/api/v1/executions", &json!({"diagram": diagram, "name": "a.light.yaml"})).await;
    assert_eq!(status, 422);
    let errors = answer["errors"].as_array().unwrap();
    assert!(errors.len() >= 3, "{answer}");
    let text = answer.to_string();
    for words in ["a.light.yaml:3:", "code_job", "a.light.yaml:5:", "Work", "a.light.yaml:6:", "Start"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_checked_before_anything_opens() {
    let serve = Serve::start();
    for path in ["/sse/executions", "/sse/unified/executions", "/api/v1/executions"] {
        for (id, expected) in [
            ("exec_00000000000000000000000000000000", 404),
            ("nobody", 404),
            ("a%20b", 400),
            ("%00", 400),
            ("..%2f..%2fetc", 400),
            ("%ff", 400),
            (&"x".repeat(129), 400),
        ] {
            let (status, answer) = get(&serve, &format!("{path}/{id}"), "").await;
            assert_eq!(status, expected, "{path}/{id}: {answer}");
            problem(&answer);
        }
    }
    for path in ["/nowhere", "/api/v2/executions", "/api/v1/executions/x/y/z"] {
        let (status, answer) = get(&serve, path, "").await;
        assert_eq!(status, 404, "{answer}");
        problem(&answer);
    }
    let (status, answer) =
        raw(&serve, "DELETE /api/v1/executions HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status, 405, "{answer}");
    problem(&answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_every_wrong_kind() {
    let serve = Serve::start();
    let id = serve.run(&diagrams::bash("while [ ! -e go ]; do sleep 0.05; done")).await;
    for wrong in [
        "abc",
        "-1",
        "12",
        "AB-1",
        "ab-",
        "ab-x",
        "ab-01",
        "ab--1",
        "ab-99999999999999999999999",
        "ab-1%0Adata:x",
    ] {
        for query in [format!("?from={wrong}"), format!("?last_event_id={wrong}")] {
            let (status, answer) = get(&serve, &format!("/sse/executions/{id}{query}"), "").await;
            assert_eq!(status, 400, "{query}: {answer}");
            let told = problem(&answer).to_string();
            assert!(told.contains("from") || told.contains("last_event_id"), "{told}");
        }
    }
    for wrong in ["abc", "ab-x", "AB-1"] {
        let (status, answer) =
            get(&serve, &format!("/sse/executions/{id}"), &format!("Last-Event-ID: {wrong}\r\n")).await;
        assert_eq!(status, 400, "{answer}");
        assert!(problem(&answer).to_string().contains("Last-Event-ID"));
    }
    for query in ["?types=", "?nodes=,", "?types=A B", "?executions=a%20b"] {
        let (status, answer) =
            get(&serve, &format!("/sse/executions/{id}{}", query.replace(' ', "%20")), "").await;
        assert_eq!(status, 400, "{query}: {answer}");
    }

    // Of another life of the log, or of its future: the stream opens, says so, and starts over.
    let mut first = serve.stream(&id, "", None).await;
    while first.last_id.is_none() {
        first.next().await.unwrap();
    }
    let epoch = first.last_id.clone().unwrap().split('-').next().unwrap().to_owned();
    for (cursor, reason) in
        [("0123abcd-7".to_owned(), "foreign_epoch"), (format!("{epoch}-999999"), "future_cursor")]
    {
        let mut stream = serve.stream(&id, "", Some(&cursor)).await;
        assert_eq!(stream.status, 200);
        let gap = loop {
            let frame = stream.next().await.unwrap();
            assert!(!frame.is_event(), "events before the gap was told");
            if frame.kind() == "STREAM_GAP" {
                break frame.data.unwrap()["data"].clone();
            }
        };
        assert_eq!(
            (&gap["reset"], &gap["reason"], &gap["from"]),
            (&json!(true), &json!(reason), &json!(cursor))
        );
        loop {
            let frame = stream.next().await.unwrap();
            if frame.is_event() {
                assert_eq!(frame.seq(), Some(1));
                break;
            }
        }
    }
    serve.put("go", "");
    serve.ended(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_does_not_stop_the_server() {
    let serve = Serve::start();
    for request in [
        "\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}".repeat(50) + "\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\n\r\n", "x".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\n{}\r\n", "A: b\r\n".repeat(2_000)),
        "POST /api/v1/executions HTTP/1.1\r\nHost: ADDRESS\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n{".to_owned(),
    ] {
        let (status, answer) = raw(&serve, &request).await;
        assert!(status == 0 || (400..600).contains(&status), "{status}: {}", &answer[..answer.len().min(300)]);
        assert_ne!(status, 500);
    }
    let (status, _) = serve.get("/health/ready").await;
    assert_eq!(status, 200);
    let id = serve.run(&diagrams::bash("echo still here")).await;
    assert_eq!(serve.ended(&id).await["status"], "COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_from_outside_can_not_add_fields_to_a_stream() {
    let serve = Serve::start();
    let evil = "x\n\nid: evil-1\ndata: {\"type\":\"FAKE\"}\n\n\r\u{2028}\u{0}";
    let label = serde_json::to_string("evil\r\ndata: {\"type\":\"FAKE\"}").unwrap();
    let diagram = diagrams::python(
        &format!("print({evil:?})\nresult = {evil:?}")
            .replace("\\u{", "\\u{")
            .replace("\\u{2028}", "\\u2028")
            .replace("\\0", "\\x00"),
    )
    .replace("{label: Work,", &format!("{{label: {label},"))
    .replace("to: Work", &format!("to: {label}"))
    .replace("from: Work", &format!("from: {label}"));
    let id = serve.run(&diagram).await;
    let state = serve.ended(&id).await;
    assert_eq!(state["nodes"]["node_1"]["status"], "COMPLETED", "{state}");
    assert_eq!(state["nodes"]["node_1"]["output"], evil);
    let frames = serve.stream(&id, "", None).await.rest().await;
    assert!(frames.iter().all(|frame| frame.kind() != "FAKE"));
    assert!(frames.iter().all(|frame| frame.id.as_deref() != Some("evil-1")));
}
