//! Takes the events of outside engines, so that any engine can be watched.
//!
//! [`IngestRuns`] is the [`Ingest`](core_events::ports::Ingest) port over any [`EventLog`](core_events::ports::EventLog): it opens
//! runs, checks that what is posted belongs to them, has the log append it once, and ends runs whose producers fell silent.

mod batch;
mod closing;
mod ingest_runs;
mod lease;
mod survey;
mod table;

pub use self::ingest_runs::{IngestOptions, IngestRuns, SOURCE};
