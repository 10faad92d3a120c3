use std::io::{Read, Write};

use axum::body::Body;
use bytes::Bytes;
use core_events::ports::LookupError;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{Request, header};
use serde_json::{Value, json};

use crate::app::{App, MAX_IMPORT, begin, end, id, line, node};

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// An output that does not fit into an event, and would not stay what it is if it were read and written.
fn large_output() -> String {
    format!("[1.0,  {{\"b\":1,\"a\":\"{}\"}}]", "é".repeat(100_000))
}

async fn exported(extra: usize) -> (App, Bytes) {
    let app = App::new();
    app.append(vec![
        begin("b"),
        begin("a"),
        begin("a.x"),
        node("a.x", "n", Some(&large_output())),
        end("a.x"),
    ])
    .await;
    app.append((0..extra).map(|n| line("a", &format!("{n} {}", "l".repeat(n % 700)))).collect()).await;
    app.append(vec![node("a", "m", Some("[\"small\"]")), node("a", "o", None), end("a")]).await;
    let answer = app.get("/api/v1/executions/a/export").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/gzip");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"a.ndjson.gz\"");
    (app, answer.bytes)
}

async fn events(app: &App, path: &str) -> Vec<Value> {
    let (mut path, mut events) = (format!("/api/v1/executions/{path}/events?limit=1000"), Vec::new());
    loop {
        let page = app.get(&path).await.body;
        for event in page["events"].as_array().unwrap() {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove("cursor");
            events.push(event);
        }
        let Some(next) = page["links"]["next"].as_str() else { return events };
        next.clone_into(&mut path);
    }
}

#[tokio::test]
async fn a_file_has_the_events_as_they_are_stored() {
    let (app, file) = exported(0).await;
    let text = unpacked(&file);
    let lines: Vec<&str> = text.lines().collect();
    let output = large_output();
    insta::assert_snapshot!(text.replace(&output, "<a large output>"));
    // The end is true of what stands in front of it.
    let (front, _) = text.split_at(text.len() - lines.last().unwrap().len() - 1);
    use sha2::Digest;
    let sha256: String = sha2::Sha256::digest(front).iter().map(|byte| format!("{byte:02x}")).collect();
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last, json!({"end": true, "events": 7, "sha256": sha256}));
    assert_eq!(app.get("/api/v1/executions/a.x/export").await.problem().0, "not-a-root");
}

#[tokio::test]
async fn an_empty_install_takes_it_and_has_the_same_run() {
    let (source, file) = exported(3_000).await;
    for body in [file.to_vec(), unpacked(&file).into_bytes()] {
        let target = App::new();
        let answer = target.import(body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.headers["location"], "/api/v1/executions/a");
        assert_eq!((&answer.body["execution_id"], &answer.body["events"]), (&json!("a"), &json!(3_007)));
        for execution in ["a", "a.x"] {
            assert_eq!(events(&target, execution).await, events(&source, execution).await);
            let state = target.log.state(&id(execution)).await.unwrap().0;
            assert_eq!(state, source.log.state(&id(execution)).await.unwrap().0);
        }
        let output = target.log.output(&id("a"), 3).await.unwrap().unwrap();
        assert_eq!(output, large_output());
        // Once more it is the same file, but for the hour.
        let again = target.get("/api/v1/executions/a/export").await;
        assert_eq!(unpacked(&again.bytes), unpacked(&file));
        let answer = target.import(file.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.problem().0), (409, "execution-exists"));
    }
}

#[tokio::test]
async fn a_run_under_way_is_exported_as_far_as_it_is() {
    let source = App::new();
    source.append(vec![begin("a"), line("a", "1")]).await;
    let file = source.get("/api/v1/executions/a/export").await.bytes;
    let target = App::new();
    assert_eq!(target.import(file).await.body["events"], 3);
    let events = events(&target, "a").await;
    assert_eq!(
        (&events[2]["data"]["status"], &events[2]["data"]["reason"]),
        (&json!("ABORTED"), &json!("imported without its end"))
    );
}

