use axum::body::Body;
use core_events::{
    EventType, TooLarge,
    ports::{AppendError, IngestError, LookupError, OpenError, OpenRun, ProducerBatch},
};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::fake::{Answer, App, MAX_BODY, id};

const EXECUTIONS: &str = "/api/v1/executions";
const EVENTS: &str = "/api/v1/executions/exec_1/events";

async fn lines(app: &App, body: impl Into<Body>) -> Answer {
    numbered(app, &[], body).await
}

async fn numbered(app: &App, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request =
        Request::post(EVENTS).header(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(body.into()).unwrap()).await
}

fn event(node: &str) -> String {
    let data = json!({"node_id": node, "status": "RUNNING", "mood": "good"});
    json!({"type": "NODE_STATUS_CHANGED", "execution_id": "exec_1", "data": data, "room": 7}).to_string()
}

fn errors(answer: &Answer) -> Vec<&str> {
    answer.body["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_run_is_opened_as_asked() {
    let app = App::new();
    let body = json!({"execution_id": "a:1", "diagram_id": "d", "diagram_name": "D"});
    let answer = app.post(EXECUTIONS, body.to_string()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers[header::LOCATION], "/api/v1/executions/a:1");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(answer.body["execution_id"], "a:1");
    assert_eq!(answer.body["links"]["events"], "/api/v1/executions/a:1/events");
    assert_eq!(app.post(EXECUTIONS, "{}").await.status, 201);
    assert_eq!(app.post(EXECUTIONS, r#"{"execution_id":"exec_open"}"#).await.status, 200);
    let expected = OpenRun {
        execution: Some(id("a:1")),
        diagram_id: Some("d".to_owned()),
        diagram_name: Some("D".to_owned()),
    };
    assert_eq!(app.ingest.opened.lock()[..2], [expected, OpenRun::default()]);
    assert!(app.executions.started.lock().is_empty());
}

#[tokio::test]
async fn a_run_that_is_not_opened_says_why() {
    let app = App::new();
    let body = json!({"execution_id": "a b", "diagram_id": 7, "diagram_nam": "x"});
    let answer = app.post(EXECUTIONS, body.to_string()).await;
    assert_eq!((answer.status, errors(&answer).len()), (StatusCode::UNPROCESSABLE_ENTITY, 3));
    // Who is one letter off wants to run it.
    let answer = app.post(EXECUTIONS, r#"{"diagramm": "nodes: []"}"#).await;
    assert_eq!(errors(&answer), ["diagramm: there is no such field; did you mean `diagram`?"]);
    assert!(app.ingest.opened.lock().is_empty());
    for (error, status, name) in [
        (OpenError::Taken(id("a")), 409, "execution-exists"),
        (OpenError::TooMany(3), 429, "too-many-open-runs"),
        (OpenError::Stopping, 503, "stopping"),
        (OpenError::Log(AppendError::Unavailable("full".to_owned())), 503, "log-unavailable"),
    ] {
        *app.ingest.open_error.lock() = Some(error);
        let answer = app.post(EXECUTIONS, r#"{"execution_id":"a"}"#).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body["type"], format!("urn:dipeo:problem:{name}"));
        assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), matches!(status, 429 | 503));
    }
}

#[tokio::test]
async fn lines_and_lists_are_taken() {
    let app = App::new();
    // A mark in front, empty lines, line ends of other systems, none at the end.
    let body = format!("\u{feff}{}\r\n\n  \t\r\n{}", event("a"), event("b"));
    let answer = lines(&app, body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, json!({"appended": 2, "last_seq": 9, "cursor": "ab-12"}));
    let answer = app.post(EVENTS, format!("[{},\n {}]", event("a"), event("b"))).await;
    assert_eq!(answer.status, 200);
    let appended = std::mem::take(&mut *app.ingest.appended.lock());
    assert_eq!(appended[0], appended[1]);
    let (execution, events, batch) = &appended[0];
    assert_eq!((execution, batch), (&id("exec_1"), &None));
    let sent: Vec<Value> =
        events.iter().map(|event| serde_json::from_slice(&event.encode()).unwrap()).collect();
    assert_eq!((&sent[1]["data"]["mood"], &sent[1]["room"]), (&json!("good"), &json!(7)));

    for empty in ["", "\n\n", "[]", " "] {
        let answer = if empty == "[]" { app.post(EVENTS, empty).await } else { lines(&app, empty).await };
        assert_eq!((answer.status.as_u16(), &answer.body["appended"]), (200, &json!(0)), "{empty:?}");
    }
    let bare = Request::post(EVENTS).body(Body::empty()).unwrap();
    assert_eq!(app.send(bare).await.status, 200);
}

#[tokio::test]
async fn every_faulty_line_is_named() {
    let app = App::new();
    let good = event("a");
    let body = [
        good.as_str(),
        "",
        r#"{"type":"NODE_STATUS_CHANGED","execution_id":"exec_1","data":{"node_id":"a","status":5}}"#,
        r#"{"type":"X","execution_id":"exec_1""#,
        r#"{"type":"X","execution_id":"exec_1","data":{"x":NaN}}"#,
        r#"{"type":"X","execution_id":"exec_1","data":{"x":-Infinity}}"#,
        r#"{"type":"X","execution_id":"exec_1","type":"Y"}"#,
        r#"{"type":"X"}"#,
        "7",
        r#"{"type":"X","execution_id":"exec_1","timestamp":"noon"}"#,
        "{} {}",
        good.as_str(),
    ]
    .join("\n");
    let answer = lines(&app, body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body["type"], "urn:dipeo:problem:invalid-event");
    assert_eq!(
        errors(&answer),
        [
            "line 3: data.status: invalid type: integer `5`, expected a string",
            "line 4: not JSON: EOF while parsing an object at column 35",
            "line 5: not JSON: NaN at column 49; write null instead",
            "line 6: not JSON: Infinity at column 50; write null instead",
            "line 7: event: the field \"type\" is there twice",
            "line 8: execution_id: it is missing",
            "line 9: event: an object is expected",
            "line 10: timestamp: \"noon\" is no time; write it like 2026-11-23T09:00:00.123456Z",
            "line 11: type: a text is expected",
        ]
    );
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("9 faults; the first: line 3: data.status"), "{detail}");
    assert!(app.ingest.appended.lock().is_empty());
}

#[tokio::test]
async fn faulty_items_of_a_list_are_named_by_number_line_and_column() {
    let app = App::new();
    let list = format!("[{},\n  {{\"type\":\"X\",\n \"execution_id\":5}}]", event("a"));
    let answer = app.post(EVENTS, list).await;
    assert_eq!(errors(&answer), ["event 2 (line 2, column 3): execution_id: a text is expected"]);
    for (body, error) in [
        ("[1,\n2,", "line 2: not JSON: EOF while parsing a value at column 2"),
        ("[{\"a\":\n  NaN}]", "line 2: not JSON: NaN at column 3; write null instead"),
        ("[] []", "line 1: not JSON: trailing characters at column 4"),
        (
            "{\"type\":\"X\"}",
            "the body: a list of events is expected; one event per line has the content type application/x-ndjson",
        ),
    ] {
        let answer = app.post(EVENTS, body).await;
        assert_eq!((answer.status.as_u16(), errors(&answer)), (400, vec![error]), "{body}");
    }
    assert!(app.ingest.appended.lock().is_empty());
}

#[tokio::test]
async fn hostile_bodies_get_short_answers() {
    let app = App::new();
    let answer = lines(&app, [b"\n\n{\"a\":\"".as_slice(), b"\xff\xfe\"}"].concat()).await;
    assert_eq!(errors(&answer), ["line 3: not UTF-8 from column 7 on"]);

    let deep =
        format!(r#"{{"type":"X","execution_id":"exec_1","data":{}{}}}"#, "[".repeat(102), "]".repeat(102));
    let answer = lines(&app, deep).await;
    assert_eq!(errors(&answer), ["line 1: it is nested too deep; a value has at most 100 levels"]);
    // Brackets in texts don't count.
    let flat = format!(r#"{{"type":"X","execution_id":"exec_1","data":{{"x":"{}\"{{"}}}}"#, "[".repeat(200));
    assert_eq!(lines(&app, flat).await.status, 200);

    assert_eq!(errors(&lines(&app, "x\n".repeat(500)).await).len(), 20);
    let long = format!(r#"{{"type":"X","execution_id":"exec_1","seq":"{}"}}"#, "é".repeat(700));
    let answer = lines(&app, long).await;
    assert_eq!(errors(&answer), ["line 1: seq: a whole number is expected"]);
    let long = json!({"type": "NODE_STATUS_CHANGED", "execution_id": "exec_1", "data": {"node_id": "a", "status": "R", "iteration": "é".repeat(700)}});
    let answer = lines(&app, long.to_string()).await;
    let error = errors(&answer)[0];
    assert!(
        error.starts_with("line 1: data.iteration: invalid type: string") && error.ends_with('…'),
        "{error}"
    );
    assert!(error.len() < 450);

    let answer = lines(&app, " ".repeat(MAX_BODY + 1)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["type"]),
        (413, &json!("urn:dipeo:problem:body-too-large"))
    );
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let request =
            Request::post(EVENTS).header(header::CONTENT_TYPE, kind).body(event("a").into()).unwrap();
        assert_eq!(app.send(request).await.status, 415, "{kind}");
    }
    let packed = Request::post(EVENTS).header(header::CONTENT_ENCODING, "gzip").body(Body::empty()).unwrap();
    assert_eq!(app.send(packed).await.status, 415);
    let request = Request::post("/api/v1/executions/a%20b/events").body(Body::empty()).unwrap();
    assert_eq!(app.send(request).await.status, 400);
}

#[tokio::test]
async fn batches_are_numbered_by_three_headers_or_none() {
    let app = App::new();
    let all = [("Producer-Id", "engine 1"), ("producer-epoch", "3"), ("PRODUCER-SEQ", "0")];
    assert_eq!(numbered(&app, &all, event("a")).await.status, 200);
    let (_, _, batch) = app.ingest.appended.lock().pop().unwrap();
    assert_eq!(batch, Some(ProducerBatch { producer: "engine 1".into(), epoch: 3, seq: 0 }));

    let long = "x".repeat(257);
    for (headers, problem) in [
        (vec![all[0]], "Producer-Epoch and Producer-Seq missing: "),
        (vec![all[1], all[2]], "Producer-Id missing: "),
        (vec![all[0], all[2]], "Producer-Epoch missing: "),
        (vec![("Producer-Id", ""), all[1], all[2]], "Producer-Id: 1 to 256 characters"),
        (vec![("Producer-Id", &*long), all[1], all[2]], "Producer-Id: 1 to 256 characters"),
        (vec![("Producer-Id", "é"), all[1], all[2]], "Producer-Id: it is expected once"),
        (vec![all[0], all[0], all[1], all[2]], "Producer-Id: it is expected once"),
        (vec![all[0], all[1], ("Producer-Seq", "-1")], "Producer-Seq: a whole number"),
        (vec![all[0], all[1], ("Producer-Seq", "1.5")], "Producer-Seq: a whole number"),
        (vec![all[0], all[1], ("Producer-Seq", "9007199254740992")], "Producer-Seq: a whole number"),
        (
            vec![all[0], ("Producer-Epoch", "99999999999999999999999"), all[2]],
            "Producer-Epoch: a whole number",
        ),
    ] {
        let answer = numbered(&app, &headers, event("a")).await;
        assert_eq!(answer.status, 400, "{headers:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(problem), "{headers:?}: {detail}");
    }
    assert!(app.ingest.appended.lock().is_empty());
}

#[tokio::test]
async fn what_became_of_a_batch_is_told_as_the_protocol_has_it() {
    let app = App::new();
    for (error, status, name) in [
        (AppendError::Ended(id("exec_1")), 409, "execution-ended"),
        (AppendError::Fenced { current: 8 }, 403, "fenced-producer"),
        (AppendError::OutOfOrder { expected: 4, got: 6 }, 409, "batch-out-of-order"),
        (AppendError::Busy, 503, "log-busy"),
        (AppendError::Unavailable("the disk is full".to_owned()), 503, "log-unavailable"),
    ] {
        *app.ingest.append_error.lock() = Some(error.clone().into());
        let answer = lines(&app, event("a")).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body["type"], format!("urn:dipeo:problem:{name}"));
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("producer-epoch"), (name == "fenced-producer").then_some("8"));
        let gap = name == "batch-out-of-order";
        assert_eq!(header("producer-expected-seq"), gap.then_some("4"));
        assert_eq!(header("producer-received-seq"), gap.then_some("6"));
        assert_eq!(header("retry-after"), (status == 503).then_some("2"));
    }
    *app.ingest.append_error.lock() = Some(AppendError::Repeated { seq: 3 }.into());
    let answer = lines(&app, event("a")).await;
    assert_eq!((answer.status, answer.body), (StatusCode::NO_CONTENT, Value::Null));

    *app.ingest.append_error.lock() = Some(IngestError::NotOpened(id("exec_1")));
    assert_eq!(lines(&app, event("a")).await.status, 409);
    *app.ingest.append_error.lock() = Some(IngestError::Stopping);
    assert_eq!(lines(&app, event("a")).await.status, 503);
    *app.ingest.append_error.lock() = Some(LookupError::Unavailable("io".to_owned()).into());
    assert_eq!(lines(&app, event("a")).await.status, 503);
    for (path, status) in [("exec_gone", 410), ("exec_0", 404)] {
        let answer = app.post(&format!("{EXECUTIONS}/{path}/events"), format!("[{}]", event("a"))).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn an_event_that_the_service_refuses_is_named_by_its_line() {
    let app = App::new();
    let problem = "type: HEARTBEAT is no event".to_owned();
    *app.ingest.append_error.lock() = Some(IngestError::Event { index: 1, problem });
    let body = format!("{}\n\n\n{}\n", event("a"), event("b"));
    let answer = lines(&app, body).await;
    assert_eq!((answer.status.as_u16(), errors(&answer)), (400, vec!["line 4: type: HEARTBEAT is no event"]));

    let too_large = TooLarge { event_type: EventType::NodeStatusChanged, bytes: 300_000 };
    *app.ingest.append_error.lock() = Some(AppendError::TooLarge(too_large).into());
    let body = format!("{}\n{}\n{}\n", event("a"), event(&"x".repeat(500)), event("b"));
    let answer = lines(&app, body).await;
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.body["detail"],
        "line 2: an event of type NODE_STATUS_CHANGED has 300000 bytes, the limit is 262144"
    );
}
