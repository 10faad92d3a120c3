//! Requests against an `Executions` and an `Ingest` that remember what they were asked.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

mod abort;
mod fake;
mod ingest;
mod lookups;
mod start;
