//! Whether events make up one run.

use bytes::Bytes;
use core_events::{
    Event, ExecutionId, Seq, limits,
    ports::{ArchivedEvent, ImportError},
};
use indexmap::IndexMap;

/// What streams say about themselves; never in a log.
const CONTROL: [&str; 4] = ["CONNECTION_ESTABLISHED", "HEARTBEAT", "STREAM_GAP", "STREAM_END"];

/// Looks at one event after the other.
#[derive(Debug)]
pub(super) struct Checks {
    root: ExecutionId,
    /// How many events were looked at.
    count: u64,
    seq: Option<Seq>,
    /// The executions of the run, and whether each has ended.
    executions: IndexMap<ExecutionId, bool>,
}

// === impl Checks ===

impl Checks {
    pub(super) fn new(root: ExecutionId) -> Self {
        Self { root, count: 0, seq: None, executions: IndexMap::new() }
    }

    /// That the latest event is wrong.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ImportError {
        ImportError::Event { index: self.count, problem: problem.into() }
    }

    /// The event's JSON, and its execution if that is a sub-run that was not seen before.
    pub(super) fn check(
        &mut self,
        event: &ArchivedEvent,
    ) -> Result<(Bytes, Option<ExecutionId>), ImportError> {
        self.count += 1;
        let ArchivedEvent { envelope, output } = event;
        let execution = &envelope.execution_id;
        self.belongs(event)?;
        for id in [&self.root, execution] {
            if self.executions.get(id).copied().unwrap_or(false) {
                return Err(self.wrong(format!("execution {id} ended before it; nothing follows an end")));
            }
        }
        match &envelope.event {
            Event::NodeProgress(_) => {
                return Err(self.wrong("type: NODE_PROGRESS is never in a log"));
            }
            Event::Unknown(event) if CONTROL.contains(&event.event_type.as_str()) => {
                let problem = format!("type: {} is never in a log", event.event_type);
                return Err(self.wrong(problem));
            }
            _ => {}
        }
        if envelope.timestamp.is_none() {
            return Err(self.wrong("timestamp: it is missing"));
        }
        if let (Some(before), Some(seq)) = (self.seq, envelope.seq)
            && seq <= before
        {
            return Err(self.wrong(format!("seq: {seq} comes behind {before}; they ascend")));
        }
        self.seq = envelope.seq.or(self.seq);
        if let Some(output) = output {
            if !matches!(envelope.event, Event::NodeStatusChanged(_)) {
                return Err(self.wrong("only a NODE_STATUS_CHANGED has an output beside it"));
            }
            if output.len() > limits::MAX_OUTPUT_BYTES {
                let (bytes, limit) = (output.len(), limits::MAX_OUTPUT_BYTES);
                return Err(self.wrong(format!("its output has {bytes} bytes, the limit is {limit}")));
            }
        }
        let json = envelope.encode();
        if json.len() > limits::MAX_EVENT_BYTES {
            let (bytes, limit) = (json.len(), limits::MAX_EVENT_BYTES);
            return Err(self.wrong(format!("it has {bytes} bytes, the limit is {limit}")));
        }
        let ends = envelope.event.terminal_status().is_some();
        let known = self.executions.insert(execution.clone(), ends).is_some();
        let new = (!known && execution != &self.root).then(|| execution.clone());
        Ok((json, new))
    }

    /// All events were looked at.
    pub(super) fn finish(mut self) -> Result<(), ImportError> {
        if self.count > 0 {
            return Ok(());
        }
        self.count = 1;
        Err(self.wrong("there is none; a run has at least one"))
    }

    fn belongs(&self, event: &ArchivedEvent) -> Result<(), ImportError> {
        let envelope = &event.envelope;
        let (execution, root) = (&envelope.execution_id, &self.root);
        if execution != root {
            return match &envelope.root_execution_id {
                Some(named) if named == root => Ok(()),
                _ => Err(self.wrong(format!(
                    "execution_id: {execution} is neither {root}, nor is {root} its root_execution_id"
                ))),
            };
        }
        if envelope.root_execution_id.as_ref().is_some_and(|named| named != root) {
            return Err(self.wrong(format!("root_execution_id: {root} is itself the one at the top")));
        }
        if envelope.parent_execution_id.is_some() {
            return Err(self.wrong(format!("parent_execution_id: {root} is the one at the top")));
        }
        Ok(())
    }
}
