//! A run on its way in.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use core_events::{
    Envelope, ExecutionId, Seq, limits,
    ports::{Archive, ArchivedEvent, ImportError, Importing},
};
use futures_util::StreamExt;
use http::{Request, StatusCode, header};
use serde_json::{json, value::RawValue};
use sha2::{Digest, Sha256};

use super::{
    export::hex,
    format::{End, Header, Kind, Output, VERSION},
    unpack::{Unpack, UnpackError},
};
use crate::{
    Problem,
    api::{Links, NO_STORE},
    body::{GZIP, LINES, one_of},
    history::Api,
};

/// How long a client may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Unpacked at once: a thousand times as much may come of it.
const STEP_BYTES: usize = 4 * 1024;

/// The longest line: an output, and what names it.
const MAX_LINE_BYTES: usize = limits::MAX_OUTPUT_BYTES + 1024;

/// Handed over at once.
const CHUNK_EVENTS: usize = 256;
const CHUNK_BYTES: usize = 1024 * 1024;

/// `POST /api/v1/imports`.
pub(crate) async fn import(State(api): Api, request: Request<Body>) -> Result<Response, Problem> {
    one_of(request.headers(), &[GZIP, LINES])?;
    let mut reader = Reader::new(&*api.parts.archive);
    let imported = match reader.receive(request.into_body(), api.options.max_import_bytes).await {
        Ok(()) => reader.finish().await,
        Err(problem) => {
            reader.cancel().await;
            Err(problem)
        }
    };
    let (id, events) = imported?;
    let location = (header::LOCATION, format!("/api/v1/executions/{id}"));
    let body = json!({ "execution_id": id, "events": events, "links": Links::of(&id) });
    Ok((StatusCode::CREATED, [location], [NO_STORE], Json(body)).into_response())
}

/// Reads an export line by line.
struct Reader<'a> {
    archive: &'a dyn Archive,
    run: Option<Run>,
    /// The number of the latest line.
    line: u64,
    hash: Sha256,
    ended: bool,
}

/// The run that the header named.
struct Run {
    id: ExecutionId,
    importing: Box<dyn Importing>,
    /// Not yet handed over, each with its line.
    chunk: Vec<(u64, ArchivedEvent)>,
    chunk_bytes: usize,
    /// Handed over.
    pushed: u64,
    /// The output of the next event.
    output: Option<(Seq, ExecutionId, Bytes)>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(archive: &'a dyn Archive) -> Self {
        Self { archive, run: None, line: 0, hash: Sha256::new(), ended: false }
    }

    async fn receive(&mut self, body: Body, max_bytes: u64) -> Result<(), Problem> {
        let mut unpack = Unpack::new(max_bytes);
        let wrong = |error| unpack_problem(error, max_bytes);
        let mut body = body.into_data_stream();
        // The beginning of a line, and how much of it has no line end for certain.
        let (mut rest, mut searched) = (Vec::new(), 0);
        loop {
            let next = tokio::time::timeout(SILENCE, body.next()).await.map_err(|_| silent())?;
            let Some(bytes) = next else { break };
            for step in bytes.map_err(|error| unreadable(&error))?.chunks(STEP_BYTES) {
                unpack.push(step).map_err(wrong)?;
                rest.append(unpack.output());
                self.lines(&mut rest, &mut searched).await?;
                tokio::task::consume_budget().await;
            }
        }
        let finished = unpack.finish();
        rest.append(unpack.output());
        self.lines(&mut rest, &mut searched).await?;
        match finished {
            Err(UnpackError::Unfinished) if !self.ended => Err(truncated()),
            Err(error) => Err(wrong(error)),
            Ok(()) if rest.is_empty() => Ok(()),
            Ok(()) => self.read(&rest).await,
        }
    }

    /// Reads the whole lines of `rest`, and leaves the beginning of one in it.
    async fn lines(&mut self, rest: &mut Vec<u8>, searched: &mut usize) -> Result<(), Problem> {
        let new = rest.get(*searched..).unwrap_or_default();
        if let Some(end) = new.iter().rposition(|byte| *byte == b'\n') {
            let begun = rest.split_off(*searched + end + 1);
            let whole = std::mem::replace(rest, begun);
            for line in whole.strip_suffix(b"\n").unwrap_or(&whole).split(|byte| *byte == b'\n') {
                self.read(line).await?;
            }
        }
        *searched = rest.len();
        if rest.len() > MAX_LINE_BYTES {
            self.line += 1;
            return Err(self.too_long());
        }
        Ok(())
    }

