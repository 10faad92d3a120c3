//! Refusals before a stream opens, as problem+json (RFC 9457).

use axum::response::{IntoResponse, Response};
use core_events::{
    ExecutionId, ExecutionIdError,
    ports::{LookupError, SubscribeError},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::RequestError;

/// Seconds after which a client that was turned away may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Id(#[from] ExecutionIdError),
    #[error("the path is no valid text: {0}")]
    Path(String),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(
        "execution {0} is under way, and a replay is of one that has ended; leave out `speed` to follow it, or come back later"
    )]
    UnderWay(ExecutionId),
}

impl Refusal {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Request(_) => (StatusCode::BAD_REQUEST, "invalid-parameter"),
            Self::Id(_) | Self::Path(_) => (StatusCode::BAD_REQUEST, "invalid-execution-id"),
            Self::Subscribe(SubscribeError::Lookup(LookupError::Unknown(_))) => {
                (StatusCode::NOT_FOUND, "unknown-execution")
            }
            Self::Subscribe(SubscribeError::Lookup(LookupError::Deleted(_))) => {
                (StatusCode::GONE, "deleted-execution")
            }
            Self::Subscribe(SubscribeError::Lookup(LookupError::Unavailable(_))) => {
                (StatusCode::SERVICE_UNAVAILABLE, "log-unavailable")
            }
            Self::UnderWay(_) => (StatusCode::CONFLICT, "execution-running"),
            Self::Subscribe(SubscribeError::Closed(_)) => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
            Self::Subscribe(SubscribeError::TooMany(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "too-many-streams")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, name) = self.status();
        let mut body = json!({
            "type": format!("urn:dipeo:problem:{name}"),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        if let (Self::Request(error), Some(body)) = (&self, body.as_object_mut()) {
            body.insert("parameter".to_owned(), error.parameter().into());
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
