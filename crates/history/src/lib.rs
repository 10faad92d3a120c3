//! Looks into the log at any point of it, and carries whole runs in and out.
//!
//! - [`LogHistory`] reads pages of events and states of the past from any [`EventLog`](core_events::ports::EventLog).
//! - [`LogArchive`] takes runs that were exported elsewhere.

mod archive;
mod log_history;
#[cfg(test)]
mod testing;

pub use self::{archive::LogArchive, log_history::LogHistory};
