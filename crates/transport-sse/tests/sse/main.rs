//! Streams and requests against a source that says what the test tells it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod body;
mod connection;
mod fake;
#[cfg(feature = "legacy")]
mod legacy;
mod replay;
mod routes;
