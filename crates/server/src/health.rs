//! Whether the server lives, whether it takes work, and whether it keeps what it takes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use core_events::ports::{EventLog, LogProblem};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// Whether the server is on its way out. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(Arc<AtomicBool>);

// === impl Stopping ===

impl Stopping {
    /// From now on. Returns whether it was so already.
    pub(crate) fn begin(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What `/health/ready` looks at.
#[derive(Debug, Clone)]
struct Ready {
    stopping: Stopping,
    log: Arc<dyn EventLog>,
}

#[derive(Debug, Serialize)]
struct Answer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<LogProblem>,
}

/// `GET /health/live` is 200 as long as anybody answers. `GET /health/ready` is 503 while the server stops, and while the log
/// can't store: runs and readers go on then, but a restart would forget (the exception of I6).
pub(crate) fn routes(stopping: Stopping, log: Arc<dyn EventLog>) -> Router {
    Router::new()
        .route("/health/live", get(async || answer(StatusCode::OK, "live", None)))
        .route("/health/ready", get(ready))
        .with_state(Ready { stopping, log })
}

async fn ready(State(Ready { stopping, log }): State<Ready>) -> Response {
    if stopping.has_begun() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "stopping", None);
    }
    match log.health() {
        None => answer(StatusCode::OK, "ready", None),
        problem => answer(StatusCode::SERVICE_UNAVAILABLE, "degraded", problem),
    }
}

fn answer(code: StatusCode, status: &'static str, problem: Option<LogProblem>) -> Response {
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (code, [no_store], Json(Answer { status, problem })).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use core_events::{Timestamp, ports::LogProblemKind};
    use http::Request;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::testing::ToldLog;

    async fn ask(routes: &Router, path: &str) -> (StatusCode, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = routes.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_server_on_its_way_out_lives_and_takes_no_work() {
        let stopping = Stopping::default();
        let routes = routes(stopping.clone(), Arc::new(ToldLog::default()));
        assert_eq!(ask(&routes, "/health/ready").await, (StatusCode::OK, json!({"status": "ready"})));
        assert!(!stopping.begin());
        assert!(stopping.begin());
        let stopping = json!({"status": "stopping"});
        assert_eq!(ask(&routes, "/health/ready").await, (StatusCode::SERVICE_UNAVAILABLE, stopping));
        assert_eq!(ask(&routes, "/health/live").await, (StatusCode::OK, json!({"status": "live"})));
    }

    #[tokio::test]
    async fn a_log_that_cannot_store_is_told_until_it_can() {
        let log = Arc::new(ToldLog::default());
        let routes = routes(Stopping::default(), Arc::clone(&log) as _);
        let problem = LogProblem {
            kind: LogProblemKind::ReadOnly,
            detail: "attempt to write a readonly database".to_owned(),
            since: Timestamp::from_micros(0),
            waiting: 7,
            lost: 2,
        };
        *log.problem.lock() = Some(problem);
        let told = json!({
            "status": "degraded",
            "problem": {
                "kind": "read_only",
                "detail": "attempt to write a readonly database",
                "since": "1970-01-01T00:00:00.000000Z",
                "waiting": 7,
                "lost": 2,
            },
        });
        assert_eq!(ask(&routes, "/health/ready").await, (StatusCode::SERVICE_UNAVAILABLE, told));
        assert_eq!(ask(&routes, "/health/live").await.0, StatusCode::OK);
        *log.problem.lock() = None;
        assert_eq!(ask(&routes, "/health/ready").await.0, StatusCode::OK);
    }
}
