//! One run from its first callback to its last.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    path::Path,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use core_events::{
    ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionStart, ExecutionStatus, NodeComplete,
    NodeError, NodeId, NodeRef, NodeSkipped, NodeStart, NodeStatus, Timestamp,
};
use diagram::{ExecutableDiagram, NodeIndex, OnError};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};
use tracing::Instrument as _;

use crate::{
    abort::AbortSignal,
    engine::{EngineOptions, RunOutcome, RunRequest},
    inputs::{self, Inputs},
    nodes::{Conditions, Execution, Work},
    process::{Groups, Guardian},
    reporter::{NodeLog, Reporter},
    schedule::{Exit, Overflow, Schedule, Started, branches},
};

/// How many nodes an error names before it only counts them.
const MAX_NAMED: usize = 10;

/// What a node's work came to: its output and exit, or why it failed.
pub(crate) type Outcome = Result<(Value, Exit), String>;

/// A run under way.
struct Run {
    diagram: Arc<ExecutableDiagram>,
    reporter: Arc<Reporter>,
    schedule: Schedule,
    conditions: Conditions,
    variables: Arc<Map<String, Value>>,
    base_dir: Arc<Path>,
    max_parallel: usize,
    max_log_bytes: usize,
    guardian: Arc<Guardian>,
    groups: Groups,
    /// The nodes at work, in the order in which they started.
    at_work: IndexMap<NodeIndex, AtWork>,
    /// Their work. Everything that waits must poll it too ([`Run::meanwhile`]): a node that waits for its turn to log
    /// would otherwise never get it, and hold up whoever waits behind it.
    working: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Work that ended while something else was waited for.
    done: VecDeque<Done>,
    failed: IndexSet<NodeId>,
}

#[derive(Debug, Clone, Copy)]
struct AtWork {
    iteration: u32,
    started_at: Timestamp,
}

struct Done {
    node: NodeIndex,
    outcome: Outcome,
}

/// Why a run ends before its time.
enum Stop {
    Failed { reason: &'static str, error: String, node: Option<NodeId> },
    Aborted(Arc<str>),
}

pub(crate) async fn run(options: &EngineOptions, guardian: Arc<Guardian>, request: RunRequest) -> RunOutcome {
    let RunRequest { execution, parent, root, diagram, variables, base_dir, timeout, abort, observer, clock } =
        request;
    let reporter = Reporter { execution, parent, root, observer, clock, step: Mutex::new(0) };
    let run = Run {
        schedule: Schedule::new(Arc::clone(&diagram), options.max_waiting_values.max(1)),
        conditions: Conditions::default(),
        diagram,
        reporter: Arc::new(reporter),
        variables: Arc::new(variables),
        base_dir: base_dir.into(),
        max_parallel: options.max_parallel_nodes.max(1),
        max_log_bytes: options.max_node_log_bytes,
        guardian,
        groups: Groups::default(),
        at_work: IndexMap::new(),
        working: FuturesUnordered::new(),
        done: VecDeque::new(),
        failed: IndexSet::new(),
    };
    run.drive(timeout, abort).await
}

// === impl Run ===

impl Run {
    async fn drive(mut self, timeout: Option<Duration>, abort: AbortSignal) -> RunOutcome {
        let start = ExecutionStart {
            diagram_id: self.diagram.id().map(str::to_owned),
            diagram_name: self.diagram.name().map(str::to_owned),
        };
        {
            let turn = self.reporter.turn().await;
            turn.observer.on_execution_start(&turn.cx, &start).await;
        }
        match self.work(timeout, abort).await {
            Ok(()) => self.complete().await,
            Err(stop) => self.stop(stop).await,
        }
    }

    /// Runs nodes until none is left.
    async fn work(&mut self, timeout: Option<Duration>, mut abort: AbortSignal) -> Result<(), Stop> {
        let deadline =
            timeout.and_then(|timeout| Instant::now().checked_add(timeout).map(|at| (at, timeout)));
        self.report_skipped().await;
        loop {
            if let Some(reason) = abort.given() {
                return Err(Stop::Aborted(reason));
            }
            if let Some((at, limit)) = deadline
                && Instant::now() >= at
            {
                return Err(timed_out(limit));
            }
            if self.at_work.len() < self.max_parallel
                && let Some(started) = self.schedule.start_next()
            {
                self.start(started).await?;
                // A loop of nodes that never wait must not keep others waiting: nodes at work, or other tasks.
                self.poll_working().await;
                tokio::task::consume_budget().await;
            } else if self.done.is_empty() {
                if self.at_work.is_empty() {
                    return self.deadlock();
                }
                tokio::select! {
                    biased;
                    reason = abort.wait() => return Err(Stop::Aborted(reason)),
                    () = passed(deadline) => continue,
                    Some(done) = self.working.next() => self.done.push_back(done),
                }
            }
            while let Some(Done { node, outcome }) = self.done.pop_front() {
                self.end(node, outcome).await?;
            }
        }
    }

