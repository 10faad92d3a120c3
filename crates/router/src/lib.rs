//! Takes the events of all runs and hands them to whoever reads; and the log in memory.
//!
//! - [`MemoryLog`] gives every event its place, and holds as much of the past as its bounds allow.
//! - [`Router`] publishes into any `EventLog` and opens streams from it. It holds the *committed tail*, the records that were
//!   committed last, and *views*: encoded bytes of one (scope, filter, encoder), made once and shared by all readers (I3).
//! - A subscription is a position in the log (I4). It takes its bytes from its view; what the view lacks is made from the
//!   tail; what the tail lacks is read from the log. History and live are the same path, so there is no seam (I5).
//!
//! Readers do the work in their own polls; publishing only appends and wakes. Where many read the same, they are woken
//! together, a few milliseconds apart, by the one task in here; it sleeps while nothing happens.

mod flusher;
mod live;
mod memory_log;
mod progress;
mod reader;
mod router;
#[cfg(test)]
mod testing;
mod unstored;
mod view;
mod window;

pub use self::{
    memory_log::{MemoryLog, MemoryLogOptions},
    router::{Router, RouterOptions},
};
