//! Bounds, all of them configurable.

use std::{fmt, sync::Arc, time::Duration};

use ::http::{HeaderMap, header};

/// Whether the page or program that sent these headers may open a WebSocket.
///
/// Browsers let every page open a WebSocket to everywhere and only say whose page it is.
pub type OriginCheck = Arc<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// Bounds of the API.
#[derive(Clone)]
pub struct GraphqlOptions {
    /// The largest body of a request and the largest message on a WebSocket, in bytes.
    pub max_body_bytes: usize,
    /// The deepest nesting of selections.
    pub max_depth: usize,
    /// The most fields that one document may ask for.
    pub max_complexity: usize,
    /// Operations that one WebSocket may have under way.
    pub max_operations: usize,
    /// How long a WebSocket may take to send `connection_init`.
    pub init_timeout: Duration,
    /// How often a WebSocket is pinged; one that sent nothing between two pings is dropped.
    pub ping_interval: Duration,
    /// Who may open a WebSocket.
    pub origin: OriginCheck,
}

// === impl GraphqlOptions ===

impl Default for GraphqlOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 * 1024 * 1024,
            // The introspection query of GraphiQL has 15.
            max_depth: 20,
            max_complexity: 1_000,
            max_operations: 100,
            init_timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(12),
            origin: Arc::new(same_origin),
        }
    }
}

impl fmt::Debug for GraphqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphqlOptions")
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_depth", &self.max_depth)
            .field("max_complexity", &self.max_complexity)
            .field("max_operations", &self.max_operations)
            .field("init_timeout", &self.init_timeout)
            .field("ping_interval", &self.ping_interval)
            .finish_non_exhaustive()
    }
}

/// Programs, which send no `Origin`, and pages of the host that they talk to.
#[must_use]
pub fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.as_bytes().to_ascii_lowercase());
    let Some(origin) = text(header::ORIGIN) else {
        return true;
    };
    let Some(host) = text(header::HOST) else {
        return false;
    };
    [&b"http://"[..], b"https://"].iter().any(|scheme| origin.strip_prefix(*scheme) == Some(&host[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_same_host_and_programs_may_connect() {
        for (origin, expected) in [
            (None, true),
            (Some("http://localhost:8000"), true),
            (Some("HTTPS://LOCALHOST:8000"), true),
            (Some("http://localhost"), false),
            (Some("http://localhost:8000.evil.example.org"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:8000".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(same_origin(&headers), expected, "{origin:?}");
        }
    }
}
