//! Events as NDJSON.

use client::EventItem;

/// The event's bytes with its cursor as first member; unchanged if it has none (I8).
pub(super) fn with_cursor(event: &EventItem) -> Vec<u8> {
    let json = one_line(&event.json);
    match (&event.cursor, json.strip_prefix(b"{")) {
        (Some(cursor), Some(members)) => {
            let mut line = format!("{{\"cursor\":\"{cursor}\",").into_bytes();
            line.extend_from_slice(members);
            line
        }
        _ => json,
    }
}

/// JSON without line ends. Inside its texts they are escaped, so any that are there stand between tokens.
pub(super) fn one_line(json: &[u8]) -> Vec<u8> {
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use core_events::{Envelope, Epoch};

    use super::*;

    #[test]
    fn the_cursor_comes_first_and_nothing_else_changes() {
        let json = "{\"type\":\"X\",\n\"execution_id\":\"e\",\"b\":1,\"a\":2.50}";
        let envelope = Envelope::decode(json.as_bytes()).unwrap();
        let cursor = Some(Epoch::parse("ab").unwrap().at(7));
        let mut event = EventItem { cursor, envelope, json: json.into() };
        let line = String::from_utf8(with_cursor(&event)).unwrap();
        assert_eq!(line, "{\"cursor\":\"ab-7\",\"type\":\"X\", \"execution_id\":\"e\",\"b\":1,\"a\":2.50}");
        event.cursor = None;
        assert_eq!(with_cursor(&event), json.replace('\n', " ").as_bytes());
    }
}
