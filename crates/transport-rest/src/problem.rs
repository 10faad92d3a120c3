//! Refusals as problem+json (RFC 9457): the one place where errors become statuses.

use axum::response::{IntoResponse, Response};
use core_events::{
    ExecutionIdError,
    ports::{ControlError, LookupError, OutputError, ReadError, StartError},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

/// Seconds after which a client that was turned away for lack of room may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Why a request was refused.
///
/// On the wire `{"type", "title", "status", "detail", "errors"?}` with the media type `application/problem+json`; `type` is
/// `urn:dipeo:problem:<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    name: &'static str,
    detail: String,
    errors: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

// === impl Problem ===

impl Problem {
    /// A problem with one fault. `name` tells it apart for programs, `detail` tells a person what to do.
    #[must_use]
    pub fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// The same with each single fault, one text per fault with its place.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors;
        self
    }

    /// The same with one more header, for programs.
    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:dipeo:problem:{}", self.name),
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let (false, Some(body)) = (self.errors.is_empty(), body.as_object_mut()) {
            body.insert("errors".to_owned(), self.errors.into());
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        headers.extend(self.headers);
        response
    }
}

impl From<ExecutionIdError> for Problem {
    fn from(error: ExecutionIdError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-execution-id", error.to_string())
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        let (status, name) = match error {
            LookupError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown-execution"),
            LookupError::Deleted(_) => (StatusCode::GONE, "deleted-execution"),
            LookupError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "log-unavailable"),
        };
        Self::new(status, name, error.to_string())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let ReadError::Unavailable(_) = &error;
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "log-unavailable", error.to_string())
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let (status, name) = match &error {
            StartError::Diagram(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-diagram"),
            StartError::BaseDir(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-base-dir"),
            StartError::NoPath(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no-such-path"),
            StartError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            StartError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-executions"),
            StartError::Log(_) => (StatusCode::SERVICE_UNAVAILABLE, "log-unavailable"),
        };
        let problem = Self::new(status, name, error.to_string());
        match error {
            StartError::Diagram(faults) => problem.with_errors(faults),
            _ => problem,
        }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Lookup(error) => error.into(),
            ControlError::Ended(_) => Self::new(StatusCode::CONFLICT, "execution-ended", error.to_string()),
        }
    }
}

impl From<OutputError> for Problem {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Lookup(error) => error.into(),
            OutputError::None { .. } => Self::new(StatusCode::NOT_FOUND, "no-output", error.to_string()),
        }
    }
}
