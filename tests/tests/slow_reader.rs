//! One client that stops reading is its own problem (I4): the others do not notice, memory stays, and it gets all in the
//! end, or is told exactly what it missed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::time::Duration;

use core_events::Timestamp;
use futures_util::future::join_all;
use tests::{
    serve::Serve,
    sse::{Frame, seqs},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Barrier,
};

const EVENTS: usize = 2_000;
const FOLLOWERS: usize = 20;
const MIB: usize = 1024 * 1024;

/// Two thousand events in about five seconds, once the file `go` is there; by two nodes, since the log of one is bounded.
fn run_of_2000_events(line: usize) -> String {
    let lines = (EVENTS - 8) / 2;
    let code = format!(
        "import os, time
while not os.path.exists('go'): time.sleep(0.01)
for n in range({lines}):
    print(n, 'l' * {line})
    time.sleep(0.0025)
result = 'done'"
    );
    let code = serde_json::to_string(&code).unwrap();
    format!(
        "version: light
nodes:
- {{label: Start, type: start}}
- {{label: First, type: code_job, language: python, timeout: 120, code: {code}}}
- {{label: Second, type: code_job, language: python, timeout: 120, code: {code}}}
connections:
- {{from: Start, to: First}}
- {{from: First, to: Second}}
"
    )
}

