use std::sync::Arc;

use axum::{Router, body::Body};
use core_events::{
    End, EndReason, EventType, Filter,
    ports::{Delivery, LookupError, Start, SubscribeError},
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use transport_sse::SseMessageRouterAdapter;

use crate::fake::{FakeSource, StoppedClock, at, block, id, no_history};

struct Routes {
    run: FakeSource,
    unified: FakeSource,
    router: Router,
}

fn routes() -> Routes {
    let (run, unified) = (FakeSource::default(), FakeSource::default());
    let adapter = SseMessageRouterAdapter::new(
        Arc::new(run.clone()),
        Arc::new(unified.clone()),
        no_history(),
        Arc::new(StoppedClock),
    );
    Routes { run, unified, router: adapter.into_router() }
}

impl Routes {
    async fn send(&self, method: Method, path: &str, last_event_id: Option<&str>) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.send(Method::GET, path, None).await
    }
}

async fn problem(response: Response<Body>) -> Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let status = response.status();
    let body: Value =
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(body["status"], status.as_u16());
    body
}

#[tokio::test]
async fn each_route_asks_its_source() {
    let routes = routes();
    routes.get("/sse/executions/exec_1").await;
    routes.get("/sse/unified/executions/exec_2").await;
    routes.get("/sse/executions").await;
    let asked = |source: &FakeSource| -> Vec<_> {
        source.script.requests().into_iter().map(|r| (r.execution, r.start)).collect()
    };
    assert_eq!(asked(&routes.run), [(Some(id("exec_1")), Start::Beginning)]);
    assert_eq!(asked(&routes.unified), [(Some(id("exec_2")), Start::Beginning), (None, Start::Now)]);
}

#[tokio::test]
async fn the_request_reaches_the_source() {
    let routes = routes();
    let path = "/sse/executions/exec_1?types=EXECUTION_LOG&from=now";
    routes.send(Method::GET, path, Some("ab-5")).await;
    let [request] = routes.run.script.requests().try_into().unwrap();
    assert_eq!(request.start, Start::After(at(5)));
    let filter = Filter { types: Some([EventType::ExecutionLog].into()), ..Filter::default() };
    assert_eq!(request.filter, filter);
    assert_eq!(request.encoder.id(), "sse");
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_the_headers_that_keep_it_live() {
    let routes = routes();
    routes.run.script.push(block(1..=1));
    routes.run.script.push(Delivery::End(End { reason: EndReason::Completed, cursor: at(1) }));
    let response = routes.get("/sse/executions/exec_1").await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    let (retry, rest) = text.strip_prefix("retry: ").unwrap().split_once('\n').unwrap();
    assert!((1000..=2000).contains(&retry.parse::<u32>().unwrap()), "{retry}");
    assert!(
        rest.starts_with("data: {\"type\":\"CONNECTION_ESTABLISHED\",\"execution_id\":\"exec_1\""),
        "{rest}"
    );
}

#[tokio::test]
async fn i9_who_has_it_all_is_told_not_to_come_back() {
    let routes = routes();
    routes.run.script.finish();
    let response = routes.get("/sse/executions/exec_1").await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn refusals_come_before_the_stream() {
    let gone = LookupError::Deleted(id("exec_1"));
    for (error, status, retry) in [
        (LookupError::Unknown(id("exec_1")).into(), 404, false),
        (gone.into(), 410, false),
        (LookupError::Unavailable("disk".into()).into(), 503, true),
        (SubscribeError::TooMany(5), 503, true),
        (SubscribeError::Closed(EndReason::Shutdown), 503, true),
    ] {
        let routes = routes();
        let detail = error.to_string();
        routes.run.script.refuse(error);
        let response = routes.get("/sse/executions/exec_1").await;
        assert_eq!(response.status(), status, "{detail}");
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retry, "{detail}");
        assert_eq!(problem(response).await["detail"], detail);
    }
}

#[tokio::test]
async fn what_is_no_request_never_reaches_the_source() {
    let routes = routes();
    for (path, last_event_id, parameter) in [
        ("/sse/executions/exec_1?from=tomorrow", None, Some("from")),
        ("/sse/executions/exec_1?last_event_id=x", None, Some("last_event_id")),
        ("/sse/executions/exec_1?types=A,,B", None, Some("types")),
        ("/sse/executions?nodes=%FF", None, Some("nodes")),
        ("/sse/executions?wibble=1", None, Some("wibble")),
        ("/sse/unified/executions/exec_1", Some("nonsense"), Some("Last-Event-ID")),
        ("/sse/executions/exec%0A1", None, None),
        ("/sse/executions/a%20b", None, None),
        ("/sse/executions/%FF", None, None),
    ] {
        let response = routes.send(Method::GET, path, last_event_id).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        let problem = problem(response).await;
        assert_eq!(problem["parameter"].as_str(), parameter, "{path}");
    }
    assert!(routes.run.script.requests().is_empty());
    assert!(routes.unified.script.requests().is_empty());
}

#[tokio::test]
async fn only_get_and_head() {
    let routes = routes();
    let response = routes.send(Method::HEAD, "/sse/executions/exec_1", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(routes.run.script.open.load(std::sync::atomic::Ordering::SeqCst), 0);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let response = routes.send(method, "/sse/executions/exec_1", None).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(response.headers().contains_key(header::ALLOW));
    }
}
