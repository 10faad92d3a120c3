//! Pages of other origins change nothing.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use transport_rest::Problem;

use super::{changes_state, host::named_host};

/// Origins whose pages may change state, besides our own.
#[derive(Debug, Clone)]
pub(crate) struct AllowedOrigins(Arc<[String]>);

// === impl AllowedOrigins ===

impl AllowedOrigins {
    pub(crate) fn new(configured: &[String]) -> Self {
        Self(configured.into())
    }

    /// Programs send no origin; browsers send one with everything that changes state or opens a WebSocket, and say how the
    /// page relates to us. A WebSocket needs no leave to be opened and read by any page, so that it counts as a change.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        if !changes_state(method) && !headers.contains_key(header::UPGRADE) {
            return Ok(());
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        if headers.contains_key(header::ORIGIN) {
            let host = named_host(headers)?.as_str().to_ascii_lowercase();
            let own = |origin: &str| {
                ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(&host))
            };
            // Where there are several, each has to be one of ours.
            let mut origins = headers.get_all(header::ORIGIN).iter().map(text);
            let foreign = origins.find(|origin| !own(origin) && !self.0.contains(origin));
            return foreign.map_or(Ok(()), |origin| Err(refusal(&origin)));
        }
        match headers.get("sec-fetch-site").map(text).as_deref() {
            None | Some("same-origin" | "none") => Ok(()),
            Some(site) => Err(refusal(site)),
        }
    }
}

pub(crate) async fn guard(State(allowed): State<AllowedOrigins>, request: Request, next: Next) -> Response {
    match allowed.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn refusal(origin: &str) -> Problem {
    let origin: String = origin.chars().take(200).collect();
    let detail = format!(
        "pages of another origin ({origin}) can't change anything here; `allowed_origins` in the configuration adds some"
    );
    Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_and_programs_change_state() {
        let allowed = AllowedOrigins::new(&["https://a.example.org".to_owned()]);
        for (origin, site, expected) in [
            (None, None, true),
            (None, Some("same-origin"), true),
            (None, Some("none"), true),
            (None, Some("same-site"), false),
            (None, Some("cross-site"), false),
            (Some("http://localhost:8000"), None, true),
            (Some("HTTP://LOCALHOST:8000"), Some("same-origin"), true),
            (Some("https://localhost:8000"), None, true),
            (Some("https://a.example.org"), Some("cross-site"), true),
            (Some("http://a.example.org"), None, false),
            (Some("http://localhost:3000"), None, false),
            (Some("http://localhost"), None, false),
            (Some("http://127.0.0.1:8000"), None, false),
            (Some("http://localhost:8000.evil.example.org"), None, false),
            (Some("null"), None, false),
            (Some(""), None, false),
            (Some("file://"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:8000".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            let result = allowed.check(&Method::POST, &headers);
            assert_eq!(result.is_ok(), expected, "{origin:?} {site:?}");
            assert!(allowed.check(&Method::GET, &headers).is_ok());
            headers.insert(header::UPGRADE, "websocket".parse().unwrap());
            assert_eq!(allowed.check(&Method::GET, &headers).is_ok(), expected, "{origin:?} {site:?}");
        }
    }

    #[test]
    fn a_second_origin_is_looked_at_too() {
        let allowed = AllowedOrigins::new(&[]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:8000".parse().unwrap());
        headers.append(header::ORIGIN, "http://localhost:8000".parse().unwrap());
        headers.append(header::ORIGIN, "http://evil.example.org".parse().unwrap());
        assert!(allowed.check(&Method::POST, &headers).is_err());
    }
}
