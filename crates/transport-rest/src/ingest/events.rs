//! The events of a body, each with its place.

use std::{fmt, ops::Range};

use axum::body::Bytes;
use core_events::{DecodeError, Envelope, limits};
use http::StatusCode;
use serde::{
    Deserialize,
    de::{self, Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Problem, body::Media};

/// The most events of one body: an event in memory is far larger than the smallest event in a body.
const MAX_EVENTS: usize = 10_000;

/// The most faults that are told at once.
const MAX_FAULTS: usize = 20;

/// The most that is told of one fault, in bytes: it may repeat what was sent.
const MAX_FAULT_BYTES: usize = 400;

/// Levels of nesting in an event: those of a value, and those around it.
const MAX_NESTING: usize = limits::MAX_NESTING + 2;

/// What a body holds.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) events: Vec<Envelope>,
    pub(super) places: Places,
}

/// Where each event of a body is.
#[derive(Debug)]
pub(super) struct Places {
    body: Bytes,
    media: Media,
    ranges: Vec<Range<usize>>,
}

/// The items of a list, uninterpreted.
struct Items<'a>(Vec<&'a RawValue>);

/// Reads all events of a body.
///
/// # Errors
///
/// 400 naming the places of the first faults, or 413.
pub(super) fn read(body: &Bytes, media: Media) -> Result<Posted, Problem> {
    let text = text(body)?;
    let offset = |part: &str| part.as_ptr() as usize - body.as_ptr() as usize;
    let range = |part: &str| offset(part)..offset(part) + part.len();
    let ranges: Vec<_> = match media {
        Media::Lines => {
            let lines = text.split('\n').map(str::trim_ascii).filter(|line| !line.is_empty());
            lines.take(MAX_EVENTS + 1).map(range).collect()
        }
        Media::Json if text.trim_ascii().is_empty() => Vec::new(),
        Media::Json => items(text)?.iter().map(|item| range(item.get())).collect(),
    };
    if ranges.len() > MAX_EVENTS {
        return Err(too_large(format!("a body has at most {MAX_EVENTS} events; post the rest after it")));
    }
    let places = Places { body: body.clone(), media, ranges };
    let mut events = Vec::with_capacity(places.ranges.len());
    let mut faults = Vec::new();
    for index in 0..places.ranges.len() {
        match decode(places.json(index)) {
            Ok(event) => events.push(event),
            Err(problem) => faults.push(places.line(index, &problem)),
        }
        if faults.len() == MAX_FAULTS {
            break;
        }
    }
    if faults.is_empty() { Ok(Posted { events, places }) } else { Err(invalid(faults)) }
}

/// The answer to what is larger than it may be.
pub(super) fn too_large(detail: String) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "event-too-large", detail)
}

/// The body's text, without the mark that some programs put in front of it.
fn text(body: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let (line, column) = position(body, error.valid_up_to());
        invalid(vec![format!("line {line}: not UTF-8 from column {column} on")])
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn items(text: &str) -> Result<Vec<&RawValue>, Problem> {
    if !text.trim_ascii_start().starts_with('[') {
        let detail = "the body: a list of events is expected; one event per line has the content type application/x-ndjson";
        return Err(invalid(vec![detail.to_owned()]));
    }
    let Items(items) = serde_json::from_str(text).map_err(|error| {
        let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let problem = syntax(&error, line);
        invalid(vec![format!("line {}: {problem}", error.line())])
    })?;
    Ok(items)
}

fn decode(json: &[u8]) -> Result<Envelope, String> {
    if is_nested_too_deep(json) {
        return Err(format!("it is nested too deep; a value has at most {} levels", limits::MAX_NESTING));
    }
    Envelope::decode(json).map_err(|error| match error {
        DecodeError::Json(error) => {
            let text = String::from_utf8_lossy(json);
            let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
            syntax(&error, line)
        }
        error @ DecodeError::Field { .. } => error.to_string(),
    })
}

/// What is wrong with `line`, which is no JSON.
fn syntax(error: &serde_json::Error, line: &str) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    if error.is_data() {
        return what.to_owned();
    }
    let column = error.column();
    let near = line.get(line.floor_char_boundary(column.saturating_sub(4))..).unwrap_or_default();
    let python = ["NaN", "Infinity"].iter().find(|word| near.find(**word).is_some_and(|at| at <= 4));
    match python {
        Some(word) => format!("not JSON: {word} at column {column}; write null instead"),
        None => format!("not JSON: {what} at column {column}"),
    }
}

fn is_nested_too_deep(json: &[u8]) -> bool {
    // Most events have fewer brackets than there may be levels, which is found out fast.
    let opening = |byte: &&u8| matches!(byte, b'{' | b'[');
    if json.iter().filter(opening).count() <= MAX_NESTING {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return true;
        }
    }
    false
}

/// Line and column, from 1, of the byte at `offset`.
fn position(body: &[u8], offset: usize) -> (usize, usize) {
    let before = body.get(..offset).unwrap_or(body);
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    (line, before.len() - begin + 1)
}

fn invalid(faults: Vec<String>) -> Problem {
    let detail = match faults.as_slice() {
        [fault] => fault.clone(),
        [first, ..] if faults.len() == MAX_FAULTS => {
            format!("at least {MAX_FAULTS} faults; the first: {first}")
        }
        [first, ..] => format!("{} faults; the first: {first}", faults.len()),
        [] => String::new(),
    };
    Problem::new(StatusCode::BAD_REQUEST, "invalid-event", detail).with_errors(faults)
}

// === impl Places ===

impl Places {
    /// The answer to an event that can't be taken.
    pub(super) fn fault(&self, index: usize, problem: &str) -> Problem {
        invalid(vec![self.line(index, problem)])
    }

    /// Where the largest event is.
    pub(super) fn largest(&self) -> Option<String> {
        let size =
            |index: &usize| Envelope::decode(self.json(*index)).map_or(0, |event| event.encode().len());
        (0..self.ranges.len()).max_by_key(size).map(|index| self.place(index))
    }

    fn json(&self, index: usize) -> &[u8] {
        self.ranges.get(index).and_then(|range| self.body.get(range.clone())).unwrap_or_default()
    }

    fn line(&self, index: usize, problem: &str) -> String {
        let shown = limits::head(problem, MAX_FAULT_BYTES);
        let rest = if shown.len() < problem.len() { "…" } else { "" };
        format!("{}: {shown}{rest}", self.place(index))
    }

    fn place(&self, index: usize) -> String {
        let start = self.ranges.get(index).map_or(0, |range| range.start);
        let (line, column) = position(&self.body, start);
        match self.media {
            Media::Lines => format!("line {line}"),
            Media::Json => format!("event {} (line {line}, column {column})", index + 1),
        }
    }
}

// === impl Items ===

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                    if items.len() > MAX_EVENTS {
                        return Err(de::Error::custom(format_args!(
                            "a list has at most {MAX_EVENTS} events"
                        )));
                    }
                }
                Ok(Items(items))
            }
        }

        deserializer.deserialize_seq(List)
    }
}
