//! The log.

/// An [`EventLog`](core_events::ports::EventLog) on SQLite.
#[derive(Debug)]
pub struct SqliteLog {}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns it.
    #[error("another process uses the data directory")]
    Owned,
}
