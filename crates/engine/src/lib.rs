//! Runs compiled diagrams and tells an observer what happens.
//!
//! [`Engine::run`] is one future that owns everything of a run: its nodes, their processes, their logs. It reports only
//! to an [`ExecutionObserver`](core_events::ports::ExecutionObserver), and knows of no transport (I10). Dropping it
//! stops the run at once, processes included, without a terminal callback; [`AbortHandle::abort`] stops it with one.
//!
//! - `schedule` decides which node may run when, and which never will.
//! - `nodes` has one file per node type.
//! - `process` runs programs: each in a group of its own that dies with its node, or with us.
//! - [`Expression`] is the language of conditions.

mod abort;
mod engine;
mod expression;
mod inputs;
mod nodes;
mod process;
mod reporter;
mod run;
mod schedule;

pub use abort::{AbortHandle, AbortSignal, abort_pair};
pub use engine::{Engine, EngineOptions, RunOutcome, RunRequest};
pub use expression::{Expression, ExpressionError};
