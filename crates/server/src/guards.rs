//! What keeps other people's web pages out.
//!
//! A run executes code, so that even a server on loopback has to tell its own pages and programs from a page of anybody
//! that happens to be open in a browser on this machine:
//!
//! - [`host`]: a name that is not ours (DNS rebinding makes any name point here) is turned away, whatever it asks for;
//! - [`origin`]: a page of another origin can't change state, and opens no WebSocket;
//! - [`content_type`]: neither can a plain form. JSON makes a browser ask first, and the answer to that is no: there are
//!   no CORS headers anywhere, so that other pages can't read anything either.
//!
//! Bounds on heads are hyper's (431), those on bodies are where bodies are read (413).

pub(crate) mod content_type;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod origin;
pub(crate) mod sockets;

use http::Method;

/// Whether a request with this method may change something.
fn changes_state(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}
