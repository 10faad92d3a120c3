//! Ends what the process before left unfinished.

use core_events::{
    CallbackContext, ExecutionAborted, ExecutionId, ExecutionState, Fact, NodeRef, NodeStart, NodeStatus,
    NodeType, Offset, facts,
    ports::{AppendError, Clock, EventLog, ListQuery, LookupError, ReadError, ReadRange, RunSummary, Scope},
};
use futures_util::future::join_all;

/// Why such runs ended.
const INTERRUPTED: &str = "interrupted: the server ended before the run did";

/// So many runs are ended at once, so that their ends share commits and their states fit into memory.
const AT_ONCE: usize = 64;

/// How far the search for a run's last event goes back at first.
const FIRST_LOOK: Offset = 256;

/// Why one run was not ended.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Ends every run of this installation that has no terminal event (I6, I9): its nodes that were at work become ABORTED, then
/// the run. Returns how many there were. To be called before anybody can start one.
///
/// The run of an outside engine stays open, since that engine may well live; its lease sees to its end. An import that was
/// interrupted is ended like a run of our own.
///
/// # Errors
///
/// [`ReadError`] when the log does not say which runs there are. A single run that can't be ended is logged and left.
pub(crate) async fn close_interrupted(log: &dyn EventLog, clock: &dyn Clock) -> Result<usize, ReadError> {
    let mut query = ListQuery { unfinished: true, limit: AT_ONCE, ..ListQuery::default() };
    let mut closed = 0;
    loop {
        let runs = log.list(&query).await?;
        let Some(last) = runs.last() else { return Ok(closed) };
        query.before = Some(last.execution_id.clone());
        let own = runs.iter().filter(|run| run.source.is_none());
        let outcomes = join_all(own.map(|run| close(log, clock, run))).await;
        closed += outcomes.into_iter().filter(|closed| *closed).count();
    }
}

async fn close(log: &dyn EventLog, clock: &dyn Clock, run: &RunSummary) -> bool {
    let execution = &run.execution_id;
    match try_close(log, clock, execution).await {
        Ok(()) => {
            tracing::warn!(%execution, "a run was interrupted by the end of the server that ran it; it is ABORTED");
            true
        }
        Err(error) => {
            tracing::error!(%execution, %error, "a run that was interrupted could not be ended");
            false
        }
    }
}

async fn try_close(log: &dyn EventLog, clock: &dyn Clock, execution: &ExecutionId) -> Result<(), Trouble> {
    let (state, cursor) = log.state(execution).await?;
    let step = last_step(log, execution, cursor.offset).await?;
    log.append(end(&state, step + 1, clock).into()).await?;
    Ok(())
}

/// What the observers of a run that somebody aborted would append.
fn end(state: &ExecutionState, step: u64, clock: &dyn Clock) -> Vec<Fact> {
    let at_work = |status: &NodeStatus| matches!(status, NodeStatus::Running | NodeStatus::Paused);
    let stopped = state.nodes.iter().filter(|(_, node)| at_work(&node.status)).map(|(id, node)| NodeStart {
        node: NodeRef {
            id: id.clone(),
            node_type: node.node_type.clone().unwrap_or_else(|| NodeType::new("unknown")),
            label: node.label.clone().unwrap_or_else(|| id.to_string()),
        },
        iteration: node.iterations,
    });
    let aborted = ExecutionAborted {
        reason: INTERRUPTED.to_owned(),
        stopped: stopped.collect(),
        failed_nodes: state.failed_nodes.iter().cloned().collect(),
    };
    let cx = CallbackContext {
        execution: state.execution_id.clone(),
        parent: None,
        root: state.execution_id.clone(),
        step,
        time: clock.now(),
    };
    facts::execution_aborted(&cx, &aborted)
}

/// The number of the last callback of `root`, all of whose events lie up to `up_to`. They lie at the end of the log as a rule, so the
/// search begins there and doubles its reach.
async fn last_step(log: &dyn EventLog, root: &ExecutionId, up_to: Offset) -> Result<u64, ReadError> {
    let mut reach = FIRST_LOOK;
    loop {
        let begin = up_to.saturating_sub(reach);
        let (mut after, mut step) = (begin, 0);
        while after < up_to {
            let scope = Scope::Run(root.clone());
            let range = ReadRange { scope, after, up_to, max_records: 1_000, max_bytes: 1 << 20 };
            let batch = log.read(range).await?;
            step = batch.records.iter().fold(step, |step, record| step.max(record.step));
            if batch.scanned_to <= after {
                break;
            }
            after = batch.scanned_to;
        }
        if step > 0 || begin == 0 {
            return Ok(step);
        }
        reach = reach.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests;
