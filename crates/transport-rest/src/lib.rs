//! The JSON API: start, list, look up and abort executions.
//!
//! | | |
//! |---|---|
//! | `POST /api/v1/executions` | runs a diagram: `{diagram, name?, inputs?, timeout?, base_dir?}`; without `diagram`, opens a run for an outside engine: `{execution_id?, diagram_id?, diagram_name?}` |
//! | `POST /api/v1/executions/{id}/events` | takes the events of an outside engine: JSON lines, or a list |
//! | `GET /api/v1/executions?status&before&limit` | root runs, newest first |
//! | `GET /api/v1/executions/{id}` | the state of one, and the cursor up to which it goes |
//! | `GET /api/v1/executions/{id}/outputs/{seq}` | an output that was too large for its event |
//! | `POST /api/v1/executions/{id}/abort` | ends one: `{reason?}` |
//! | `GET /api/v1/executions/{id}/events?from&limit&types&nodes&executions` | its events, page by page, as JSON or as lines of JSON |
//! | `GET /api/v1/executions/{id}/state?at` | its state at a cursor |
//! | `DELETE /api/v1/executions/{id}` | removes one that has ended |
//! | `PUT`, `DELETE /api/v1/executions/{id}/pin` | excepts one from retention, or no longer |
//! | `GET /api/v1/executions/{id}/export` | all of it, in one file |
//! | `POST /api/v1/imports` | takes such a file |
//! | `GET /api/v1/log` | what the log holds, and what keeps it from storing |
//!
//! Every refusal is a [`Problem`] (RFC 9457) that names the place of the fault. [`RestApi`], [`IngestApi`] and [`HistoryApi`] know
//! ports ([`Executions`](core_events::ports::Executions), [`Ingest`](core_events::ports::Ingest),
//! [`History`](core_events::ports::History), [`Archive`](core_events::ports::Archive)) and nothing behind them (I10).

mod api;
mod archive;
mod body;
mod fields;
mod history;
mod ingest;
mod list;
mod path;
mod problem;
mod start;

pub use self::{
    api::{RestApi, RestOptions, method_not_allowed, not_found},
    body::{require_json, require_known_media},
    history::{HistoryApi, HistoryOptions, HistoryParts},
    ingest::IngestApi,
    problem::Problem,
};