#[tokio::test]
async fn i4_what_the_log_no_longer_had_is_missing_in_the_file_and_does_not_stop_it() {
    let source = App::keeping(3);
    source.append(vec![begin("a"), line("a", "1"), line("a", "2"), line("a", "3"), end("a")]).await;
    let file = source.get("/api/v1/executions/a/export").await.bytes;
    let seqs: Vec<_> = unpacked(&file)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64())
        .collect();
    assert_eq!(seqs, [3, 4, 5]);
    let target = App::new();
    assert_eq!(target.import(file).await.status, 201);
    assert_eq!(
        events(&target, "a").await.iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

#[tokio::test]
async fn i15_a_broken_file_is_refused_with_the_place_and_leaves_nothing() {
    let (_, file) = exported(600).await;
    let text = unpacked(&file);
    let lines: Vec<&str> = text.lines().collect();
    let with = |nth: usize, line: &str| {
        let mut lines = lines.clone();
        lines[nth] = line;
        packed(lines.join("\n").as_bytes())
    };
    let without_end = lines[..lines.len() - 1].join("\n");
    let foreign = lines[400].replace("\"execution_id\":\"a\"", "\"execution_id\":\"c\"");
    let mut flipped = file.to_vec();
    flipped[file.len() / 2] ^= 4;
    let big_line = format!("{}\n{{\"type\":\"X\",\"data\":\"{}\"}}", lines[0], "x".repeat(9 * 1024 * 1024));
    let target = App::new();
    for (name, body, status, problem, part) in [
        ("nothing", vec![], 422, "truncated-import", "ends in the middle"),
        (
            "no JSON",
            b"hello\nworld".to_vec(),
            422,
            "invalid-import",
            "line 1: an export begins with {\"dipeo_export\":1,",
        ),
        (
            "foreign JSON",
            b"{\"a\":1}\n{\"b\":2}\n".to_vec(),
            422,
            "invalid-import",
            "line 1: an export begins with",
        ),
        ("an event alone", lines[2].into(), 422, "invalid-import", "line 1: an export begins with"),
        (
            "a newer format",
            with(0, "{\"dipeo_export\":2,\"execution_id\":\"a\"}"),
            422,
            "invalid-import",
            "line 1: dipeo_export: 2",
        ),
        (
            "a bad id",
            with(0, "{\"dipeo_export\":1,\"execution_id\":\"a b\"}"),
            422,
            "invalid-import",
            "line 1",
        ),
        (
            "its end is missing",
            packed(without_end.as_bytes()),
            422,
            "truncated-import",
            "its last line is missing",
        ),
        ("the file is cut", file[..file.len() / 2].to_vec(), 422, "truncated-import", "ends in the middle"),
        (
            "its last byte is missing",
            file[..file.len() - 1].to_vec(),
            422,
            "damaged-import",
            "its last bytes are missing",
        ),
        ("a byte is flipped", flipped, 422, "", "nothing was imported"),
        (
            "a line is another",
            with(300, lines[301]),
            422,
            "invalid-import",
            "line 302: seq: 300 comes behind 300",
        ),
        (
            "a line is missing",
            packed(text.replacen(lines[300], "", 1).as_bytes()),
            422,
            "invalid-import",
            "line 301: it is no line",
        ),
        (
            "a text is changed",
            packed(text.replacen("500 l", "501 l", 1).as_bytes()),
            422,
            "damaged-import",
            "changed on its way",
        ),
        (
            "an event of another run",
            with(400, &foreign),
            422,
            "invalid-import",
            "line 401: execution_id: c is neither a",
        ),
        (
            "a field is wrong",
            with(400, "{\"type\":\"EXECUTION_LOG\",\"execution_id\":7}"),
            422,
            "invalid-import",
            "line 401: execution_id: a text is expected",
        ),
        (
            "something else",
            with(400, "{\"hello\":1}"),
            422,
            "invalid-import",
            "line 401: it is neither an event",
        ),
        ("the output is of another", with(3, lines[1]), 422, "invalid-import", "line 4: "),
        (
            "an output is of nothing",
            with(4, lines[3]),
            422,
            "invalid-import",
            "line 5: behind an output comes its event",
        ),
        (
            "more behind the end",
            packed(format!("{text}{{}}").as_bytes()),
            422,
            "invalid-import",
            "stands behind the end",
        ),
        (
            "a line without an end",
            packed(big_line.as_bytes()),
            422,
            "invalid-import",
            "line 2: it has more than",
        ),
        ("a bomb", packed(&vec![b'\n'; MAX_IMPORT as usize * 2]), 422, "invalid-import", "line 1"),
    ] {
        let answer = target.import(body).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        let (given, detail) = answer.problem();
        assert!(problem.is_empty() || given == problem, "{name}: {}", answer.body);
        assert!(detail.contains(part), "{name}: {detail}");
        assert_eq!(target.log.head(), 0, "{name}");
        assert_eq!(target.log.find(&id("a")).await, Err(LookupError::Unknown(id("a"))), "{name}");
    }
    // Lines that are all right, but too many.
    let many = format!("{}\n{}", lines[0], format!("{}\n", lines[300]).repeat(200_000));
    let answer = target.import(packed(many.as_bytes())).await;
    assert!(matches!(answer.problem().0, "import-too-large" | "invalid-import"), "{}", answer.body);
    // No attempt took the id.
    assert_eq!(target.import(file).await.status, 201);
}

#[tokio::test]
async fn i15_a_bomb_is_put_out() {
    let target = App::new();
    let (header, event) = (
        "{\"dipeo_export\":1,\"execution_id\":\"a\"}",
        |seq: u32| json!({"type": "X", "execution_id": "a", "timestamp": "2026-01-01T00:00:00Z", "seq": seq, "data": "0".repeat(100_000)}),
    );
    let lines: Vec<_> = (1..=300).map(|seq| event(seq).to_string()).collect();
    let file = packed(format!("{header}\n{}\n", lines.join("\n")).as_bytes());
    assert!(file.len() < 1_000_000);
    let answer = target.import(file).await;
    assert_eq!((answer.status.as_u16(), answer.problem().0), (413, "import-too-large"));
    assert_eq!(target.log.head(), 0);
}

#[tokio::test]
async fn a_body_says_what_it_is() {
    let target = App::new();
    for (media, status) in [("text/plain", 415), ("application/json", 415), ("application/x-ndjson", 422)] {
        let request = Request::post("/api/v1/imports").header(header::CONTENT_TYPE, media);
        assert_eq!(target.send(request.body(Body::from("x")).unwrap()).await.status, status, "{media}");
    }
}
