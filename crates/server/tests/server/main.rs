//! A server on a free port, and clients that speak plain TCP to it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod api;
mod connections;
mod drain;
mod graphql;
mod guards;
#[cfg(feature = "legacy")]
mod legacy;
mod logs;
mod page;
mod start;
mod support;