    /// Begins a run of a node, and ends it if its work needs no waiting.
    async fn start(&mut self, started: Started) -> Result<(), Stop> {
        let Started { node: index, iteration, values } = started;
        let diagram = Arc::clone(&self.diagram);
        let Some(node) = diagram.node(index) else { return Ok(()) };
        let mut inputs = Inputs::new();
        for (edge, value) in values {
            if let Some(edge) = diagram.edge(edge) {
                inputs.insert(edge.input_name().to_owned(), value);
            }
        }
        let start = NodeStart { node: self.node_ref(index), iteration };
        let reporter = Arc::clone(&self.reporter);
        let report = async {
            let turn = reporter.turn().await;
            turn.observer.on_node_start(&turn.cx, &start).await;
            turn.cx.time
        };
        let started_at = self.meanwhile(report).await;
        self.at_work.insert(index, AtWork { iteration, started_at });

        let log = NodeLog::new(Arc::clone(&self.reporter), node.id.clone(), self.max_log_bytes);
        // Whatever is logged in here belongs to this node.
        let span = tracing::info_span!("node", execution = %self.reporter.execution, node = %node.id);
        let work = span.in_scope(|| {
            crate::nodes::begin(Execution {
                node,
                index,
                iteration,
                inputs,
                schedule: &self.schedule,
                conditions: &mut self.conditions,
                variables: &mut self.variables,
                base_dir: &self.base_dir,
                guardian: &self.guardian,
                groups: &self.groups,
                log,
            })
        });
        match work {
            Work::Done(outcome) => self.end(index, outcome).await,
            Work::Waits(future) => {
                let work = future.instrument(span).map(move |outcome| Done { node: index, outcome });
                self.working.push(work.boxed());
                Ok(())
            }
        }
    }

    /// Ends a run of a node: reports it, hands on its output, and skips what that leaves unreachable.
    async fn end(&mut self, index: NodeIndex, outcome: Outcome) -> Result<(), Stop> {
        let diagram = Arc::clone(&self.diagram);
        let (Some(node), Some(at_work)) = (diagram.node(index), self.at_work.shift_remove(&index)) else {
            return Ok(());
        };
        let AtWork { iteration, started_at } = at_work;
        let outcome = outcome.and_then(|(value, exit)| Ok((inputs::checked(value)?, exit)));
        let reporter = Arc::clone(&self.reporter);
        let (value, exit) = match outcome {
            Ok((output, exit)) => {
                let value = inputs::delivered(&output.value);
                let complete = NodeComplete {
                    node: self.node_ref(index),
                    iteration,
                    status: NodeStatus::Completed,
                    output,
                    started_at,
                    token_usage: None,
                };
                self.meanwhile(async {
                    let turn = reporter.turn().await;
                    turn.observer.on_node_complete(&turn.cx, &complete).await;
                })
                .await;
                (value, exit)
            }
            Err(message) => {
                let tolerated = node.on_error == OnError::Continue;
                if !tolerated {
                    self.failed.insert(node.id.clone());
                }
                let error = NodeError {
                    node: self.node_ref(index),
                    iteration,
                    error: message,
                    tolerated,
                    started_at,
                };
                self.meanwhile(async {
                    let turn = reporter.turn().await;
                    turn.observer.on_node_error(&turn.cx, &error).await;
                })
                .await;
                if node.on_error == OnError::Fail {
                    return Err(Stop::Failed {
                        reason: "node_failed",
                        error: format!("`{}` failed: {}", node.label, error.error),
                        node: Some(node.id.clone()),
                    });
                }
                let exit = if branches(&node.kind) { Exit::Branch(false) } else { Exit::Default };
                (Arc::new(Value::String(error.error)), exit)
            }
        };
        self.schedule.end(index, exit, &value).map_err(|overflow| self.overflow(overflow))?;
        self.report_skipped().await;
        Ok(())
    }

    /// Nothing runs and nothing is ready: the run is complete, or it is stuck.
    fn deadlock(&self) -> Result<(), Stop> {
        let blocked = self.schedule.blocked();
        if blocked.is_empty() {
            return Ok(());
        }
        let named = blocked.iter().take(MAX_NAMED).map(|blocked| {
            let sources = blocked.waits_for.iter().take(MAX_NAMED).map(|&source| self.quoted(source));
            let more = blocked.waits_for.len().saturating_sub(MAX_NAMED);
            format!("{} waits for {}{}", self.quoted(blocked.node), list(sources), and_more(more))
        });
        let more = and_more(blocked.len().saturating_sub(MAX_NAMED));
        let error = format!("the run is stuck: {}{more}", named.collect::<Vec<_>>().join("; "));
        Err(Stop::Failed { reason: "deadlock", error, node: None })
    }

