//! The past of real runs: read page by page, at every cursor, carried to another install and shown again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::io::{Read, Write};

use core_events::{Envelope, ExecutionState};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use reqwest::{Method, header};
use serde_json::{Value, json};
use tests::{
    diagrams,
    serve::Serve,
    sse::{Frame, seqs},
    wait,
};

const LINES: &str = "application/x-ndjson";

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn call(serve: &Serve, method: Method, path: &str) -> u16 {
    http().request(method, format!("{}{path}", serve.url)).send().await.unwrap().status().as_u16()
}

/// All events of an execution as lines, each cut into its cursor and what is stored.
async fn stored(serve: &Serve, id: &str, limit: usize) -> Vec<(String, String)> {
    let (mut path, mut events) = (format!("/api/v1/executions/{id}/events?limit={limit}"), Vec::new());
    loop {
        let request = http().get(format!("{}{path}", serve.url)).header(header::ACCEPT, LINES);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let link = response.headers().get(header::LINK).map(|link| link.to_str().unwrap().to_owned());
        for line in response.text().await.unwrap().lines() {
            let (cursor, rest) = line.strip_prefix("{\"cursor\":\"").unwrap().split_once("\",").unwrap();
            events.push((cursor.to_owned(), format!("{{{rest}")));
        }
        let Some(link) = link else { return events };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
}

fn without_cursors(events: &[(String, String)]) -> Vec<&str> {
    events.iter().map(|(_, event)| event.as_str()).collect()
}

async fn export(serve: &Serve, id: &str) -> Vec<u8> {
    let response = http().get(format!("{}/api/v1/executions/{id}/export", serve.url)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/gzip");
    assert_eq!(
        response.headers()[header::CONTENT_DISPOSITION],
        format!("attachment; filename=\"{}.ndjson.gz\"", id.replace(':', "_")).as_str()
    );
    response.bytes().await.unwrap().to_vec()
}

async fn import(serve: &Serve, file: Vec<u8>) -> (u16, Value) {
    let request = http().post(format!("{}/api/v1/imports", serve.url));
    let response = request.header(header::CONTENT_TYPE, "application/gzip").body(file).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn unpacked(file: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A run with an output that does not fit into its event.
async fn with_large_output(serve: &Serve) -> String {
    let code = "print('small')\nresult = {'text': 'é' * 150_000, 'whole': 1.0, 'n': [1, None]}";
    let id = serve.run(&diagrams::python(code)).await;
    assert_eq!(serve.ended(&id).await["status"], "COMPLETED");
    id
}

async fn with_failure(serve: &Serve) -> String {
    let id =
        serve.run(&diagrams::bash("for n in $(seq 40); do echo line $n; echo warn >&2; done; exit 3")).await;
    serve.ended(&id).await;
    id
}

/// A run of another engine, with a part of its own, and things that only that engine knows.
async fn foreign(serve: &Serve) -> String {
    let (root, part) = ("moon:1", "moon:1.a");
    let event = |second: usize, kind: &str, execution: &str, data: Value| {
        let time = format!("2020-01-02T03:04:{second:02}.5");
        let mut event = json!({"type": kind, "execution_id": execution, "data": data, "timestamp": time, "spin": {"z": 1, "a": [null]}});
        if execution == part {
            event["parent_execution_id"] = json!(root);
            event["root_execution_id"] = json!(root);
        }
        event
    };
    let of_run = |second, execution, status: &str| {
        event(second, "EXECUTION_STATUS_CHANGED", execution, json!({ "status": status }))
    };
    let (status, opened) =
        serve.post("/api/v1/executions", &json!({"execution_id": root, "diagram_name": "Moon"})).await;
    assert_eq!(status, 201, "{opened}");
    let mut events = vec![of_run(0, root, "RUNNING"), of_run(1, part, "RUNNING")];
    for n in 2..30 {
        let execution = if n % 3 == 0 { part } else { root };
        let status = ["RUNNING", "ORBITING", "COMPLETED", "FAILED"][n % 4];
        let data = json!({"node_id": format!("crater {}", n % 4), "status": status, "depth": n});
        events.push(event(n, "NODE_STATUS_CHANGED", execution, data));
        events.push(event(n, "ORBITED", root, json!({"times": 1e-7})));
    }
    events.extend([of_run(40, part, "FAILED"), of_run(41, root, "COMPLETED")]);
    let (status, taken) = serve.post(&format!("/api/v1/executions/{root}/events"), &json!(events)).await;
    assert_eq!(status, 200, "{taken}");
    root.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_the_state_at_every_cursor_of_three_runs_is_the_fold_of_the_events_up_to_there() {
    let serve = Serve::start();
    let runs = [with_large_output(&serve).await, with_failure(&serve).await, foreign(&serve).await];
    for root in &runs {
        let events = stored(&serve, root, 1_000).await;
        let envelopes: Vec<_> =
            events.iter().map(|(_, event)| Envelope::decode(event.as_bytes()).unwrap()).collect();
        let mut executions: Vec<_> = envelopes.iter().map(|envelope| envelope.execution_id.clone()).collect();
        executions.sort();
        executions.dedup();
        assert!(events.len() > 5);
        for execution in executions {
            for (nth, (cursor, _)) in events.iter().enumerate() {
                let (status, mut body) =
                    serve.get(&format!("/api/v1/executions/{execution}/state?at={cursor}")).await;
                assert_eq!(status, 200, "{body}");
                assert_eq!(body["cursor"], *cursor);
                let fold = ExecutionState::fold(execution.clone(), &envelopes[..=nth]);
                let state = body.as_object_mut().unwrap();
                state.remove("cursor");
                state.remove("links");
                assert_eq!(body, serde_json::to_value(&fold).unwrap(), "{execution} at {cursor}");
            }
            let (_, mut now) = serve.get(&format!("/api/v1/executions/{execution}")).await;
            let (_, mut last) = serve
                .get(&format!("/api/v1/executions/{execution}/state?at={}", events.last().unwrap().0))
                .await;
            for body in [&mut now, &mut last] {
                body.as_object_mut().unwrap().retain(|key, _| key != "cursor" && key != "links");
            }
            assert_eq!(last, now);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_pages_of_any_size_are_the_stream() {
    let serve = Serve::start();
    let id = with_failure(&serve).await;
    let whole = stored(&serve, &id, 1_000).await;
    for limit in [1, 7] {
        assert_eq!(stored(&serve, &id, limit).await, whole);
    }
    let stream = serve.stream(&id, "", None).await.rest().await;
    let streamed: Vec<_> = stream.iter().filter(|frame| frame.is_event()).cloned().collect();
    let paged: Vec<_> = whole
        .iter()
        .map(|(cursor, event)| Frame {
            id: Some(cursor.clone()),
            data: Some(serde_json::from_str(event).unwrap()),
        })
        .collect();
    assert_eq!(paged, streamed);
    // A page leads into the stream.
    let (_, page) = serve.get(&format!("/api/v1/executions/{id}/events?limit=3")).await;
    let url = format!("{}{}", serve.url, page["links"]["stream"].as_str().unwrap());
    let rest = tests::sse::Sse::open(&url, None).await.rest().await;
    let rest: Vec<_> = rest.iter().filter(|frame| frame.is_event()).cloned().collect();
    assert_eq!(rest, streamed[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_install_takes_what_another_exported_and_has_the_same_runs() {
    let source = Serve::start();
    let mut target = Serve::start();
    let runs = [with_large_output(&source).await, with_failure(&source).await, foreign(&source).await];
    for id in &runs {
        let file = export(&source, id).await;
        let (status, body) = import(&target, file.clone()).await;
        assert_eq!(status, 201, "{body}");
        let (before, after) = (stored(&source, id, 100).await, stored(&target, id, 100).await);
        assert_eq!(without_cursors(&after), without_cursors(&before));
        assert_eq!(body["events"], before.len());
        assert_eq!(import(&target, file).await.0, 409);
    }
    // Outputs too, byte by byte.
    let (_, state) = source.get(&format!("/api/v1/executions/{}", runs[0])).await;
    let place = state["nodes"]
        .as_object()
        .unwrap()
        .values()
        .find_map(|node| node["output_ref"].as_str())
        .expect("an output beside its event");
    let output = async |serve: &Serve| {
        http().get(format!("{}{place}", serve.url)).send().await.unwrap().text().await.unwrap()
    };
    let before = output(&source).await;
    assert!(before.len() > 150_000 && before.contains("\"whole\":1.0"), "{} bytes", before.len());
    assert_eq!(output(&target).await, before);
    // And it stays.
    target.restart();
    for id in &runs {
        let (before, after) = (stored(&source, id, 1_000).await, stored(&target, id, 1_000).await);
        assert_eq!(without_cursors(&after), without_cursors(&before));
        // Exported again it is the same but for the hour, and for the digest of that.
        let lines = |file: &[u8]| {
            let text = unpacked(file);
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines[1..lines.len() - 1].to_vec()
        };
        assert_eq!(lines(&export(&target, id).await), lines(&export(&source, id).await));
    }
    assert_eq!(output(&target).await, before);
    let (_, list) = target.get("/api/v1/executions").await;
    assert_eq!(list["executions"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_an_imported_run_is_replayed_as_it_is() {
    let (source, target) = (Serve::start(), Serve::start());
    let id = source.run(&diagrams::python("for n in range(300): print(n)\nresult = 1")).await;
    source.ended(&id).await;
    assert_eq!(import(&target, export(&source, &id).await).await.0, 201);
    let whole = target.stream(&id, "", None).await.rest().await;
    for query in ["?speed=10", "?speed=10000", "?speed=10&types=EXECUTION_STATUS_CHANGED"] {
        let types = query.split_once('&').map_or(String::new(), |(_, types)| format!("?{types}"));
        let plain = target.stream(&id, &types, None).await.rest().await;
        let replay = target.stream(&id, query, None).await.rest().await;
        let events =
            |frames: &[Frame]| frames.iter().filter(|frame| frame.is_event()).cloned().collect::<Vec<_>>();
        assert_eq!(events(&replay), events(&plain), "{query}");
        assert_eq!(replay.last().unwrap().kind(), "STREAM_END");
    }
    // Cut in the middle, and resumed.
    let events: Vec<_> = whole.iter().filter(|frame| frame.is_event()).collect();
    let middle = events[events.len() / 2].id.as_deref();
    let rest = target.stream(&id, "?speed=10000", middle).await.rest().await;
    assert_eq!(seqs(&rest), seqs(&whole)[events.len() / 2 + 1..]);
    let last = events.last().unwrap().id.as_deref();
    assert_eq!(target.stream(&id, "?speed=10", last).await.status, 204);
    let begun = target.run(&diagrams::python("import time\ntime.sleep(60)")).await;
    assert_eq!(target.stream(&begun, "?speed=10", None).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn i15_a_broken_file_leaves_nothing_behind() {
    let (source, target) = (Serve::start(), Serve::with(&[("DIPEO_INGEST_MAX_IMPORT_BYTES", "4 MiB")]));
    let id = with_large_output(&source).await;
    let file = export(&source, &id).await;
    let text = unpacked(&file);
    let mut flipped = file.clone();
    flipped[file.len() * 2 / 3] ^= 0x20;
    let header = text.lines().next().unwrap();
    let event = json!({"type": "X", "execution_id": id, "timestamp": "2026-01-01T00:00:00Z", "data": "0".repeat(100_000)});
    let bomb = packed(format!("{header}\n{}", format!("{event}\n").repeat(1_000)).as_bytes());
    assert!(bomb.len() < 1_000_000);
    for (name, file, status) in [
        ("truncated", file[..file.len() / 2].to_vec(), 422),
        ("its end is missing", packed(&text.as_bytes()[..text.len() - 20]), 422),
        ("a flipped byte", flipped, 422),
        ("a changed text", packed(text.replacen("small", "smell", 1).as_bytes()), 422),
        ("foreign JSON", b"{\"hello\": \"world\"}\n".to_vec(), 422),
        ("a bomb", bomb, 413),
    ] {
        let (given, body) = import(&target, file).await;
        assert_eq!(given, status, "{name}: {body}");
        assert!(body["detail"].as_str().unwrap().ends_with("nothing was imported"), "{name}: {body}");
        assert_eq!(target.get(&format!("/api/v1/executions/{id}")).await.0, 404, "{name}");
    }
    assert_eq!(target.get("/api/v1/log").await.1["stats"]["runs"], 0);
    // None of them took the id.
    assert_eq!(import(&target, file).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_leaves_nothing_behind() {
    use tokio::{io::AsyncWriteExt, net::TcpStream};

    let (source, target) = (Serve::start(), Serve::start());
    let id = with_failure(&source).await;
    // Not packed, so that whole lines have been read when it is cut.
    let text = unpacked(&export(&source, &id).await);
    let address = target.url.strip_prefix("http://").unwrap();
    let mut upload = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/imports HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    upload.write_all(&text.as_bytes()[..text.len() / 2]).await.unwrap();
    // While it is under way, there is no second one.
    wait::until("the first lines to be read", async || {
        match import(&target, packed(format!("{}\n", text.lines().next().unwrap()).as_bytes())).await.0 {
            409 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(target.get(&format!("/api/v1/executions/{id}")).await.0, 404);
    drop(upload);
    wait::until("the cut import to be given up", async || {
        match import(&target, text.clone().into_bytes()).await.0 {
            201 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let (before, after) = (stored(&source, &id, 100).await, stored(&target, &id, 100).await);
    assert_eq!(without_cursors(&after), without_cursors(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_run_stays_and_a_removed_one_is_gone_everywhere() {
    let mut serve = Serve::with(&[("DIPEO_RETENTION_MAX_RUNS", "1")]);
    let id = serve.run(&diagrams::python("result = 1")).await;
    serve.ended(&id).await;
    let pin = format!("/api/v1/executions/{id}/pin");
    assert_eq!(call(&serve, Method::PUT, &pin).await, 204);
    serve.restart();
    let (_, list) = serve.get("/api/v1/executions").await;
    assert_eq!(list["executions"][0]["pinned"], true);
    for _ in 0..3 {
        let id = serve.run(&diagrams::python("result = 2")).await;
        serve.ended(&id).await;
    }
    wait::until("retention to take the others", async || {
        let (_, log) = serve.get("/api/v1/log").await;
        let runs = log["stats"]["runs"].as_u64().unwrap();
        if runs <= 2 { Ok(()) } else { Err(runs) }
    })
    .await;
    assert_eq!(serve.get(&format!("/api/v1/executions/{id}")).await.0, 200, "it is pinned");
    assert_eq!(call(&serve, Method::DELETE, &pin).await, 204);

    let cursor = stored(&serve, &id, 10).await[0].0.clone();
    assert_eq!(call(&serve, Method::DELETE, &format!("/api/v1/executions/{id}")).await, 204);
    gone_everywhere(&serve, &id, &cursor).await;
    serve.restart();
    gone_everywhere(&serve, &id, &cursor).await;
}

async fn gone_everywhere(serve: &Serve, id: &str, cursor: &str) {
    for (method, path) in [
        (Method::GET, format!("/api/v1/executions/{id}")),
        (Method::GET, format!("/api/v1/executions/{id}/events")),
        (Method::GET, format!("/api/v1/executions/{id}/events?from={cursor}")),
        (Method::GET, format!("/api/v1/executions/{id}/state?at={cursor}")),
        (Method::GET, format!("/api/v1/executions/{id}/outputs/1")),
        (Method::GET, format!("/api/v1/executions/{id}/export")),
        (Method::PUT, format!("/api/v1/executions/{id}/pin")),
        (Method::DELETE, format!("/api/v1/executions/{id}/pin")),
        (Method::DELETE, format!("/api/v1/executions/{id}")),
        (Method::GET, format!("/sse/executions/{id}")),
        (Method::GET, format!("/sse/unified/executions/{id}")),
        (Method::GET, format!("/sse/executions/{id}?speed=10")),
        (Method::GET, format!("/sse/unified/executions/{id}?from={cursor}")),
    ] {
        assert_eq!(call(serve, method.clone(), &path).await, 410, "{method} {path}");
    }
}

#[cfg(feature = "legacy")]
#[tokio::test(flavor = "multi_thread")]
async fn i11_a_run_of_the_legacy_path_has_the_same_past() {
    let serve = Serve::with(&[("DIPEO_USE_UNIFIED_MONITORING", "false")]);
    let id = serve.run(&diagrams::python("print('hello')\nresult = 1")).await;
    serve.ended(&id).await;
    let events = stored(&serve, &id, 1_000).await;
    let replay = serve.stream(&id, "?speed=1000", None).await.rest().await;
    let replayed: Vec<_> =
        replay.iter().filter(|frame| frame.is_event()).map(|frame| frame.id.clone()).collect();
    assert_eq!(replayed, events.iter().map(|(cursor, _)| Some(cursor.clone())).collect::<Vec<_>>());
    let target = Serve::start();
    assert_eq!(import(&target, export(&serve, &id).await).await.0, 201);
    let imported = stored(&target, &id, 1_000).await;
    assert_eq!(without_cursors(&imported), without_cursors(&events));
}
