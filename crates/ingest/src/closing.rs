//! The end of a run whose producer says nothing any more.

use core_events::{
    CallbackContext, Event, ExecutionAborted, ExecutionId, ExecutionState, Fact, NodeId, NodeState,
    NodeStatus, NodeStatusChanged, Timestamp, facts, limits,
    ports::{EventLog, LookupError},
};

use crate::survey::Survey;

/// Names of failed nodes in the terminal event, in bytes; together with the worst that JSON makes of them they fit into it.
const FAILED_BYTES: usize = 16 * 1024;

/// Longest name of a node's type that is repeated.
const TYPE_BYTES: usize = 1024;

/// What ends `root` and everything in it: first the sub-runs, the latest of them first, each with its running nodes in front of its terminal
/// event, then the run itself (I9). `None` if it has ended.
///
/// # Errors
///
/// See [`LookupError`].
pub(crate) async fn facts(
    log: &dyn EventLog,
    root: &ExecutionId,
    reason: &str,
    now: Timestamp,
) -> Result<Option<Vec<Fact>>, LookupError> {
    if log.find(root).await?.ended.is_some() {
        return Ok(None);
    }
    let survey = Survey::of(log, root).await?;
    let step = survey.last.map_or(0, |last| last.step) + 1;
    let mut all = Vec::new();
    for execution in survey.open_parts.iter().rev().chain([root]) {
        let (state, _) = log.state(execution).await?;
        let parent = state.parent_execution_id.clone();
        let cx =
            CallbackContext { execution: execution.clone(), parent, root: root.clone(), step, time: now };
        abort(&mut all, &cx, &state, reason);
    }
    Ok(Some(all))
}

fn abort(all: &mut Vec<Fact>, cx: &CallbackContext, state: &ExecutionState, reason: &str) {
    let at_work = |node: &&NodeState| matches!(node.status, NodeStatus::Running | NodeStatus::Paused);
    for (id, node) in state.nodes.iter().filter(|(_, node)| at_work(node)) {
        all.push(Fact::new(cx.clone(), Event::NodeStatusChanged(aborted(cx, id, node, reason))));
    }
    let mut room = FAILED_BYTES;
    let mut fits = |id: &&NodeId| {
        room = room.saturating_sub(id.as_str().len());
        room > 0
    };
    let failed_nodes = state.failed_nodes.iter().take_while(&mut fits).cloned().collect();
    let aborted = ExecutionAborted { reason: reason.to_owned(), stopped: Vec::new(), failed_nodes };
    all.extend(facts::execution_aborted(cx, &aborted));
}

/// As [`facts::execution_aborted`] has it, but for what a foreign engine did not say.
fn aborted(cx: &CallbackContext, id: &NodeId, node: &NodeState, reason: &str) -> NodeStatusChanged {
    let mut event = NodeStatusChanged::to(id.clone(), NodeStatus::Aborted, cx.time);
    event.node_type = node.node_type.clone().filter(|name| name.as_str().len() <= TYPE_BYTES);
    event.label = node.label.as_deref().map(|label| limits::head(label, limits::MAX_TEXT_BYTES).to_owned());
    event.iteration = (node.iterations > 0).then_some(node.iterations);
    event.ended_at = Some(cx.time);
    event.reason = Some(reason.to_owned());
    event
}
