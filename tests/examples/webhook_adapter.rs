//! The guide's WebhookAdapter as a transport of its own: everything it needs are two ports, `StreamSource` and `Encoder`.
//!
//! `cargo run -p tests --example webhook_adapter` runs a diagram on a server in this process and has every event of it posted to
//! a receiver, which refuses the first delivery, so that there is something to repeat. `docs/adding-a-transport.md` walks through it.

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "an example talks to a terminal; a JSON value answers null"
)]

use std::{error::Error, future::poll_fn, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use bytes::{BufMut, BytesMut};
use core_events::{
    Cursor, EndReason, ExecutionId, Filter, Record,
    ports::{
        Budget, Delivery, DiagramSource, Encoder, Start, StartExecution, StreamSource, SubscribeRequest,
        Subscribed,
    },
};
use parking_lot::Mutex;

// --- the adapter: about forty lines ------------------------------------------------------------------------------

/// One event per line, its cursor in front: the receiver can tell a repeat by it.
#[derive(Debug)]
struct Lines;

impl Encoder for Lines {
    fn id(&self) -> &str {
        "webhook-lines"
    }

    fn encode(&self, record: &Record, cursor: &Cursor, out: &mut BytesMut) {
        out.put_slice(format!("{cursor} ").as_bytes());
        out.put_slice(&record.json);
        out.put_u8(b'\n');
    }

    fn encode_ephemeral(&self, _json: &[u8], _out: &mut BytesMut) {}
}

struct WebhookAdapter {
    source: Arc<dyn StreamSource>,
    http: reqwest::Client,
    url: String,
}

impl WebhookAdapter {
    /// Posts every event of `execution`, in order, each until the receiver has taken it.
    async fn deliver(&self, execution: ExecutionId) -> Result<EndReason, Box<dyn Error>> {
        let request = SubscribeRequest {
            execution: Some(execution),
            start: Start::Beginning,
            filter: Filter::default(),
            encoder: Arc::new(Lines),
        };
        let Subscribed::Open(mut events) = self.source.subscribe(request).await? else {
            return Ok(EndReason::Completed);
        };
        loop {
            match poll_fn(|cx| events.poll_next(cx, Budget { events: 100, bytes: 64 * 1024 })).await {
                Delivery::Block(block) => {
                    for line in block.slices.concat().split_inclusive(|byte| *byte == b'\n') {
                        self.post(line).await?;
                    }
                }
                Delivery::Gap(gap) => println!("missing from {} to {}", gap.from, gap.to),
                Delivery::Id(_) | Delivery::Ephemeral(_) => {}
                Delivery::End(end) => return Ok(end.reason),
            }
        }
    }

    async fn post(&self, line: &[u8]) -> Result<(), Box<dyn Error>> {
        let text = std::str::from_utf8(line)?;
        let (cursor, json) = text.split_once(' ').ok_or("a line without a cursor")?;
        for pause in [0, 50, 500, 5_000] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let request =
                self.http.post(&self.url).header("webhook-id", cursor).body(json.trim_end().to_owned());
            if request.send().await.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
        }
        Err("the receiver takes nothing".into())
    }
}

// --- a server, a run and a receiver to try it with ---------------------------------------------------------------

const DIAGRAM: &str = "nodes:
- {label: Start, type: start}
- {label: Hello, type: code_job, language: bash, code: echo hello}
- {label: End, type: endpoint}
connections:
- {from: Start, to: Hello}
- {from: Hello, to: End}
";

/// What the receiver took; the first attempt of the first delivery it refuses.
type Taken = Arc<Mutex<(usize, Vec<serde_json::Value>)>>;

async fn receive(State(taken): State<Taken>, body: Bytes) -> StatusCode {
    let mut taken = taken.lock();
    taken.0 += 1;
    match serde_json::from_slice(&body) {
        Ok(event) if taken.0 > 1 => taken.1.push(event),
        _ => return StatusCode::SERVICE_UNAVAILABLE,
    }
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let taken = Taken::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let receiver = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&taken));
    tokio::spawn(async move { axum::serve(listener, receiver).await });

    let log = server::LogConfig { store: server::LogStore::Memory, ..server::LogConfig::default() };
    let server = server::Server::start(server::Config { port: 0, log, ..server::Config::default() }).await?;
    let diagram =
        DiagramSource { text: DIAGRAM.to_owned(), name: "hello.light.yaml".to_owned(), base_dir: None };
    let start = StartExecution { diagram, inputs: serde_json::Map::new(), timeout: None, path: None };
    let run = server.executions().start(start).await?;
    let adapter = WebhookAdapter { source: server.router(), http: reqwest::Client::new(), url };
    let end = adapter.deliver(run.execution).await?;
    server.stop().await;

    let (attempts, events) = &*taken.lock();
    for event in events {
        println!("{} {} {}", event["seq"], event["type"], event["data"]["status"]);
    }
    println!("{} events in {attempts} attempts, then the stream ended: {end:?}", events.len());
    let seqs: Vec<_> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    let whole = seqs.iter().copied().eq(1..=seqs.len() as u64) && events.len() >= 9;
    if whole && *attempts == events.len() + 1 { Ok(()) } else { Err("events are missing".into()) }
}
