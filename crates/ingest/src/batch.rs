//! What was posted, checked and made facts.

use core_events::{
    CallbackContext, Envelope, Event, EventType, ExecutionId, Fact, Progress, Timestamp, ports::IngestError,
};

use crate::SOURCE;

/// The longest name of a type that this build does not know.
const MAX_TYPE_BYTES: usize = 128;

/// The longest name of a node. A run's end names nodes, and has to fit into an event.
const MAX_NODE_ID_BYTES: usize = 1024;

/// Events of one POST.
#[derive(Debug)]
pub(crate) struct Batch {
    /// What goes into the log.
    pub(crate) facts: Vec<Fact>,
    /// What only those see who watch at present, unless its node ended later in the batch.
    pub(crate) progress: Vec<(CallbackContext, Progress)>,
    /// Whether it ends the run.
    pub(crate) ends: bool,
    /// The sub-runs that it is about, each with the index of its first event.
    pub(crate) parts: Vec<(ExecutionId, usize)>,
}

// === impl Batch ===

impl Batch {
    /// Checks `events` of the run `root`. `step` numbers the first of them, `now` is for those without a time.
    ///
    /// # Errors
    ///
    /// [`IngestError::Event`] naming the first event that can't be taken.
    pub(crate) fn read(
        root: &ExecutionId,
        events: Vec<Envelope>,
        step: u64,
        now: Timestamp,
    ) -> Result<Self, IngestError> {
        let facts = Vec::with_capacity(events.len());
        let mut batch = Self { facts, progress: Vec::new(), ends: false, parts: Vec::new() };
        let mut ended: Vec<ExecutionId> = Vec::new();
        for (index, event) in events.into_iter().enumerate() {
            let refused = |problem| IngestError::Event { index, problem };
            check_type(&event.event).map_err(refused)?;
            if ended.iter().any(|id| id == root || *id == event.execution_id) {
                let problem = "it stands behind the event that ends its execution; nothing may follow that";
                return Err(refused(problem.to_owned()));
            }
            let context = context(root, &event, step + index as u64, now).map_err(refused)?;
            if event.event.terminal_status().is_some() {
                ended.push(event.execution_id.clone());
                batch.ends |= event.execution_id == *root;
            }
            if event.execution_id != *root && !batch.parts.iter().any(|(id, _)| *id == event.execution_id) {
                batch.parts.push((event.execution_id.clone(), index));
            }
            batch.push(context, event);
        }
        Ok(batch)
    }

    fn push(&mut self, context: CallbackContext, envelope: Envelope) {
        let mut extra = envelope.extra;
        // A place in the log that it came from; here it gets one of its own.
        extra.shift_remove("cursor");
        let event = match envelope.event {
            Event::NodeProgress(event) => {
                self.progress.push((context, Progress { node: event.node_id, text: event.text }));
                return;
            }
            Event::ExecutionStatusChanged(mut event) => {
                // It tells runs of outside engines from our own, whatever their engines say.
                event.source = event.source.map(|_| SOURCE.to_owned());
                Event::ExecutionStatusChanged(event)
            }
            event => event,
        };
        if !self.progress.is_empty() {
            self.forget_progress(&context, &event);
        }
        self.facts.push(Fact { extra, ..Fact::new(context, event) });
    }

    /// A node's text is part of its end; what was posted before that is not sent behind it.
    fn forget_progress(&mut self, cx: &CallbackContext, event: &Event) {
        let ends = event.terminal_status().is_some();
        let node = match event {
            Event::NodeStatusChanged(event) => Some(&event.node_id),
            _ => None,
        };
        self.progress.retain(|(of, progress)| {
            let same = of.execution == cx.execution;
            !(ends && (same || cx.execution == cx.root) || same && Some(&progress.node) == node)
        });
    }
}

fn check_type(event: &Event) -> Result<(), String> {
    if let Some(id) = event.node_id().map(|id| id.as_str())
        && id.len() > MAX_NODE_ID_BYTES
    {
        return Err(format!(
            "data.node_id: it has at most {MAX_NODE_ID_BYTES} bytes, this one has {}",
            id.len()
        ));
    }
    let EventType::Other(name) = event.event_type() else { return Ok(()) };
    match &*name {
        "CONNECTION_ESTABLISHED" | "HEARTBEAT" => Err(format!(
            "type: {name} is what a stream says about itself, and no event of a run; leave it out"
        )),
        name if name.starts_with("STREAM_") => Err(format!(
            "type: names that begin with STREAM_ are kept for streams ({:.40})",
            name.escape_debug()
        )),
        name if name.is_empty() || name.len() > MAX_TYPE_BYTES || name.contains(char::is_control) => {
            Err(format!("type: a name of 1 to {MAX_TYPE_BYTES} bytes without control characters is expected"))
        }
        _ => Ok(()),
    }
}

fn context(
    root: &ExecutionId,
    envelope: &Envelope,
    step: u64,
    now: Timestamp,
) -> Result<CallbackContext, String> {
    let Envelope { execution_id, parent_execution_id: parent, root_execution_id, .. } = envelope;
    match (execution_id == root, root_execution_id, parent) {
        (true, Some(other), _) if other != root => {
            return Err(format!(
                "root_execution_id: {root} is posted to, this says that it is a part of {other}"
            ));
        }
        (true, _, Some(_)) => {
            return Err("parent_execution_id: the run that is posted to has no parent here".to_owned());
        }
        (false, Some(top), None) if top == root => {
            return Err(format!(
                "parent_execution_id: it is missing; {execution_id} is said to be a part of {root}"
            ));
        }
        (false, top, _) if top.as_ref() != Some(root) => {
            return Err(format!(
                "execution_id: {root} is posted to, this is {execution_id}; a sub-run says `root_execution_id` and \
                 `parent_execution_id`"
            ));
        }
        _ => {}
    }
    Ok(CallbackContext {
        execution: execution_id.clone(),
        parent: parent.clone(),
        root: root.clone(),
        step,
        time: envelope.timestamp.or_else(|| own_time(&envelope.event)).unwrap_or(now),
    })
}

/// Some of the original's streams have the time inside only.
fn own_time(event: &Event) -> Option<Timestamp> {
    match event {
        Event::ExecutionStatusChanged(event) => event.timestamp,
        Event::NodeStatusChanged(event) => event.timestamp,
        Event::ExecutionError(event) => event.timestamp,
        Event::ExecutionLog(event) => event.timestamp,
        Event::InteractivePrompt(event) => event.timestamp,
        Event::InteractiveResponse(event) => event.timestamp,
        Event::NodeProgress(event) => event.timestamp,
        Event::Unknown(event) => event.data.get("timestamp")?.as_str()?.parse().ok(),
    }
}
