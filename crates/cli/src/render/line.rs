//! One line per change.

use core_events::{
    Envelope, Event, ExecutionLog, ExecutionState, ExecutionStatus, ExecutionStatusChanged, LogLevel, NodeId,
    NodeStatus, NodeStatusChanged, Timestamp,
};
use jiff::tz::TimeZone;

use crate::{
    screen::{Palette, Tone},
    text,
};

/// Makes lines such as `12:00:01.123 COMPLETED Make (0.12 s)`.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) palette: Palette,
    /// Times are shown as the clock on the wall has them.
    pub(super) zone: TimeZone,
    /// Whether to show log lines of level DEBUG.
    pub(super) debug: bool,
    /// Whether to show the end of the run; elsewhere the summary does.
    pub(super) ends: bool,
}

/// How a status is shown.
pub(super) fn tone(status: &NodeStatus) -> Tone {
    match status {
        NodeStatus::Completed | NodeStatus::MaxIterReached => Tone::Good,
        NodeStatus::Failed | NodeStatus::Aborted => Tone::Bad,
        NodeStatus::Running => Tone::Busy,
        NodeStatus::Pending | NodeStatus::Paused | NodeStatus::Skipped | NodeStatus::Other(_) => Tone::Dim,
    }
}

/// The node's label, safe to show; its id if nobody knows the label.
pub(super) fn label(state: &ExecutionState, id: &NodeId) -> String {
    let label = state.nodes.get(id).and_then(|node| node.label.as_deref());
    text::line(label.unwrap_or(id.as_str())).into_owned()
}

// === impl Lines ===

impl Lines {
    /// The line for an event, unless it shows nothing. `state` has it folded in. With `live` the live view shows what
    /// runs, and no line is needed for it.
    pub(super) fn change(&self, envelope: &Envelope, state: &ExecutionState, live: bool) -> Option<String> {
        let at = envelope.timestamp;
        match &envelope.event {
            Event::ExecutionStatusChanged(event) => self.execution(envelope, event),
            Event::NodeStatusChanged(event) if live && event.status == NodeStatus::Running => None,
            Event::NodeStatusChanged(event) => Some(self.node(at, event, state)),
            Event::ExecutionLog(event) => self.log(at, event, state),
            Event::ExecutionError(event) => Some(self.line(at, Tone::Bad, "ERROR", &indented(&event.error))),
            Event::InteractivePrompt(event) => {
                let text = format!("{} | {}", label(state, &event.node_id), text::line(&event.prompt));
                Some(self.line(at, Tone::Strong, "QUESTION", &text))
            }
            Event::InteractiveResponse(event) => {
                let text = format!("{} | {}", label(state, &event.node_id), text::line(&event.response));
                Some(self.line(at, Tone::Strong, "ANSWER", &text))
            }
            // Progress is folded into the node's end; an unknown type has no words of its own.
            Event::NodeProgress(_) => None,
            Event::Unknown(event) => Some(self.line(at, Tone::Dim, &text::line(&event.event_type), "")),
        }
    }

    /// The line for an event that tells of a failure.
    pub(super) fn error(&self, envelope: &Envelope, state: &ExecutionState) -> Option<String> {
        let failure = match &envelope.event {
            Event::NodeStatusChanged(event) => event.status == NodeStatus::Failed,
            Event::ExecutionError(_) => true,
            Event::ExecutionLog(event) => matches!(event.level, LogLevel::Error | LogLevel::Critical),
            _ => false,
        };
        failure.then(|| self.change(envelope, state, false)).flatten()
    }

    fn execution(&self, envelope: &Envelope, event: &ExecutionStatusChanged) -> Option<String> {
        let id = &envelope.execution_id;
        let (tone, tag) = match &event.status {
            // The end is the summary's matter, except for sub-runs.
            status if status.is_terminal() && envelope.parent_execution_id.is_none() && !self.ends => {
                return None;
            }
            ExecutionStatus::Running => (Tone::Strong, "STARTED"),
            status => (Tone::Strong, status.as_str()),
        };
        let text = match event.diagram_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => format!("{} ({id})", text::line(name)),
            None => id.to_string(),
        };
        Some(self.line(envelope.timestamp, tone, tag, &text))
    }

    fn node(&self, at: Option<Timestamp>, event: &NodeStatusChanged, state: &ExecutionState) -> String {
        let label = match &event.label {
            Some(label) => text::line(label).into_owned(),
            None => label(state, &event.node_id),
        };
        let mut line = label;
        if let Some(iteration) = event.iteration.filter(|iteration| *iteration > 1) {
            line.push_str(&format!(" #{iteration}"));
        }
        if let (Some(ended), Some(started)) = (event.ended_at, event.started_at) {
            line.push_str(&format!(" ({})", text::duration(ended.since(started))));
        }
        if let Some(why) = event.error.as_deref().or(event.reason.as_deref()) {
            line.push_str(&format!(": {}", indented(why)));
        }
        self.line(at, tone(&event.status), &text::line(event.status.as_str()), &line)
    }

    fn log(&self, at: Option<Timestamp>, event: &ExecutionLog, state: &ExecutionState) -> Option<String> {
        if event.level == LogLevel::Debug && !self.debug {
            return None;
        }
        let tone = match event.level {
            LogLevel::Warning => Tone::Doubtful,
            LogLevel::Error | LogLevel::Critical => Tone::Bad,
            _ => Tone::Dim,
        };
        let message = text::line(&event.message);
        let line = match &event.node_id {
            Some(id) => format!("{} | {message}", label(state, id)),
            None => format!("| {message}"),
        };
        Some(self.line(at, tone, "LOG", &line))
    }

    fn line(&self, at: Option<Timestamp>, tone: Tone, tag: &str, text: &str) -> String {
        let time = self.palette.paint(Tone::Dim, &self.clock(at));
        let tag = self.palette.paint(tone, &format!("{tag:<9}"));
        format!("{time} {tag} {text}").trim_end().to_owned()
    }

    fn clock(&self, at: Option<Timestamp>) -> String {
        let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at.as_micros()).ok());
        match at {
            Some(at) => at.to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string(),
            None => "--:--:--.---".to_owned(),
        }
    }
}

/// A text of several lines, the later ones set in.
fn indented(text: &str) -> String {
    text::lines(text.trim_end()).replace('\n', "\n    ")
}
