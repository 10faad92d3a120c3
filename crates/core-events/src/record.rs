//! A fact before and after the log took it.

use bytes::Bytes;

use crate::{
    CallbackContext, Envelope, Event, EventType, ExecutionId, ExecutionStatus, NodeId, Offset, Seq,
    Timestamp, event::Extra, limits,
};

/// A durable event on its way into the log, still without a place in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Where and when.
    pub context: CallbackContext,
    /// What.
    pub event: Event,
    /// An output too large for the event; served under the event's `output_ref`.
    pub attachment: Option<Bytes>,
    /// Fields of the envelope of a foreign engine that this build does not know.
    pub extra: Extra,
}

/// An event in the log.
///
/// Carries what filters need, so that nobody parses JSON to decide whether to deliver it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its place in the whole log.
    pub offset: Offset,
    /// Its place in the log of its root run.
    pub seq: Seq,
    /// The callback that it came from.
    pub step: u64,
    /// The execution at the top.
    pub root: ExecutionId,
    /// The execution that it is about.
    pub execution: ExecutionId,
    /// Its type.
    pub event_type: EventType,
    /// The node that it is about.
    pub node: Option<NodeId>,
    /// When it happened.
    pub time: Timestamp,
    /// The status with which it ends `execution`, if it does.
    pub terminal: Option<ExecutionStatus>,
    /// The JSON event, without cursor (I3).
    pub json: Bytes,
    /// The output that did not fit into it.
    pub attachment: Option<Bytes>,
}

/// An event is larger than the wire contract allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event of type {event_type} has {bytes} bytes, the limit is {}", limits::MAX_EVENT_BYTES)]
pub struct TooLarge {
    /// Its type.
    pub event_type: EventType,
    /// Its size.
    pub bytes: usize,
}

// === impl Fact ===

impl Fact {
    /// The fact that `event` happened in `context`.
    #[must_use]
    pub fn new(context: CallbackContext, event: Event) -> Self {
        Self { context, event, attachment: None, extra: Extra::new() }
    }

    /// The event with its place: what the reducer folds, and what is encoded.
    ///
    /// Only an `EventLog` calls this, inside its append (I1).
    #[must_use]
    pub fn into_envelope(mut self, seq: Seq) -> Envelope {
        let cx = self.context;
        if self.attachment.is_some()
            && let Event::NodeStatusChanged(event) = &mut self.event
        {
            event.output_ref = Some(output_ref(&cx.execution, seq));
        }
        let root = (cx.root != cx.execution).then_some(cx.root);
        Envelope {
            event: self.event,
            execution_id: cx.execution,
            timestamp: Some(cx.time),
            seq: Some(seq),
            parent_execution_id: cx.parent,
            root_execution_id: root,
            extra: self.extra,
        }
    }

    /// Gives the fact its place: the envelope, for the reducer, and the record, for the log.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the event does not keep to the wire contract.
    pub fn seal(self, seq: Seq, offset: Offset) -> Result<(Envelope, Record), TooLarge> {
        let (step, root, time) = (self.context.step, self.context.root.clone(), self.context.time);
        let attachment = self.attachment.clone();
        let envelope = self.into_envelope(seq);
        let event_type = envelope.event.event_type();
        let json = envelope.encode();
        if json.len() > limits::MAX_EVENT_BYTES {
            return Err(TooLarge { event_type, bytes: json.len() });
        }
        let record = Record {
            offset,
            seq,
            step,
            root,
            execution: envelope.execution_id.clone(),
            event_type,
            node: envelope.event.node_id().cloned(),
            time,
            terminal: envelope.event.terminal_status().cloned(),
            json,
            attachment,
        };
        Ok((envelope, record))
    }
}

// === impl Record ===

impl Record {
    /// Bytes that it keeps in memory: its texts and a fixed allowance for the rest.
    #[must_use]
    pub fn footprint(&self) -> usize {
        const FIXED: usize = 256;
        FIXED + self.json.len() + self.attachment.as_ref().map_or(0, Bytes::len)
    }
}

/// Where an output that did not fit into its event is to be had.
#[must_use]
pub fn output_ref(execution: &ExecutionId, seq: Seq) -> String {
    format!("/api/v1/executions/{execution}/outputs/{seq}")
}

/// The `output` of an event's `data`, as it stands in its JSON; `None` if there is none, or null.
#[must_use]
pub fn inline_output(json: &[u8]) -> Option<&[u8]> {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Data<'a> {
        #[serde(borrow, default)]
        output: Option<&'a serde_json::value::RawValue>,
    }
    let event: Event<'_> = serde_json::from_slice(json).ok()?;
    event.data.output.map(|output| output.get().as_bytes())
}
