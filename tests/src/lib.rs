//! Shared pieces of the integration tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

pub mod browser;
pub mod diagrams;
pub mod dipeo;
pub mod disk;
pub mod interleaving;
pub mod parity;
pub mod serve;
pub mod sse;
pub mod wait;
