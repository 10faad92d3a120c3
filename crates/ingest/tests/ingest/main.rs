//! The service over a log in memory, whose moods a test chooses.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod appending;
mod lease;
mod opening;
mod world;
