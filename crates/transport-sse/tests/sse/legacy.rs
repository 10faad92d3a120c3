use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use core_events::{
    End, EndReason, Gap, GapReason,
    ports::{Delivery, LookupError, Start, SubscribeError},
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;
use transport_sse::{SseMessageRouterAdapter, WINDOW_EVENTS, with_legacy};

use crate::fake::{FakeSource, StoppedClock, at, block, id, no_history};

struct Routes {
    legacy: FakeSource,
    unified: FakeSource,
    router: Router,
}

fn routes() -> Routes {
    let (legacy, unified) = (FakeSource::default(), FakeSource::default());
    let source = Arc::new(unified.clone());
    let adapter =
        SseMessageRouterAdapter::new(Arc::clone(&source) as _, source, no_history(), Arc::new(StoppedClock));
    let router = with_legacy(adapter.into_router(), Arc::new(legacy.clone()), Arc::new(StoppedClock));
    Routes { legacy, unified, router }
}

impl Routes {
    async fn send(&self, method: Method, path: &str) -> Response<Body> {
        let request = Request::builder().method(method).uri(path).header("last-event-id", "ab-5");
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.send(Method::GET, path).await
    }

    /// The whole stream of a run that ends for `reason` behind its second message.
    async fn stream(&self, reason: EndReason) -> String {
        self.legacy.script.push(block(1..=2));
        self.legacy.script.push(Delivery::End(End { reason, cursor: at(2) }));
        text(self.get("/sse/executions/exec_1").await).await
    }
}

async fn text(response: Response<Body>) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn next(response: &mut Response<Body>) -> String {
    let frame = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(frame.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn t1_begins_with_its_first_frame_and_ends_with_the_runs_last() {
    let routes = routes();
    insta::assert_snapshot!(routes.stream(EndReason::Completed).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_early_says_so_in_an_error_frame() {
    for reason in
        [EndReason::Slow, EndReason::Shutdown, EndReason::Moved, EndReason::Error, EndReason::Deleted]
    {
        let text = routes().stream(reason).await;
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let json: serde_json::Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["error"], "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_after_ten_seconds_of_silence() {
    let routes = routes();
    let begin = tokio::time::Instant::now();
    let mut response = routes.get("/sse/executions/exec_1").await;
    next(&mut response).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    for beat in 1..=2 {
        assert!(
            next(&mut response)
                .await
                .starts_with("data: {\"type\":\"HEARTBEAT\",\"execution_id\":\"exec_1\"")
        );
        assert_eq!(begin.elapsed(), Duration::from_secs(10 * beat));
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    routes.legacy.script.push(block(1..=1));
    assert!(next(&mut response).await.contains("\"seq\":1"));
    next(&mut response).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(34), "silence is counted from the last frame");
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told() {
    let routes = routes();
    let gap = Gap { from: at(1), to: at(4), reason: GapReason::Evicted, reset: false };
    routes.legacy.script.push(Delivery::Gap(gap));
    let text = routes.stream(EndReason::Completed).await;
    assert!(
        text.contains(
            "\"STREAM_GAP\",\"execution_id\":\"exec_1\",\"data\":{\"from\":\"ab-1\",\"to\":\"ab-4\""
        ),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn i4_no_more_is_asked_for_than_the_window_has_room_for() {
    let routes = routes();
    routes.legacy.script.push(block(1..=500));
    let mut response = routes.get("/sse/executions/exec_1").await;
    next(&mut response).await;
    let mut held = Vec::new();
    for _ in 0..WINDOW_EVENTS {
        held.push(response.body_mut().frame().await.unwrap().unwrap());
    }
    let more = tokio::time::timeout(Duration::from_secs(60), response.body_mut().frame());
    assert!(more.await.is_err(), "neither messages nor heartbeats past the window");
    drop(held);
    assert!(next(&mut response).await.contains("\"seq\":101"));
}

#[tokio::test]
async fn the_request_reaches_the_source_and_dropping_the_response_the_subscription() {
    let routes = routes();
    let response = routes.get("/sse/executions/exec_1?types=EXECUTION_LOG").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let [request] = routes.legacy.script.requests().try_into().unwrap();
    assert_eq!((request.execution, request.start), (Some(id("exec_1")), Start::After(at(5))));
    assert!(request.filter.types.is_some());
    assert!(routes.unified.script.requests().is_empty());
    let open = || routes.legacy.script.open.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(open(), 1);
    drop(response);
    assert_eq!(open(), 0);
}

#[tokio::test]
async fn what_the_legacy_path_does_not_know_goes_on_to_the_unified_one() {
    for error in [LookupError::Unknown(id("exec_1")), LookupError::Deleted(id("exec_1"))] {
        let routes = routes();
        routes.legacy.script.refuse(error.into());
        routes.unified.script.finish();
        assert_eq!(routes.get("/sse/executions/exec_1").await.status(), StatusCode::NO_CONTENT);
        assert_eq!(routes.unified.script.requests().len(), 1);
    }
}

#[tokio::test]
async fn other_routes_and_malformed_requests_never_reach_the_legacy_path() {
    let routes = routes();
    for (method, path, status) in [
        (Method::GET, "/sse/unified/executions/exec_1", 200),
        (Method::GET, "/sse/executions", 200),
        (Method::GET, "/sse/executions/exec_1?from=tomorrow", 400),
        (Method::GET, "/sse/executions/%FF", 400),
        (Method::POST, "/sse/executions/exec_1", 405),
        (Method::GET, "/sse/nothing", 404),
    ] {
        assert_eq!(routes.send(method, path).await.status(), status, "{path}");
    }
    assert!(routes.legacy.script.requests().is_empty());
}

#[tokio::test]
async fn the_legacy_path_refuses_before_the_stream_opens() {
    let routes = routes();
    routes.legacy.script.finish();
    assert_eq!(routes.get("/sse/executions/exec_1").await.status(), StatusCode::NO_CONTENT);
    for error in [SubscribeError::TooMany(5), SubscribeError::Closed(EndReason::Shutdown)] {
        routes.legacy.script.refuse(error);
        let response = routes.get("/sse/executions/exec_1").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    assert!(routes.unified.script.requests().is_empty());
}