    fn overflow(&self, overflow: Overflow) -> Stop {
        let (error, node) = match self.diagram.edge(overflow.edge) {
            Some(edge) => {
                let (from, to) = (self.quoted(edge.source), self.quoted(edge.target));
                let text = format!(
                    "too many values wait on `{}` from {from} to {to}, which has not taken them",
                    edge.id
                );
                (text, self.diagram.node(edge.target).map(|node| node.id.clone()))
            }
            None => ("too many values wait on an edge".to_owned(), None),
        };
        Stop::Failed { reason: "edge_overflow", error, node }
    }

    async fn complete(mut self) -> RunOutcome {
        self.report_never_started().await;
        let complete = ExecutionComplete { failed_nodes: self.failed.iter().cloned().collect() };
        let turn = self.reporter.turn().await;
        turn.observer.on_execution_complete(&turn.cx, &complete).await;
        let status = ExecutionStatus::Completed;
        RunOutcome { status, failed_nodes: complete.failed_nodes, error: None, reason: None }
    }

    /// Stops what still runs, and reports why.
    async fn stop(mut self, stop: Stop) -> RunOutcome {
        let at_work = std::mem::take(&mut self.at_work);
        let stopped: Vec<NodeStart> = at_work
            .into_iter()
            .map(|(node, AtWork { iteration, .. })| NodeStart { node: self.node_ref(node), iteration })
            .collect();
        // Dropping the work kills its processes; nothing may be reported before they are gone.
        let groups = self.groups.snapshot();
        self.working.clear();
        self.done.clear();
        groups.gone().await;
        self.report_never_started().await;

        let failed_nodes = self.failed.into_iter().collect();
        let turn = self.reporter.turn().await;
        match stop {
            Stop::Failed { reason, error, node } => {
                let failure =
                    ExecutionFailure { error, reason: reason.to_owned(), node, stopped, failed_nodes };
                turn.observer.on_execution_error(&turn.cx, &failure).await;
                RunOutcome {
                    status: ExecutionStatus::Failed,
                    failed_nodes: failure.failed_nodes,
                    error: Some(failure.error),
                    reason: Some(failure.reason),
                }
            }
            Stop::Aborted(reason) => {
                let aborted = ExecutionAborted { reason: reason.as_ref().to_owned(), stopped, failed_nodes };
                turn.observer.on_execution_aborted(&turn.cx, &aborted).await;
                RunOutcome {
                    status: ExecutionStatus::Aborted,
                    failed_nodes: aborted.failed_nodes,
                    error: None,
                    reason: Some(aborted.reason),
                }
            }
        }
    }

    async fn report_skipped(&mut self) {
        let skipped = self.schedule.take_skipped();
        if !skipped.is_empty() {
            self.report_skips(skipped).await;
        }
    }

    async fn report_never_started(&mut self) {
        let mut nodes = self.schedule.take_skipped();
        nodes.extend(self.schedule.never_started());
        nodes.sort_unstable();
        self.report_skips(nodes).await;
    }

    async fn report_skips(&mut self, nodes: Vec<NodeIndex>) {
        let reporter = Arc::clone(&self.reporter);
        let skipped: Vec<_> =
            nodes.into_iter().map(|node| NodeSkipped { node: self.node_ref(node) }).collect();
        let report = async {
            for skipped in &skipped {
                let turn = reporter.turn().await;
                turn.observer.on_node_skipped(&turn.cx, skipped).await;
            }
        };
        self.meanwhile(report).await;
    }

    /// Waits for `future` while the nodes at work go on.
    async fn meanwhile<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                Some(done) = self.working.next() => self.done.push_back(done),
            }
        }
    }

    /// Gives the nodes at work a chance to go on, without waiting.
    async fn poll_working(&mut self) {
        if self.working.is_empty() {
            return;
        }
        let (working, done) = (&mut self.working, &mut self.done);
        poll_fn(|cx| {
            while let Poll::Ready(Some(ended)) = working.poll_next_unpin(cx) {
                done.push_back(ended);
            }
            Poll::Ready(())
        })
        .await;
    }

    fn node_ref(&self, index: NodeIndex) -> NodeRef {
        match self.diagram.node(index) {
            Some(node) => {
                NodeRef { id: node.id.clone(), node_type: node.node_type.clone(), label: node.label.clone() }
            }
            None => NodeRef { id: "".into(), node_type: "".into(), label: String::new() },
        }
    }

    fn quoted(&self, index: NodeIndex) -> String {
        self.diagram.node(index).map_or_else(String::new, |node| format!("`{}`", node.label))
    }
}

async fn passed(deadline: Option<(Instant, Duration)>) {
    match deadline {
        Some((at, _)) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn timed_out(limit: Duration) -> Stop {
    let error = format!("the run passed its limit of {}", seconds(limit));
    Stop::Failed { reason: "timeout", error, node: None }
}

/// A time for a person: `5 s`, `0.25 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.as_slice() {
        [] => "a value that can't come".to_owned(),
        [one] => one.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" (and {count} more)") }
}
