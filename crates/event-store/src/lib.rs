//! The durable log: an [`EventLog`](core_events::ports::EventLog) on SQLite.
