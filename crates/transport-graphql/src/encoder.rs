//! Records between the log's views and the executor.

use bytes::{Buf, Bytes, BytesMut};
use core_events::{Cursor, Record, ports::Encoder};

/// Writes each event as its JSON with its cursor in front.
///
/// What a client gets depends on the fields that it selects, so that the views hold the event itself, once for all
/// subscriptions with the same filter (I3).
#[derive(Debug, Clone, Copy, Default)]
pub struct GraphqlEncoder;

/// One event out of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Framed {
    /// Its cursor; ephemeral events have none (I8).
    pub(crate) cursor: Option<String>,
    /// The event.
    pub(crate) json: Bytes,
}

// === impl GraphqlEncoder ===

impl Encoder for GraphqlEncoder {
    fn id(&self) -> &str {
        "graphql"
    }

    fn encode(&self, record: &Record, cursor: &Cursor, out: &mut BytesMut) {
        frame(cursor.to_string().as_bytes(), &record.json, out);
    }

    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut) {
        frame(b"", json, out);
    }
}

/// Length of the cursor, length of the event (each four bytes, big-endian), cursor, event.
fn frame(cursor: &[u8], json: &[u8], out: &mut BytesMut) {
    for part in [cursor, json] {
        // An event has at most `MAX_EVENT_BYTES`, a cursor 53.
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(cursor);
    out.extend_from_slice(json);
}

/// Takes the next event off `bytes`; `None` at their end.
pub(crate) fn next(bytes: &mut Bytes) -> Option<Framed> {
    if bytes.len() < 8 {
        return None;
    }
    let (cursor, json) = (bytes.get_u32() as usize, bytes.get_u32() as usize);
    if bytes.len() < cursor.saturating_add(json) {
        return None;
    }
    let cursor = bytes.split_to(cursor);
    let cursor = (!cursor.is_empty()).then(|| String::from_utf8_lossy(&cursor).into_owned());
    Some(Framed { cursor, json: bytes.split_to(json) })
}

#[cfg(test)]
mod tests {
    use core_events::{Epoch, EventType, ExecutionId, Timestamp};

    use super::*;

    #[test]
    fn events_come_back_as_they_were_written() {
        let root = ExecutionId::parse("exec_1").unwrap();
        let record = Record {
            offset: 7,
            seq: 3,
            step: 2,
            root: root.clone(),
            execution: root,
            event_type: EventType::ExecutionLog,
            node: None,
            time: Timestamp::from_micros(0),
            terminal: None,
            json: Bytes::from_static(b"{\"a\":\n1}"),
            attachment: None,
        };
        let mut out = BytesMut::new();
        GraphqlEncoder.encode(&record, &Epoch::parse("ab").unwrap().at(7), &mut out);
        GraphqlEncoder.encode_ephemeral(b"{}", &mut out);
        let mut bytes = out.freeze();
        let first = Framed { cursor: Some("ab-7".to_owned()), json: record.json };
        assert_eq!(next(&mut bytes), Some(first));
        assert_eq!(next(&mut bytes), Some(Framed { cursor: None, json: Bytes::from_static(b"{}") }));
        assert_eq!(next(&mut bytes), None);
    }
}