/// A client with a tiny window that asks and then does not read.
async fn stalled(serve: &Serve, id: &str) -> TcpStream {
    let address = serve.url.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request =
        format!("GET /sse/executions/{id} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads what a stalled client has coming, and returns its frames.
async fn read_all(mut stream: TcpStream) -> Vec<Frame> {
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    let text = String::from_utf8(unchunk(&raw)).unwrap();
    text.split_terminator("\n\n").map(parse).collect()
}

/// The body of a chunked answer.
fn unchunk(raw: &[u8]) -> Vec<u8> {
    let head = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (mut rest, mut body) = (&raw[head + 4..], Vec::new());
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk has a size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

/// Follows a run and returns its events as they came, and how long each was under way. Parses next to nothing, so that it
/// measures the server and not itself.
async fn follow(serve: &Serve, id: &str, connected: &Barrier) -> (Vec<String>, Vec<Duration>) {
    let url = format!("{}/sse/executions/{id}", serve.url);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut response = client.get(url).send().await.unwrap();
    connected.wait().await;
    let (mut text, mut events, mut delays) = (String::new(), Vec::new(), Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        let now = Timestamp::now();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        let Some(end) = text.rfind("\n\n") else { continue };
        let rest = text.split_off(end + 2);
        let whole = std::mem::replace(&mut text, rest);
        for block in whole
            .split_terminator("\n\n")
            .filter(|block| block.starts_with("id: ") && block.contains("data: "))
        {
            let (_, time) = block.rsplit_once("\"timestamp\":\"").unwrap();
            let (time, _) = time.split_once('"').unwrap();
            delays.push(now.since(time.parse().unwrap()));
            events.push(block.to_owned());
        }
    }
    (events, delays)
}

/// An event as it came, parsed.
fn parse(block: &str) -> Frame {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    Frame { id: field("id: "), data: field("data: ").map(|json| serde_json::from_str(&json).unwrap()) }
}

struct Round {
    followers: Vec<Vec<String>>,
    p99: Duration,
    slow: Option<Vec<Frame>>,
    growth: usize,
}

/// One round at a time: two at once would measure each other.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn round(env: &[(&str, &str)], line: usize, with_slow: bool) -> Round {
    let serve = Serve::with(env);
    let id = serve.run(&run_of_2000_events(line)).await;
    let slow = if with_slow { Some(stalled(&serve, &id).await) } else { None };
    let before = serve.memory("VmRSS");
    // All are connected before the events come: the first ones would otherwise measure their own connecting.
    let connected = Barrier::new(FOLLOWERS + 1);
    let go = async {
        connected.wait().await;
        serve.put("go", "");
    };
    let (followers, ()) = tokio::join!(join_all((0..FOLLOWERS).map(|_| follow(&serve, &id, &connected))), go);
    let growth = serve.memory("VmHWM").saturating_sub(before);
    let mut delays: Vec<Duration> = followers.iter().flat_map(|(_, delays)| delays.iter().copied()).collect();
    delays.sort();
    let p99 = delays[delays.len() * 99 / 100];
    let slow = match slow {
        Some(stream) => Some(read_all(stream).await),
        None => None,
    };
    Round { followers: followers.into_iter().map(|(frames, _)| frames).collect(), p99, slow, growth }
}

#[allow(clippy::print_stdout, reason = "figures to read, with --nocapture; speed is not asserted here")]
fn report(name: &str, without: &Round, with: &Round) {
    println!(
        "{name}: p99 of {FOLLOWERS} followers without a stalled client {:.2?}, with one {:.2?} (ratio {:.2}); memory grew by {:.1} MiB",
        without.p99,
        with.p99,
        with.p99.as_secs_f64() / without.p99.as_secs_f64(),
        with.growth as f64 / MIB as f64,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_default_bounds_the_stalled_client_gets_everything() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let without = round(&[], 3_000, false).await;
    let with = round(&[], 3_000, true).await;
    report("default bounds", &without, &with);
    assert!(with.followers.iter().all(|events| events == &with.followers[0]));
    let whole: Vec<Frame> = with.followers[0].iter().map(|block| parse(block)).collect();
    assert!(whole.len() >= EVENTS - 8, "{} events", whole.len());
    assert!(with.growth < 20 * MIB, "memory grew by {} bytes", with.growth);
    let slow = with.slow.unwrap();
    let got: Vec<Frame> = slow.iter().filter(|frame| frame.is_event()).cloned().collect();
    assert_eq!(seqs(&got), seqs(&whole));
    assert_eq!(got, whole);
    assert_eq!(slow.last().map(Frame::kind), Some("STREAM_END"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_500_events_a_run_the_stalled_client_is_told_exactly_what_it_missed() {
    let env = [("DIPEO_LOG_STORE", "memory"), ("DIPEO_LOG_MAX_EVENTS_PER_RUN", "500")];
    // More than the kernel takes for one socket and a view keeps, so that the client really falls behind what there is.
    let line = 9_000;
    let _turn = ONE_AT_A_TIME.lock().await;
    let without = round(&env, line, false).await;
    let with = round(&env, line, true).await;
    report("500 events a run", &without, &with);
    assert!(with.followers.iter().all(|events| events == &with.followers[0]));
    let whole: Vec<Frame> = with.followers[0].iter().map(|block| parse(block)).collect();
    assert_eq!(seqs(&whole), (1..=whole.len() as u64).collect::<Vec<_>>(), "the others miss nothing");
    assert!(with.growth < 20 * MIB, "memory grew by {} bytes", with.growth);

    // What it got, with what the gaps say is missing, is the whole run.
    let slow = with.slow.unwrap();
    let place = |id: &str| whole.iter().position(|frame| frame.id.as_deref() == Some(id)).map(|at| at + 1);
    let (mut at, mut gaps) = (0, 0);
    for frame in &slow {
        if frame.kind() == "STREAM_GAP" {
            let data = &frame.data.as_ref().unwrap()["data"];
            assert_eq!(
                place(data["from"].as_str().unwrap()).unwrap_or(0),
                at,
                "the gap starts behind the last event"
            );
            at = place(data["to"].as_str().unwrap()).unwrap();
            assert_eq!(data["reset"], false);
            gaps += 1;
        } else if frame.is_event() {
            assert_eq!(frame, &whole[at]);
            at += 1;
        }
    }
    assert_eq!(at, whole.len());
    assert!(gaps >= 1, "it was not slow enough for this test");
    assert_eq!(slow.last().map(Frame::kind), Some("STREAM_END"));
}
