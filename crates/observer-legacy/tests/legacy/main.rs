//! What the legacy observers say, and to whom.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod calls;
mod frames;
mod interleavings;
mod publishing;
mod queues;
mod reader;
mod state_store;
mod traces;
