//! Requests against an `Executions` that remembers what it was asked.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

mod abort;
mod fake;
mod lookups;
mod start;
