use serde_json::{Value, json};

use crate::app::{Answer, App, begin, end, line, node};

const EVENTS: &str = "/api/v1/executions/a/events";
const LINES: &str = "application/x-ndjson";

async fn three_runs() -> App {
    let app = App::new();
    app.append(vec![begin("a"), begin("b"), begin("a.x"), line("a.x", "hello"), end("a.x")]).await;
    app.append(vec![line("a", "{\"cursor\":1}"), node("a", "n", None), end("a")]).await;
    app
}

fn rows(answer: &Answer) -> Vec<Value> {
    let text = std::str::from_utf8(&answer.bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_page_has_the_events_as_they_are_each_with_its_cursor() {
    let app = three_runs().await;
    let answer = app.get(EVENTS).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        (&answer.headers["content-type"], &answer.headers["cache-control"]),
        (&"application/json".parse().unwrap(), &"no-store".parse().unwrap())
    );
    let text = answer.body.to_string().replace(app.log.epoch().as_str(), "epoch");
    insta::assert_json_snapshot!(serde_json::from_str::<Value>(&text).unwrap());
    // The same as lines.
    let lines = app.accepting(EVENTS, LINES).await;
    assert_eq!(lines.headers["content-type"], LINES);
    assert_eq!(rows(&lines), *answer.body["events"].as_array().unwrap());
    assert!(lines.bytes.starts_with(format!("{{\"cursor\":\"{}\",\"type\":", app.at(1)).as_bytes()));
    assert!(lines.headers.get("link").is_none(), "behind the end there is nothing to ask for");
    assert_eq!(app.accepting(EVENTS, "text/html").await.status, 406);
    let head = app.call("HEAD", EVENTS).await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
}

#[tokio::test]
async fn i7_pages_lead_from_one_to_the_next_in_either_form() {
    let app = three_runs().await;
    let whole = app.get(EVENTS).await.body["events"].clone();
    for limit in [1, 2, 3, 7] {
        let (mut path, mut events) = (format!("{EVENTS}?limit={limit}"), Vec::new());
        loop {
            let page = app.get(&path).await.body;
            events.extend(page["events"].as_array().unwrap().clone());
            let Some(next) = page["links"]["next"].as_str() else {
                assert_eq!(page["ended"], true);
                break;
            };
            assert_eq!(
                page["links"]["stream"],
                format!("/sse/unified/executions/a?from={}", page["next"].as_str().unwrap())
            );
            next.clone_into(&mut path);
        }
        assert_eq!(json!(events), whole);
        let (mut path, mut events) = (format!("{EVENTS}?limit={limit}"), Vec::new());
        loop {
            let page = app.accepting(&path, LINES).await;
            events.extend(rows(&page));
            let Some(link) = page.headers.get("link") else { break };
            let link = link.to_str().unwrap();
            path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
        assert_eq!(json!(events), whole);
    }
}

#[tokio::test]
async fn filters_and_starts_are_honoured() {
    let app = three_runs().await;
    let count = async |query: &str| {
        let answer = app.get(&format!("{EVENTS}?{query}")).await;
        answer.body["events"].as_array().unwrap_or_else(|| panic!("{query}: {}", answer.body)).len()
    };
    assert_eq!(count("types=EXECUTION_LOG").await, 2);
    assert_eq!(count("types=EXECUTION_LOG,NODE_STATUS_CHANGED&limit=1000").await, 3);
    assert_eq!(count("executions=a.x").await, 3);
    assert_eq!(count("nodes=n").await, 1);
    assert_eq!(count("nodes=n%2Cm").await, 0);
    assert_eq!(count("from=start").await, 7);
    assert_eq!(count("from=now").await, 0);
    assert_eq!(count(&format!("from={}", app.at(4))).await, 4);
    let of_sub = app.get("/api/v1/executions/a.x/events").await;
    assert_eq!(of_sub.body["events"].as_array().unwrap().len(), 3);
    // Two thousand bytes are the most of a page here.
    app.append((0..50).map(|_| line("b", &"l".repeat(300))).collect()).await;
    assert!(
        (1..6)
            .contains(&app.get("/api/v1/executions/b/events").await.body["events"].as_array().unwrap().len())
    );
}

#[tokio::test]
async fn i4_a_gap_is_told_in_either_form() {
    let app = App::keeping(3);
    app.append(vec![begin("a"), line("a", "1"), line("a", "2"), line("a", "3"), line("a", "4")]).await;
    let gap = json!({"from": app.at(0), "to": app.at(2), "reason": "evicted", "reset": false});
    let answer = app.get(EVENTS).await;
    assert_eq!(answer.body["gap"], gap);
    assert_eq!(answer.body["ended"], false);
    let lines = rows(&app.accepting(EVENTS, LINES).await);
    assert_eq!(
        (&lines[0]["type"], &lines[0]["data"], &lines[0]["cursor"]),
        (&json!("STREAM_GAP"), &gap, &Value::Null)
    );
    assert_eq!(lines.len(), 4);
    let state = app.get(&format!("/api/v1/executions/a/state?at={}", app.at(3))).await;
    assert_eq!((state.status.as_u16(), state.problem().0), (410, "incomplete-execution"));
}

#[tokio::test]
async fn a_state_of_the_past_looks_like_one_of_the_present() {
    let app = three_runs().await;
    let state =
        async |offset| app.get(&format!("/api/v1/executions/a/state?at={}", app.at(offset))).await.body;
    assert_eq!(state(0).await["status"], "PENDING");
    let body = state(6).await;
    assert_eq!(
        (&body["status"], &body["log_lines"], &body["last_seq"]),
        (&json!("RUNNING"), &json!(1), &json!(5))
    );
    assert_eq!(body["cursor"], json!(app.at(6)));
    assert_eq!(body["links"]["resume"], format!("/sse/unified/executions/a?from={}", app.at(6)));
    assert_eq!(state(8).await["status"], "COMPLETED");
}

#[tokio::test]
async fn i15_what_is_wrong_is_named() {
    let app = three_runs().await;
    let future = format!("from={}", app.at(99));
    for (query, status, part) in [
        ("limit=0", 400, "`limit`: a number from 1 to 1000"),
        ("limit=1001", 400, "`limit`"),
        ("from=x", 400, "`from`: `start`, `now` or a cursor"),
        ("types=a,,b", 400, "`types`"),
        ("executions=%20", 400, "`executions`"),
        ("nodes=%ff", 400, "`nodes`: it is not UTF-8"),
        ("nodes=%f", 400, "`nodes`"),
        ("type=x", 400, "did you mean `types`?"),
        ("from=other-1", 409, "another life of the log"),
        (&future, 409, "behind the end of the log"),
    ] {
        let answer = app.get(&format!("{EVENTS}?{query}")).await;
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.problem().1.contains(part), "{}", answer.body);
    }
    for (path, status) in [
        ("/api/v1/executions/a/state", 400),
        ("/api/v1/executions/a/state?at=x", 400),
        ("/api/v1/executions/a/state?to=ab-1", 400),
        ("/api/v1/executions/a/state?at=other-1", 409),
        ("/api/v1/executions/zzz/state?at=other-1", 404),
        ("/api/v1/executions/zzz/events", 404),
        ("/api/v1/executions/zzz/export", 404),
        ("/api/v1/executions/%20/events", 400),
    ] {
        assert_eq!(app.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn runs_are_pinned_and_removed() {
    let app = three_runs().await;
    assert_eq!(app.call("PUT", "/api/v1/executions/a/pin").await.status, 204);
    assert_eq!(app.get("/api/v1/log").await.body["stats"]["pinned"], 1);
    assert_eq!(app.call("DELETE", "/api/v1/executions/a/pin").await.status, 204);
    let log = app.get("/api/v1/log").await.body;
    assert_eq!(
        (&log["stats"]["pinned"], &log["stats"]["runs"], &log["health"]),
        (&json!(0), &json!(2), &Value::Null)
    );
    for (path, problem) in [("b", "execution-running"), ("a.x", "not-a-root")] {
        let answer = app.call("DELETE", &format!("/api/v1/executions/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.problem().0), (409, problem));
    }
    assert_eq!(app.call("DELETE", "/api/v1/executions/a").await.status, 204);
    let at = format!("state?at={}", app.at(1));
    for (method, path) in [
        ("GET", "/events"),
        ("GET", &format!("/{at}")),
        ("GET", "/export"),
        ("PUT", "/pin"),
        ("DELETE", "/pin"),
        ("DELETE", ""),
    ] {
        assert_eq!(
            app.call(method, &format!("/api/v1/executions/a{path}")).await.status,
            410,
            "{method} {path}"
        );
    }
    assert_eq!(app.call("PUT", "/api/v1/executions/zzz/pin").await.status, 404);
}
