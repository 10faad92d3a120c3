//! Only names that are ours.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, uri::Authority};
use transport_rest::Problem;

/// The address of ours that a connection came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalAddr(pub(crate) SocketAddr);

/// Names under which we may be reached.
#[derive(Debug, Clone)]
pub(crate) struct AllowedHosts {
    configured: Arc<[String]>,
}

// === impl AllowedHosts ===

impl AllowedHosts {
    /// `localhost` and the addresses themselves are always allowed.
    pub(crate) fn new(configured: &[String]) -> Self {
        Self { configured: configured.into() }
    }

    /// Whether a request for `authority` that came to `local` is meant for us.
    ///
    /// An address needs no configuration if it is the one that the connection came to: it can't be rebound.
    fn allows(&self, authority: &Authority, local: SocketAddr) -> bool {
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let port = authority.port_u16();
        let listed = self.configured.iter().any(|entry| match entry.parse::<Authority>() {
            Ok(entry) => entry.host() == host && (entry.port().is_none() || entry.port_u16() == port),
            Err(_) => false,
        });
        if listed {
            return true;
        }
        let ip = local.ip().to_canonical();
        let ours = host == "localhost"
            || (ip.is_loopback() && matches!(host.as_str(), "127.0.0.1" | "[::1]"))
            || host
                .trim_matches(['[', ']'])
                .parse()
                .is_ok_and(|host: std::net::IpAddr| host.to_canonical() == ip);
        ours && port.is_none_or(|port| port == local.port())
    }
}

pub(crate) async fn guard(State(allowed): State<AllowedHosts>, request: Request, next: Next) -> Response {
    match check(&allowed, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(allowed: &AllowedHosts, request: &Request) -> Result<(), Problem> {
    let named = named_host(request.headers())?;
    let Some(LocalAddr(local)) = request.extensions().get().copied() else {
        return Err(refusal("a connection without an address"));
    };
    // A target may name a host as well (`GET http://…`), and then that is what counts for proxies.
    for authority in [Some(&named), request.uri().authority()].into_iter().flatten() {
        if !is_plain(authority) || !allowed.allows(authority, local) {
            return Err(refusal(authority.as_str()));
        }
    }
    Ok(())
}

/// The host of the `Host` header.
pub(super) fn named_host(headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut values = headers.get_all(header::HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(malformed());
    };
    let authority: Authority = value.as_bytes().try_into().map_err(|_| malformed())?;
    if is_plain(&authority) { Ok(authority) } else { Err(malformed()) }
}

/// Whether it is a host, or a host and a port. A user's name before them would be taken for the host by some, and a port
/// that is no number for no port.
pub(crate) fn is_plain(authority: &Authority) -> bool {
    let host = authority.host();
    !host.is_empty()
        && match authority.as_str().strip_prefix(host) {
            Some(rest) => rest.is_empty() || authority.port_u16().is_some(),
            None => false,
        }
}

fn malformed() -> Problem {
    let detail = "a request has exactly one header `Host` with the name of this server";
    Problem::new(StatusCode::BAD_REQUEST, "invalid-host", detail)
}

fn refusal(host: &str) -> Problem {
    let detail = format!("{host} is no name of this server; `allowed_hosts` in its configuration adds names");
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign-host", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_those_of_loopback_of_the_connection_and_of_the_configuration() {
        let configured = ["monitor.example.org".to_owned(), "b:9000".to_owned()];
        let allowed = AllowedHosts::new(&configured);
        for (local, host, expected) in [
            ("127.0.0.1:8000", "localhost:8000", true),
            ("127.0.0.1:8000", "localhost", true),
            ("127.0.0.1:8000", "LOCALHOST.:8000", true),
            ("127.0.0.1:8000", "127.0.0.1:8000", true),
            ("127.0.0.1:8000", "[::1]:8000", true),
            ("[::1]:8000", "[::1]:8000", true),
            ("[::1]:8000", "127.0.0.1:8000", true),
            ("127.0.0.1:8000", "localhost:8001", false),
            ("127.0.0.1:8000", "127.0.0.1:80", false),
            ("127.0.0.1:8000", "evil.example.org", false),
            ("127.0.0.1:8000", "localhost.evil.example.org:8000", false),
            ("127.0.0.1:8000", "192.0.2.1:8000", false),
            ("192.0.2.1:8000", "192.0.2.1:8000", true),
            ("192.0.2.1:8000", "127.0.0.1:8000", false),
            ("[::ffff:192.0.2.1]:8000", "192.0.2.1:8000", true),
            ("127.0.0.1:8000", "monitor.example.org", true),
            ("127.0.0.1:8000", "monitor.example.org:443", true),
            ("127.0.0.1:8000", "x.monitor.example.org", false),
            ("127.0.0.1:8000", "b:9000", true),
            ("127.0.0.1:8000", "b:9001", false),
            ("127.0.0.1:8000", "b", false),
        ] {
            let authority: Authority = host.parse().unwrap();
            assert_eq!(allowed.allows(&authority, local.parse().unwrap()), expected, "{host} at {local}");
        }
    }

    #[test]
    fn one_plain_host_is_needed() {
        let headers = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            headers
        };
        for right in ["localhost:1", "localhost", "[::1]", "[::1]:1"] {
            assert!(named_host(&headers(&[right])).is_ok(), "{right}");
        }
        for wrong in [
            &[][..],
            &["a", "b"],
            &[""],
            &["a b"],
            &["user@localhost"],
            &["localhost@localhost"],
            &["localhost:"],
            &["localhost:99999"],
            &["localhost:x"],
            &["localhost:8000."],
            &["[::1]:x"],
            &["http://a"],
            &["a/b"],
        ] {
            assert!(named_host(&headers(wrong)).is_err(), "{wrong:?}");
        }
    }
}
