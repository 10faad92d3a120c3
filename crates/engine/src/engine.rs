//! The engine as its users see it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use core_events::{
    ExecutionId, ExecutionStatus, NodeId, limits,
    ports::{Clock, ExecutionObserver},
};
use diagram::ExecutableDiagram;
use serde_json::{Map, Value};

use crate::{abort::AbortSignal, process::Guardian, run};

/// Runs diagrams. Clones share one guardian, the helper process that outlives us to end what we started.
#[derive(Debug, Clone)]
pub struct Engine {
    options: EngineOptions,
    guardian: Arc<Guardian>,
}

/// What an engine may use.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How many nodes of one run may be at work at once; at least 1.
    pub max_parallel_nodes: usize,
    /// How many values may wait on one edge; with more, the run fails. At least 1.
    pub max_waiting_values: usize,
    /// How many bytes of log lines one run of a node may write; then one LOG_TRUNCATED, and no more.
    pub max_node_log_bytes: usize,
}

/// What to run, and who watches.
#[derive(Debug)]
pub struct RunRequest {
    /// The run's id.
    pub execution: ExecutionId,
    /// The execution that starts it, on sub-runs.
    pub parent: Option<ExecutionId>,
    /// The execution at the top; equal to `execution` on root runs.
    pub root: ExecutionId,
    /// The graph.
    pub diagram: Arc<ExecutableDiagram>,
    /// The execution's variables: what a start node hands on, and the globals of conditions and code.
    pub variables: Map<String, Value>,
    /// Where relative paths start, and where programs run.
    pub base_dir: PathBuf,
    /// Stops the run after this time.
    pub timeout: Option<Duration>,
    /// Stops the run when it is given.
    pub abort: AbortSignal,
    /// Is told everything.
    pub observer: Arc<dyn ExecutionObserver>,
    /// Dates everything.
    pub clock: Arc<dyn Clock>,
}

/// How a run ended; what its terminal callback said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// COMPLETED, FAILED or ABORTED.
    pub status: ExecutionStatus,
    /// The nodes that ever FAILED and do not say `on_error: continue`, in the order in which they first did.
    pub failed_nodes: Vec<NodeId>,
    /// Why it FAILED, for a person.
    pub error: Option<String>,
    /// Why it FAILED, for a program (`timeout`, `deadlock`, `node_failed`, `edge_overflow`); or why it was ABORTED.
    pub reason: Option<String>,
}

// === impl EngineOptions ===

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_parallel_nodes: 20,
            max_waiting_values: 1_000,
            max_node_log_bytes: limits::MAX_NODE_LOG_BYTES,
        }
    }
}

// === impl Engine ===

impl Engine {
    /// An engine. It starts its guardian with the first program that a node runs.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self { options, guardian: Arc::new(Guardian::default()) }
    }

    /// Runs a diagram to its end. Needs a Tokio runtime with I/O and time.
    ///
    /// # Ordering
    ///
    /// Callbacks come one at a time, `step` ascending from 1; the first is `on_execution_start`, the last exactly one of
    /// `on_execution_complete`, `on_execution_error`, `on_execution_aborted` (I9). A node's log lines come between its
    /// start and its end; every node that never ran is skipped before the last callback.
    ///
    /// # Closing
    ///
    /// An abort, the time limit, or a node that says `on_error: fail` stops the nodes that still run; their processes
    /// are gone before the last callback. Dropping the future stops everything at once, without a callback.
    pub async fn run(&self, request: RunRequest) -> RunOutcome {
        // The state of a run is large; its caller need not carry it on its stack.
        Box::pin(run::run(&self.options, Arc::clone(&self.guardian), request)).await
    }
}
