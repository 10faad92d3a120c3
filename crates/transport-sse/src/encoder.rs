//! Records as SSE blocks.

use bytes::BytesMut;
use core_events::{Cursor, Record, ports::Encoder};

use crate::frames;

/// `id: <cursor>`, `data: <json>`, empty line.
///
/// # Ordering
///
/// The id stands in the block of its event, so that a client has recorded it exactly when it has the event (I8).
#[derive(Debug, Clone, Copy, Default)]
pub struct SseEncoder;

impl Encoder for SseEncoder {
    fn id(&self) -> &str {
        "sse"
    }

    fn encode(&self, record: &Record, cursor: &Cursor, out: &mut BytesMut) {
        // "id: " and "\n", a cursor of at most 53 characters, "data: " and "\n\n".
        out.reserve(record.json.len() + 66);
        frames::id_field(cursor, out);
        frames::data_block(&record.json, out);
    }

    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut) {
        frames::data_block(json, out);
    }
}

#[cfg(test)]
mod tests {
    use core_events::{Epoch, EventType, ExecutionId, NodeId, Timestamp};

    use super::*;

    fn record(json: &'static [u8]) -> Record {
        let root = ExecutionId::parse("exec_1").unwrap();
        Record {
            offset: 7,
            seq: 3,
            step: 2,
            root: root.clone(),
            execution: root,
            event_type: EventType::NodeStatusChanged,
            node: Some(NodeId::from("a\nid: 9")),
            time: Timestamp::from_micros(0),
            terminal: None,
            json: json.into(),
            attachment: None,
        }
    }

    #[test]
    fn an_event_is_one_block_with_its_id() {
        let mut out = BytesMut::new();
        let cursor = Epoch::parse("ab").unwrap().at(7);
        SseEncoder.encode(&record(br#"{"type":"X"}"#), &cursor, &mut out);
        assert_eq!(out, "id: ab-7\ndata: {\"type\":\"X\"}\n\n");
    }

    #[test]
    fn an_ephemeral_event_has_no_id() {
        let mut out = BytesMut::new();
        SseEncoder.encode_ephemeral(b"{}", &mut out);
        assert_eq!(out, "data: {}\n\n");
    }
}
