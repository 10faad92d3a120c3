//! A run on its way out.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use core_events::{
    Envelope, Event, EventType, ExecutionId, Filter, Record, output_ref,
    ports::{EventPage, EventsQuery, OutputError, Start},
};
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::format::{End, Header, Output, VERSION};
use crate::{
    Problem,
    api::NO_STORE,
    history::{Api, HistoryParts},
    path::{self, RawPath},
};

/// Read from the log at once.
const PAGE_EVENTS: usize = 1_000;
const PAGE_BYTES: usize = 256 * 1024;

/// Packed at once, so that the thread is soon free for others.
const STEP_BYTES: usize = 64 * 1024;

/// Handed out at once, at least, but for the last.
const OUT_BYTES: usize = 16 * 1024;

/// `GET /api/v1/executions/{id}/export`. The body is made while it is read: whatever goes wrong then breaks it off, and a reader finds that
/// the last line is missing.
pub(crate) async fn export(State(api): Api, id: RawPath<String>) -> Result<Response, Problem> {
    let id = path::id(id)?;
    let parts = api.parts.clone();
    let first = parts.history.events(query(&id, Start::Beginning)).await?;
    let root = first.events.first().map(|(_, record)| &record.root).filter(|root| **root != id);
    if let Some(root) = root {
        let detail = format!("execution {id} is a part of {root}; export that");
        return Err(Problem::new(StatusCode::CONFLICT, "not-a-root", detail));
    }
    // A colon is no part of a file's name everywhere.
    let name = id.as_str().replace(':', "_");
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}.ndjson.gz\""))
        .unwrap_or(HeaderValue::from_static("attachment"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/gzip")),
        (header::CONTENT_DISPOSITION, disposition),
        NO_STORE,
    ];
    let export = Export::begin(parts, id, first)?;
    let body = stream::try_unfold(export, |mut export| async {
        Ok::<_, io::Error>(export.step().await?.map(|bytes| (bytes, export)))
    });
    Ok((headers, Body::from_stream(body)).into_response())
}

fn query(id: &ExecutionId, start: Start) -> EventsQuery {
    EventsQuery {
        execution: id.clone(),
        start,
        filter: Filter::default(),
        max_events: PAGE_EVENTS,
        max_bytes: PAGE_BYTES,
    }
}

struct Export {
    parts: HistoryParts,
    id: ExecutionId,
    phase: Phase,
    /// Events that were read and are not yet written.
    records: VecDeque<std::sync::Arc<Record>>,
    /// Lines that are not yet packed.
    lines: VecDeque<Bytes>,
    packed: GzEncoder<Vec<u8>>,
    hash: Sha256,
    events: u64,
}

#[derive(Debug)]
enum Phase {
    /// The next page is there.
    Read(Start),
    /// All pages were read.
    Last,
    Done,
}

// === impl Export ===

impl Export {
    fn begin(parts: HistoryParts, id: ExecutionId, first: EventPage) -> Result<Self, Problem> {
        let header = Header {
            dipeo_export: VERSION,
            execution_id: id.clone(),
            exported_at: Some(parts.clock.now()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        };
        let internal = |error: serde_json::Error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
        };
        let header = line(serde_json::to_vec(&header).map_err(internal)?);
        let mut this = Self {
            parts,
            id,
            phase: Phase::Last,
            records: VecDeque::new(),
            lines: VecDeque::from([header]),
            packed: GzEncoder::new(Vec::new(), Compression::default()),
            hash: Sha256::new(),
            events: 0,
        };
        this.take(first);
        Ok(this)
    }

    fn take(&mut self, page: EventPage) {
        self.phase = if page.at_head { Phase::Last } else { Phase::Read(Start::After(page.next)) };
        self.records.extend(page.events.into_iter().map(|(_, record)| record));
    }

    /// The next packed bytes; `None` behind the last ones.
    async fn step(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(mut line) = self.lines.pop_front() {
                let step = line.split_to(STEP_BYTES.min(line.len()));
                if !line.is_empty() {
                    self.lines.push_front(line);
                }
                self.hash.update(&step);
                self.packed.write_all(&step)?;
                if self.packed.get_ref().len() >= OUT_BYTES {
                    return Ok(Some(std::mem::take(self.packed.get_mut()).into()));
                }
                continue;
            }
            if let Some(record) = self.records.pop_front() {
                self.event(&record).await?;
                continue;
            }
            match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Read(start) => {
                    let page = self.parts.history.events(query(&self.id, start)).await;
                    self.take(page.map_err(io::Error::other)?);
                }
                Phase::Last => return self.end().map(Some),
                Phase::Done => return Ok(None),
            }
        }
    }

    async fn event(&mut self, record: &Record) -> io::Result<()> {
        if let Some(output) = self.output(record).await? {
            let output = Output {
                output_of: record.seq,
                execution_id: record.execution.clone(),
                output: serde_json::from_slice::<&RawValue>(&output)?,
            };
            self.lines.push_back(line(serde_json::to_vec(&output)?));
        }
        self.lines.push_back(line(record.json.to_vec()));
        self.events += 1;
        Ok(())
    }

    /// The output that did not fit into the event, if there is one.
    async fn output(&self, record: &Record) -> io::Result<Option<Bytes>> {
        if record.attachment.is_some() || !refers_to_output(record) {
            return Ok(record.attachment.clone());
        }
        match self.parts.executions.output(&record.execution, record.seq).await {
            Ok(output) => Ok(Some(output)),
            // An event from elsewhere may say so of an output that never was here.
            Err(OutputError::None { .. }) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn end(&mut self) -> io::Result<Bytes> {
        let sha256 = hex(&std::mem::take(&mut self.hash).finalize());
        let end = End { end: true, events: self.events, sha256 };
        self.packed.write_all(&line(serde_json::to_vec(&end)?))?;
        self.packed.try_finish()?;
        Ok(std::mem::take(self.packed.get_mut()).into())
    }
}

/// Whether the event names the place of its own output here.
fn refers_to_output(record: &Record) -> bool {
    let place = output_ref(&record.execution, record.seq);
    if record.event_type != EventType::NodeStatusChanged || !contains(&record.json, place.as_bytes()) {
        return false;
    }
    match Envelope::decode(&record.json).map(|envelope| envelope.event) {
        Ok(Event::NodeStatusChanged(event)) => event.output_ref == Some(place),
        _ => false,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A JSON text as one line: a line end between its parts means as much as a space does.
fn line(mut json: Vec<u8>) -> Bytes {
    json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    json.push(b'\n');
    json.into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
