//! Runs as an observer sees them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy does not take for tests"
)]

mod code_job;
mod failures;
mod flow;
mod stopping;
mod support;
