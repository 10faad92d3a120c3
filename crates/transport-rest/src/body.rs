//! Reading a JSON body within bounds.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::Problem;

/// How long a client may take to send a body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`: one value per line.
    Lines,
}

const JSON: &str = "application/json";
pub(crate) const LINES: &str = "application/x-ndjson";
pub(crate) const GZIP: &str = "application/gzip";

/// Whether the body that `headers` announce is JSON.
///
/// A browser can send JSON to another origin only after asking (a preflight), which is refused: this keeps pages that are
/// not ours from starting runs.
///
/// # Errors
///
/// 415, naming what is expected. No error when there is no body.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    one_of(headers, &[JSON]).map(|_| ())
}

/// Whether the body that `headers` announce is of a kind that any route takes: JSON, lines of JSON or a packed file. A browser asks
/// first about each of them.
///
/// # Errors
///
/// As [`require_json`].
pub fn require_known_media(headers: &HeaderMap) -> Result<(), Problem> {
    one_of(headers, &[JSON, LINES, GZIP]).map(|_| ())
}

/// Which of `allowed` the body is; `None` when there is no body.
pub(crate) fn media(headers: &HeaderMap, allowed: &[Media]) -> Result<Option<Media>, Problem> {
    let names: Vec<_> = allowed.iter().map(|media| media.as_str()).collect();
    let name = one_of(headers, &names)?;
    Ok(name.and_then(|name| allowed.iter().copied().find(|media| media.as_str() == name)))
}

/// Which of the media types `allowed` the body has; `None` when there is no body.
pub(crate) fn one_of(headers: &HeaderMap, allowed: &[&'static str]) -> Result<Option<&'static str>, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let length = headers.get(header::CONTENT_LENGTH);
    let has_body = headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|l| l != "0");
    if content_type.is_none() && !has_body {
        return Ok(None);
    }
    let given = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let essence = given.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if let Some(name) = allowed.iter().find(|name| name.eq_ignore_ascii_case(essence)) {
        return Ok(Some(name));
    }
    let (allowed, given) = (allowed.join(" or "), given.as_deref().unwrap_or("missing"));
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        format!("the content type has to be {allowed}, this one is {given}"),
    ))
}

/// The JSON value of the body; `None` if the body is empty.
pub(crate) async fn read_json(request: Request<Body>, max_bytes: usize) -> Result<Option<Value>, Problem> {
    require_json(request.headers())?;
    let bytes = read(request, max_bytes).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-json", format!("the body is no JSON: {error}"))
    })
}

/// The whole body.
pub(crate) async fn read(request: Request<Body>, max_bytes: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!("a body has at most {max_bytes} bytes"),
        )
    };
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse().ok()).is_some_and(|length: u64| length > max_bytes as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), max_bytes).collect();
    match tokio::time::timeout(READ_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let detail = format!("the body could not be read: {error}");
            Err(Problem::new(StatusCode::BAD_REQUEST, "unreadable-body", detail))
        }
        Err(_) => {
            let detail = format!("the body did not come within {} s", READ_TIMEOUT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail))
        }
    }
}

// === impl Media ===

impl Media {
    fn as_str(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Lines => LINES,
        }
    }
}
