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
//!
//! Every refusal is a [`Problem`] (RFC 9457) that names the place of the fault. [`RestApi`] and [`IngestApi`] know the
//! [`Executions`](core_events::ports::Executions) and [`Ingest`](core_events::ports::Ingest) ports and nothing behind them (I10).

mod api;
mod body;
mod fields;
mod ingest;
mod list;
mod path;
mod problem;
mod start;

pub use self::{
    api::{RestApi, RestOptions, method_not_allowed, not_found},
    body::{require_json, require_json_or_lines},
    ingest::IngestApi,
    problem::Problem,
};
