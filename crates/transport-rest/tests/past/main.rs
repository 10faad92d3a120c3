//! Requests about the past, against a real log in memory.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

mod app;
mod events;
mod files;
