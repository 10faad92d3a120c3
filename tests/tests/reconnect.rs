//! After a restart all clients come back at once, each with its own cursor, and the new process has nothing in memory: all
//! get exactly the rest, soon, from few reads and in little memory.
//!
//! `DIPEO_LONG=1` lets 5,000 clients come back to a run of 20,000 events.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken expectation is a failed test"
)]

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tests::serve::Serve;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Notify,
    time::{Instant, timeout},
};

const RUN: &str = "long-run";
const BATCH: usize = 500;
const MIB: usize = 1024 * 1024;
/// How long all of them together may take; a build that is not optimized says nothing about speed.
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 120 } else { 30 });

/// Opens a run and posts so many events in all; the run goes on.
async fn ingest(serve: &Serve, events: usize) {
    let (status, body) = serve.post("/api/v1/executions", &json!({"execution_id": RUN})).await;
    assert_eq!(status, 201, "{body}");
    let path = format!("/api/v1/executions/{RUN}/events");
    // The first event tells that it was opened.
    let lines: Vec<Value> = (2..=events).map(line).collect();
    for batch in lines.chunks(BATCH) {
        let (status, body) = serve.post(&path, &json!(batch)).await;
        assert_eq!(status, 200, "{body}");
    }
}

fn line(at: usize) -> Value {
    json!({
        "type": "EXECUTION_LOG",
        "execution_id": RUN,
        "data": {"level": "INFO", "message": format!("line {at}")},
    })
}

// === What is to come ===

/// The events as a stream shows them, read by somebody else before.
struct Reference {
    bytes: Vec<u8>,
    /// Where each event ends.
    ends: Vec<usize>,
    cursors: Vec<String>,
}

impl Reference {
    /// Reads all so many events, and that they are what was posted.
    async fn read(serve: &Serve, events: usize) -> Self {
        let url = format!("{}/sse/executions/{RUN}", serve.url);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut response = client.get(url).send().await.unwrap();
        let mut reference = Self { bytes: Vec::new(), ends: Vec::new(), cursors: Vec::new() };
        let mut rest = Vec::new();
        while reference.ends.len() < events {
            rest.extend_from_slice(&response.chunk().await.unwrap().expect("the run goes on"));
            while let Some(end) = end_of_block(&rest) {
                let block: Vec<u8> = rest.drain(..end).collect();
                reference.take(&block);
            }
        }
        reference
    }

    fn take(&mut self, block: &[u8]) {
        let text = std::str::from_utf8(block).unwrap();
        let Some((id, data)) = text.split_once('\n').filter(|(id, _)| id.starts_with("id: ")) else { return };
        let Some(data) = data.strip_prefix("data: ") else { return };
        let event: Value = serde_json::from_str(data).unwrap();
        let seq = self.ends.len() + 1;
        assert_eq!(event["seq"], seq);
        if seq > 1 {
            assert_eq!(event["data"]["message"], line(seq)["data"]["message"]);
        }
        self.cursors.push(id.trim_start_matches("id: ").to_owned());
        self.bytes.extend_from_slice(block);
        self.ends.push(self.bytes.len());
    }
}

/// Behind the first block.
fn end_of_block(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|two| two == b"\n\n").map(|at| at + 2)
}

// === A client ===

/// Checks a stream as it comes, and keeps next to nothing of it: there are thousands.
struct Client<'a> {
    cursor: &'a str,
    /// The events behind its cursor.
    rest: &'a [u8],
    part: Part,
    /// Beginning of something that is not there as a whole yet.
    partial: Vec<u8>,
    /// What is left of a chunk.
    chunk: usize,
    /// What came when it had everything.
    live: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The head of the answer.
    Head,
    /// The line before a chunk, or before the end.
    Size,
    /// The line end behind a chunk.
    ChunkEnd,
    Chunk,
    Over,
}

impl<'a> Client<'a> {
    fn new(cursor: &'a str, rest: &'a [u8]) -> Self {
        Self { cursor, rest, part: Part::Head, partial: Vec::new(), chunk: 0, live: Vec::new() }
    }

