//! What a stream says, as bytes.
//!
//! Nothing from outside can add a field or end a block: cursors consist of `[0-9a-z-]` by their type, and every line
//! of a text gets its own `data:` field, whatever the text is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use core_events::{ControlFrame, Cursor, ExecutionId, Timestamp};

/// The beginning of every stream: how long to wait before coming back, CONNECTION_ESTABLISHED, and the position at which
/// the stream starts as a block of its own.
///
/// A block without data is recorded by an `EventSource` as its last event id and dispatched to nobody.
#[must_use]
pub fn opening(execution: Option<&ExecutionId>, retry: Duration, start: &Cursor, now: Timestamp) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    out.extend_from_slice(format!("retry: {}\n", retry.as_millis()).as_bytes());
    data_block(ControlFrame::ConnectionEstablished.encode(execution, now).as_bytes(), &mut out);
    id_block(start, &mut out);
    out.freeze()
}

/// A control frame. Never has an id (I8).
#[must_use]
pub fn control(frame: &ControlFrame, execution: Option<&ExecutionId>, now: Timestamp) -> Bytes {
    let mut out = BytesMut::with_capacity(192);
    data_block(frame.encode(execution, now).as_bytes(), &mut out);
    out.freeze()
}

/// A position and nothing else.
#[must_use]
pub fn id(cursor: &Cursor) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    id_block(cursor, &mut out);
    out.freeze()
}

/// How long a client waits before it comes back: one to two seconds, another time for each, so that those who lost their
/// connections at one moment don't all return at one moment.
#[must_use]
pub fn retry_after(random: u64) -> Duration {
    Duration::from_millis(1000 + random % 1001)
}

pub(crate) fn id_field(cursor: &Cursor, out: &mut BytesMut) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(cursor.to_string().as_bytes());
    out.extend_from_slice(b"\n");
}

fn id_block(cursor: &Cursor, out: &mut BytesMut) {
    id_field(cursor, out);
    out.extend_from_slice(b"\n");
}

/// `text` as the data of a block, and the block's end.
///
/// Compact JSON has no line ends. Where a text does have some, each of its lines becomes a field: the client joins them
/// with `\n`, which between the parts of a JSON text means the same as what was there.
pub(crate) fn data_block(text: &[u8], out: &mut BytesMut) {
    let line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    for line in text.split(line_end) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use core_events::{EndReason, Epoch};
    use proptest::prelude::*;

    use super::*;

    /// What the WHATWG specification says that a client understands: (id, data) per dispatched event.
    fn parse(stream: &str) -> Vec<(String, String)> {
        let (mut id, mut data, mut events) = (String::new(), Vec::new(), Vec::new());
        for line in stream.split(['\n', '\r']) {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("", _) if !data.is_empty() => {
                    events.push((id.clone(), data.join("\n")));
                    data.clear();
                }
                ("id", value) => id = value.to_owned(),
                ("data", value) => data.push(value.to_owned()),
                _ => {}
            }
        }
        events
    }

    #[test]
    fn the_opening_says_when_to_return_who_it_is_and_where_it_starts() {
        let id = ExecutionId::parse("exec_1").unwrap();
        let start = Epoch::parse("ab").unwrap().at(0);
        let bytes = opening(Some(&id), Duration::from_millis(1234), &start, Timestamp::from_micros(0));
        insta::assert_snapshot!(std::str::from_utf8(&bytes).unwrap());
    }

    #[test]
    fn control_frames_have_no_id() {
        let bytes = control(&ControlFrame::StreamEnd(EndReason::Completed), None, Timestamp::from_micros(0));
        insta::assert_snapshot!(std::str::from_utf8(&bytes).unwrap());
    }

    #[test]
    fn clients_come_back_after_one_to_two_seconds() {
        assert_eq!(retry_after(0).as_millis(), 1000);
        assert_eq!(retry_after(1000).as_millis(), 2000);
        assert_eq!(retry_after(1001).as_millis(), 1000);
    }

    proptest! {
        /// Whatever a text contains, a client sees one event with the id before it and the text's lines.
        #[test]
        fn no_text_adds_a_field(text in "(?s)(.|\n|\r|id: evil|\ndata: |\n\nevent: x|retry: 1){0,40}") {
            let mut out = BytesMut::new();
            id_field(&Epoch::parse("ab").unwrap().at(1), &mut out);
            data_block(text.as_bytes(), &mut out);
            data_block(b"next", &mut out);
            let lines = text.replace('\r', "\n");
            let stream = String::from_utf8(out.to_vec()).unwrap();
            prop_assert_eq!(parse(&stream), [("ab-1".to_owned(), lines), ("ab-1".to_owned(), "next".to_owned())]);
        }
    }
}
