//! Whether the server lives, and whether it takes work.

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
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

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

/// `GET /health/live` is 200 as long as anybody answers; `GET /health/ready` is 503 while the server stops.
pub(crate) fn routes(stopping: Stopping) -> Router {
    Router::new()
        .route("/health/live", get(async || answer(StatusCode::OK, "live")))
        .route("/health/ready", get(ready))
        .with_state(stopping)
}

async fn ready(State(stopping): State<Stopping>) -> Response {
    if stopping.has_begun() {
        answer(StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        answer(StatusCode::OK, "ready")
    }
}

fn answer(status: StatusCode, word: &str) -> Response {
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (status, [no_store], Json(json!({ "status": word }))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_server_on_its_way_out_lives_and_takes_no_work() {
        let stopping = Stopping::default();
        let status = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            routes(stopping.clone()).oneshot(request).await.unwrap().status()
        };
        assert_eq!(status("/health/ready").await, StatusCode::OK);
        assert!(!stopping.begin());
        assert!(stopping.begin());
        assert_eq!(status("/health/ready").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status("/health/live").await, StatusCode::OK);
    }
}