    async fn read(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.line += 1;
        if line.len() > MAX_LINE_BYTES {
            return Err(self.too_long());
        }
        if self.ended {
            return Err(self.wrong("it stands behind the end"));
        }
        let Some(run) = &mut self.run else { return self.begin(line).await };
        let at = self.line;
        let wrong = |problem: &str| invalid(at, problem);
        let kind = Kind::of(line).map_err(|error| wrong(&format!("it is no line of an export: {error}")))?;
        if run.output.is_some() && kind != Kind::Event {
            return Err(wrong("behind an output comes its event"));
        }
        match kind {
            Kind::Event => {
                let envelope = Envelope::decode(line).map_err(|error| wrong(&error.to_string()))?;
                let output = match run.output.take() {
                    Some((seq, execution, output)) => {
                        if envelope.seq != Some(seq) || envelope.execution_id != execution {
                            return Err(wrong(&format!("the line before it has the output of event {seq}")));
                        }
                        Some(output)
                    }
                    None => None,
                };
                run.chunk_bytes += line.len() + output.as_ref().map_or(0, Bytes::len);
                run.chunk.push((at, ArchivedEvent { envelope, output }));
                if run.chunk.len() >= CHUNK_EVENTS || run.chunk_bytes >= CHUNK_BYTES {
                    run.push().await?;
                }
            }
            Kind::Output => {
                let Output { output_of, execution_id, output } =
                    serde_json::from_slice(line).map_err(|error| wrong(&format!("an output: {error}")))?;
                let output = Bytes::copy_from_slice(RawValue::get(output).as_bytes());
                run.output = Some((output_of, execution_id, output));
            }
            Kind::End => {
                let End { end, events, sha256 } =
                    serde_json::from_slice(line).map_err(|error| wrong(&format!("the end: {error}")))?;
                let hash = hex(&std::mem::take(&mut self.hash).finalize());
                if !end || events != run.pushed + run.chunk.len() as u64 || sha256 != hash {
                    return Err(damaged(
                        "what the end says of the lines in front of it is not so: it was changed on its way",
                    ));
                }
                self.ended = true;
                return run.push().await;
            }
            Kind::Unknown => return Err(wrong("it is neither an event, nor an output, nor the end")),
        }
        self.hash(line);
        Ok(())
    }

    async fn begin(&mut self, line: &[u8]) -> Result<(), Problem> {
        let header: Header = serde_json::from_slice(line).map_err(|error| {
            self.wrong(&format!("an export begins with {{\"dipeo_export\":{VERSION},…}}: {error}"))
        })?;
        if header.dipeo_export != VERSION {
            let version = header.dipeo_export;
            return Err(self.wrong(&format!(
                "dipeo_export: {version} is a format that this build does not know; it knows {VERSION}"
            )));
        }
        let importing =
            self.archive.import(&header.execution_id).await.map_err(|error| problem(error, None))?;
        self.run = Some(Run {
            id: header.execution_id,
            importing,
            chunk: Vec::new(),
            chunk_bytes: 0,
            pushed: 0,
            output: None,
        });
        self.hash(line);
        Ok(())
    }

    fn hash(&mut self, line: &[u8]) {
        self.hash.update(line);
        self.hash.update(b"\n");
    }

    async fn finish(self) -> Result<(ExecutionId, u64), Problem> {
        match self.run {
            Some(Run { id, importing, .. }) if self.ended => {
                let events = importing.finish().await.map_err(|error| problem(error, None))?;
                Ok((id, events))
            }
            Some(run) => {
                run.importing.cancel().await;
                Err(truncated())
            }
            None => Err(truncated()),
        }
    }

    async fn cancel(self) {
        if let Some(run) = self.run {
            run.importing.cancel().await;
        }
    }

    fn wrong(&self, problem: &str) -> Problem {
        invalid(self.line, problem)
    }

    fn too_long(&self) -> Problem {
        self.wrong(&format!("it has more than {MAX_LINE_BYTES} bytes"))
    }
}

// === impl Run ===

impl Run {
    async fn push(&mut self) -> Result<(), Problem> {
        let (lines, events): (Vec<_>, Vec<_>) = std::mem::take(&mut self.chunk).into_iter().unzip();
        self.chunk_bytes = 0;
        let before = self.pushed;
        self.pushed += lines.len() as u64;
        self.importing.push(events).await.map_err(|error| {
            // Events are numbered from 1.
            let nth = |index: u64| usize::try_from(index.checked_sub(before + 1)?).ok();
            let line = match &error {
                ImportError::Event { index, .. } => nth(*index).and_then(|nth| lines.get(nth)).copied(),
                _ => None,
            };
            problem(error, line)
        })
    }
}

fn problem(error: ImportError, line: Option<u64>) -> Problem {
    match (error, line) {
        (ImportError::Event { problem, .. }, Some(line)) => invalid(line, &problem),
        (error @ ImportError::Event { .. }, None) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-import", error.to_string())
        }
        (error @ ImportError::Taken(_), _) => {
            Problem::new(StatusCode::CONFLICT, "execution-exists", error.to_string())
        }
        (ImportError::Log(error), _) => error.into(),
        (ImportError::Lookup(error), _) => error.into(),
    }
}

fn invalid(line: u64, problem: &str) -> Problem {
    let detail = format!("line {line}: {problem}; nothing was imported");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-import", detail)
}

fn damaged(problem: &str) -> Problem {
    let detail = format!("the file is damaged: {problem}; nothing was imported");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "damaged-import", detail)
}

fn truncated() -> Problem {
    let detail = "the file ends in the middle: its last line is missing; nothing was imported";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "truncated-import", detail)
}

fn unpack_problem(error: UnpackError, max_bytes: u64) -> Problem {
    match error {
        UnpackError::TooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "import-too-large",
            format!("unpacked, the file has more than {max_bytes} bytes; nothing was imported"),
        ),
        UnpackError::Unfinished => damaged("its check sum is wrong, or its last bytes are missing"),
        UnpackError::Damaged(problem) => damaged(&problem),
    }
}

fn unreadable(error: &axum::Error) -> Problem {
    let detail = format!("the body could not be read: {error}");
    Problem::new(StatusCode::BAD_REQUEST, "unreadable-body", detail)
}

fn silent() -> Problem {
    let detail = format!("nothing of the body came for {} s", SILENCE.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail)
}