    fn caught_up(&self) -> bool {
        self.rest.is_empty() && self.cursor.is_empty()
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.part {
                Part::Head => {
                    self.partial.push(bytes[0]);
                    bytes = &bytes[1..];
                    if self.partial.ends_with(b"\r\n\r\n") {
                        let head = String::from_utf8_lossy(&self.partial).to_lowercase();
                        assert!(head.starts_with("http/1.1 200"), "{head}");
                        assert!(head.contains("transfer-encoding: chunked"), "{head}");
                        (self.part, self.partial) = (Part::Size, Vec::new());
                    }
                }
                Part::Size => {
                    match bytes[0] {
                        b'\n' if self.chunk > 0 => self.part = Part::Chunk,
                        b'\n' => self.part = Part::Over,
                        b'\r' => {}
                        digit => {
                            let digit = char::from(digit).to_digit(16).expect("a size in hex");
                            self.chunk = self.chunk * 16 + digit as usize;
                        }
                    }
                    bytes = &bytes[1..];
                }
                Part::Chunk => {
                    let (now, later) = bytes.split_at(self.chunk.min(bytes.len()));
                    self.body(now);
                    self.chunk -= now.len();
                    bytes = later;
                    if self.chunk == 0 {
                        self.part = Part::ChunkEnd;
                    }
                }
                Part::ChunkEnd => {
                    if bytes[0] == b'\n' {
                        self.part = Part::Size;
                    }
                    bytes = &bytes[1..];
                }
                Part::Over => return,
            }
        }
    }

    fn body(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if !self.cursor.is_empty() || !self.partial.is_empty() {
                // The opening, or something that is no event.
                self.partial.push(bytes[0]);
                bytes = &bytes[1..];
                if self.partial.ends_with(b"\n\n") {
                    let block = std::mem::take(&mut self.partial);
                    self.aside(&String::from_utf8(block).unwrap());
                }
                continue;
            }
            if self.rest.is_empty() {
                self.live.extend_from_slice(bytes);
                return;
            }
            let length = bytes.len().min(self.rest.len());
            let same = if bytes[..length] == self.rest[..length] {
                length
            } else {
                // Only where an event could begin, there may be something else.
                let same = bytes.iter().zip(self.rest).take_while(|(a, b)| a == b).count();
                let between = self.rest[same..].starts_with(b"id: ") && bytes[same] == b'd';
                let around = &bytes[same.saturating_sub(100)..bytes.len().min(same + 100)];
                assert!(between, "not the rest in order: {}", String::from_utf8_lossy(around));
                self.partial.push(bytes[same]);
                same
            };
            self.rest = &self.rest[same..];
            bytes = &bytes[same + self.partial.len()..];
        }
    }

    fn aside(&mut self, block: &str) {
        match block.strip_prefix("id: ") {
            Some(id) => {
                assert_eq!(id.trim_end(), self.cursor, "it goes on behind its cursor");
                self.cursor = "";
            }
            None if !self.cursor.is_empty() => assert!(block.contains("CONNECTION_ESTABLISHED"), "{block}"),
            None => assert!(block.contains("\"HEARTBEAT\""), "{block}"),
        }
    }
}

/// What all of them share.
#[derive(Default)]
struct Progress {
    connected: AtomicUsize,
    caught_up: AtomicUsize,
    all: Notify,
}

