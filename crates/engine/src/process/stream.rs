//! Reads what a program writes.

use std::{collections::VecDeque, time::Duration};

use core_events::{LogLevel, limits::MAX_OUTPUT_BYTES};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{Notify, watch},
    time::timeout,
};

use super::lines::Lines;
use crate::reporter::NodeLog;

/// A stream as its log lines name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    name: &'static str,
    level: fn() -> LogLevel,
}

pub(super) const STDOUT: Stream = Stream { name: "stdout", level: || LogLevel::Info };
pub(super) const STDERR: Stream = Stream { name: "stderr", level: || LogLevel::Warning };

/// After the program's end: how long a silent pipe may stay open (something that left the group may hold it), and how
/// much it may still bring (more than a pipe holds).
const SILENCE: Duration = Duration::from_millis(200);
const LEFT_OVER: usize = 4 * 1024 * 1024;

const CHUNK: usize = 16 * 1024;

/// How much of stderr an error message quotes.
const TAIL_LINES: usize = 5;
const TAIL_LINE_BYTES: usize = 500;

/// Bytes up to a limit. Past it, it says so and keeps no more.
#[derive(Debug)]
pub(super) struct Collected<'a> {
    pub(super) bytes: Vec<u8>,
    pub(super) overflowed: bool,
    too_long: &'a Notify,
}

/// The last lines.
#[derive(Debug, Default)]
pub(super) struct StderrTail {
    lines: VecDeque<String>,
}

/// Reports every line of `from`; awaits each, so that a program can't be faster than its observer.
pub(super) async fn log_lines(
    from: impl AsyncRead + Unpin,
    ended: watch::Receiver<bool>,
    log: &NodeLog,
    stream: Stream,
    mut collected: Option<&mut Collected<'_>>,
    mut tail: Option<&mut StderrTail>,
) {
    let mut reader = Reader::new(from, ended);
    let mut lines = Lines::default();
    let mut complete = Vec::new();
    loop {
        let chunk = reader.next().await;
        if let (Some(collected), Some(chunk)) = (&mut collected, chunk) {
            collected.push(chunk);
        }
        // Once the log is full, reading goes on, or the program would stand still; only the tail still wants lines.
        match chunk {
            Some(chunk) if tail.is_some() || !log.is_full() => lines.push(chunk, |line| complete.push(line)),
            Some(_) => {}
            None => lines.finish(|line| complete.push(line)),
        }
        let end = chunk.is_none();
        for line in complete.drain(..) {
            if let Some(tail) = &mut tail {
                tail.push(&line);
            }
            log.line((stream.level)(), stream.name, line).await;
        }
        if end {
            return;
        }
    }
}

/// Keeps what comes from `from`.
pub(super) async fn collect(
    from: impl AsyncRead + Unpin,
    ended: watch::Receiver<bool>,
    collected: &mut Collected<'_>,
) {
    let mut reader = Reader::new(from, ended);
    while let Some(chunk) = reader.next().await {
        collected.push(chunk);
    }
}

struct Reader<R> {
    from: R,
    ended: watch::Receiver<bool>,
    buffer: Vec<u8>,
    left_over: usize,
}

// === impl Reader ===

impl<R: AsyncRead + Unpin> Reader<R> {
    fn new(from: R, ended: watch::Receiver<bool>) -> Self {
        Self { from, ended, buffer: vec![0; CHUNK], left_over: LEFT_OVER }
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Option<&[u8]> {
        let read = loop {
            if *self.ended.borrow() {
                if self.left_over == 0 {
                    return None;
                }
                let read = timeout(SILENCE, self.from.read(&mut self.buffer)).await.ok()?.ok()?;
                self.left_over = self.left_over.saturating_sub(read);
                break read;
            }
            tokio::select! {
                biased;
                read = self.from.read(&mut self.buffer) => break read.ok()?,
                _ = self.ended.wait_for(|ended| *ended) => {}
            }
        };
        self.buffer.get(..read).filter(|bytes| !bytes.is_empty())
    }
}

// === impl Collected, StderrTail ===

impl<'a> Collected<'a> {
    pub(super) const fn new(too_long: &'a Notify) -> Self {
        Self { bytes: Vec::new(), overflowed: false, too_long }
    }

    fn push(&mut self, bytes: &[u8]) {
        // A text of just the limit may have a line end behind it.
        if self.overflowed || self.bytes.len() + bytes.len() > MAX_OUTPUT_BYTES + CHUNK {
            self.overflowed = true;
            self.too_long.notify_one();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

impl StderrTail {
    fn push(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(core_events::limits::head(line.trim_end(), TAIL_LINE_BYTES).to_owned());
    }

    pub(super) fn text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}
