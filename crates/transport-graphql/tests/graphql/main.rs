//! `/graphql` from outside, over ports that a test plays.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod executions;
mod fake;
mod http;
#[cfg(feature = "legacy")]
mod legacy;
mod schema;
mod socket;
mod updates;
mod ws;