thread_local! {
    /// One for all clients of a thread.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

/// Comes back behind event `known`, and reads to the end of the stream. Returns when it had everything, and what came then.
async fn come_back(
    address: SocketAddr,
    reference: Arc<Reference>,
    known: usize,
    clients: usize,
    progress: Arc<Progress>,
) -> (Instant, String) {
    let cursor = &reference.cursors[known - 1];
    let mut client = Client::new(cursor, &reference.bytes[reference.ends[known - 1]..]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /sse/executions/{RUN} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\nLast-Event-ID: {cursor}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    progress.connected.fetch_add(1, Ordering::Relaxed);
    let mut caught_up = None;
    while client.part != Part::Over {
        stream.readable().await.unwrap();
        BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => panic!(
                "the stream broke; {} bytes of the rest were missing, and then came {:?}",
                client.rest.len(),
                String::from_utf8_lossy(&client.live),
            ),
            Ok(read) => client.take(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        });
        if caught_up.is_none() && client.caught_up() {
            caught_up = Some(Instant::now());
            if progress.caught_up.fetch_add(1, Ordering::Relaxed) + 1 == clients {
                progress.all.notify_one();
            }
        }
    }
    (caught_up.expect("it got everything before the end"), String::from_utf8(client.live).unwrap())
}

// === The test ===

/// Lets this process have so many sockets.
fn make_room(sockets: u64) {
    let (bound, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if bound < sockets {
        setrlimit(Resource::RLIMIT_NOFILE, sockets, most).expect("so many sockets are allowed");
    }
}

async fn store(serve: &Serve) -> (u64, u64) {
    let (status, log) = serve.get("/api/v1/log").await;
    assert_eq!(status, 200, "{log}");
    let store = &log["stats"]["store"];
    let figure = |name: &str| store[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {log}"));
    let pages = (figure("file_bytes") + figure("wal_bytes")).div_ceil(figure("page_bytes"));
    (figure("pages_read"), pages)
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "figures to read, with --nocapture")]
async fn all_come_back_at_once_after_a_restart() {
    let long = std::env::var_os("DIPEO_LONG").is_some();
    let (clients, events) = if long { (5_000, 20_000) } else { (500, 5_000) };
    make_room(clients as u64 + 200);
    let mut serve = Serve::start();
    ingest(&serve, events).await;
    let reference = Arc::new(Reference::read(&serve, events).await);
    serve.restart();

    let address = serve.url.trim_start_matches("http://").parse().unwrap();
    let (read_before, pages) = store(&serve).await;
    let before = serve.memory("VmRSS");
    let progress = Arc::new(Progress::default());
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            // Spread over the whole run, in no order.
            let known = 1 + client * 7_919 % clients * (events - 1) / clients;
            let (reference, progress) = (Arc::clone(&reference), Arc::clone(&progress));
            tokio::spawn(come_back(address, reference, known, clients, progress))
        })
        .collect();
    let there = timeout(BOUND * 2, progress.all.notified()).await;
    let growth = serve.memory("VmHWM").saturating_sub(before);
    let (read, _) = store(&serve).await;
    let (connected, caught_up) =
        (progress.connected.load(Ordering::Relaxed), progress.caught_up.load(Ordering::Relaxed));
    assert!(there.is_ok(), "{caught_up} of {clients} caught up, {connected} connected");

    // They are still there: the end reaches all of them.
    let path = format!("/api/v1/executions/{RUN}/events");
    let end =
        json!({"type": "EXECUTION_STATUS_CHANGED", "execution_id": RUN, "data": {"status": "COMPLETED"}});
    let (status, body) = serve.post(&path, &json!([line(events + 1), end])).await;
    assert_eq!(status, 200, "{body}");
    let mut last = start;
    for task in tasks {
        let (caught_up, live) = timeout(BOUND, task).await.expect("every stream ends").unwrap();
        last = last.max(caught_up);
        let blocks: Vec<&str> = live.split_terminator("\n\n").collect();
        let new: Vec<&&str> =
            blocks.iter().filter(|b| b.starts_with("id: ") && b.contains("data: ")).collect();
        let seqs = [events + 1, events + 2].map(|seq| format!("\"seq\":{seq}}}"));
        assert!(new.len() == 2 && new.iter().zip(&seqs).all(|(block, seq)| block.contains(seq)), "{live}");
        assert!(blocks.last().is_some_and(|block| block.contains("\"STREAM_END\"")), "{live}");
    }
    let took = last - start;
    let deliveries: usize = (0..clients).map(|client| events - (1 + client * (events - 1) / clients)).sum();
    println!(
        "{clients} clients back to a run of {events} events: {deliveries} events in {took:.2?}, memory grew by {:.1} MiB, \
         {} pages read of a log of {pages}",
        growth as f64 / MIB as f64,
        read - read_before,
    );
    assert!(took <= BOUND, "it took {took:?}");
    assert!(growth < 200 * MIB, "memory grew by {growth} bytes");
    assert!(read - read_before <= 5 * pages, "{} pages read of a log of {pages}", read - read_before);
}
