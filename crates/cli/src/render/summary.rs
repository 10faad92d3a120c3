//! The end of a run.

use core_events::{ExecutionState, ExecutionStatus, NodeState, NodeStatus};
use serde_json::Value;

use super::line;
use crate::{
    screen::{Palette, Tone},
    text,
};

/// Most bytes that are shown of one result or error.
const SHOWN_BYTES: usize = 4096;

/// Most results, and most failed nodes, that are shown.
const SHOWN_NODES: usize = 20;

/// How it ended, what failed, and what came out.
pub(super) fn lines(state: &ExecutionState, palette: Palette) -> Vec<String> {
    let mut lines = vec![head(state, palette)];
    for id in state.failed_nodes.iter().take(SHOWN_NODES) {
        let error =
            state.nodes.get(id).and_then(|node| node.last_error.as_deref()).unwrap_or("no error text");
        let error = text::line(first_line(error)).into_owned();
        let label = line::label(state, id);
        let text = format!("{label}: {}", text::bounded(&error, SHOWN_BYTES));
        lines.push(format!("{} {text}", palette.paint(Tone::Bad, &format!("{:<9}", "failed"))));
    }
    if let Some(more) = state.failed_nodes.len().checked_sub(SHOWN_NODES).filter(|more| *more > 0) {
        lines.push(format!("{:<9} and {more} more", "failed"));
    }
    if let Some(error) = &state.error {
        let error = text::lines(&text::bounded(error, SHOWN_BYTES)).replace('\n', "\n    ");
        lines.push(format!("{} {error}", palette.paint(Tone::Bad, &format!("{:<9}", "error"))));
    }
    let results = state.nodes.iter().filter_map(|(id, node)| Some((id, result(node)?)));
    for (id, result) in results.take(SHOWN_NODES) {
        let tag = palette.paint(Tone::Strong, &format!("{:<9}", "result"));
        lines.push(format!("{tag} {}: {result}", line::label(state, id)));
    }
    lines
}

fn head(state: &ExecutionState, palette: Palette) -> String {
    let good = state.status == ExecutionStatus::Completed && state.failed_nodes.is_empty();
    let tone = match state.status.is_terminal() {
        true if good => Tone::Good,
        true => Tone::Bad,
        false => Tone::Busy,
    };
    let tag = palette.paint(tone, &format!("{:<9}", state.status.as_str()));
    let took = state.started_at.zip(state.ended_at).map(|(started, ended)| ended.since(started));
    let took = took.map(|took| format!(" in {}", text::duration(took))).unwrap_or_default();
    let why = state.reason.as_deref().map(|why| format!(" ({})", text::line(why))).unwrap_or_default();
    // As many as there are nodes in each status: what went well first.
    let mut counts: Vec<(&str, usize)> = state.counts().into_iter().collect();
    counts.sort_by_key(|(status, _)| *status != NodeStatus::Completed.as_str());
    let counts: Vec<String> =
        counts.iter().map(|(status, n)| format!("{n} {}", text::line(&status.to_lowercase()))).collect();
    let counts = if counts.is_empty() { "no node ran".to_owned() } else { counts.join(", ") };
    format!("{tag} {}{took}{why}: {counts}", state.execution_id)
}

/// What an endpoint received: the result of the run.
fn result(node: &NodeState) -> Option<String> {
    if node.node_type.as_ref().is_none_or(|kind| kind.as_str() != "endpoint") {
        return None;
    }
    let shown = match (&node.output_preview, &node.output) {
        (Some(preview), _) => format!("{}…", text::bounded(preview, SHOWN_BYTES)),
        (None, Some(Value::String(text))) => text::bounded(text, SHOWN_BYTES),
        (None, Some(Value::Null) | None) => return None,
        (None, Some(value)) => text::bounded(&value.to_string(), SHOWN_BYTES),
    };
    Some(text::lines(shown.trim_end()).replace('\n', "\n    "))
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}
