//! What the durable log adds to SQLite: events per second through it, and through a bare loop that writes the same rows into the same
//! tables with the same settings; and how long an event takes from its publisher to a reader, with the log in memory beside it.
//!
//! The log gives places, encodes, folds states and tells listeners; the loop has its JSON ready made. Both have four runs, and
//! appends of 64 or 1,024 events; of the log's, four are under way at once, as runs that go on beside each other have them.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run has nothing to say")]
#![expect(clippy::print_stdout, reason = "ratios and percentiles are no measure that criterion prints")]

use std::{path::Path, sync::Arc, time::Duration};

use bytes::BytesMut;
use core_events::{
    CallbackContext, Cursor, ExecutionId, Fact, LogLevel, LogLine, Record, Timestamp, facts,
    ports::{
        Budget, Delivery, Encoder, EventLog, MessageRouter, Start, StreamSource, SubscribeRequest,
        Subscribed, SystemClock,
    },
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use event_store::{SqliteLog, StoreOptions};
use router::{MemoryLog, Router, RouterOptions};
use rusqlite::{Connection, params};
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

const RUNS: usize = 4;
/// Events of one append.
const BATCHES: [usize; 2] = [64, 1_024];
/// Events of one turn of both, when they are compared.
const TURN: usize = 32_768;
const TURNS: usize = 15;

fn line(root: &ExecutionId, time: Timestamp) -> Fact {
    let cx = CallbackContext { execution: root.clone(), parent: None, root: root.clone(), step: 0, time };
    let line = LogLine {
        node: Some("node_1".into()),
        level: LogLevel::Info,
        logger: "stdout".to_owned(),
        message: "a line of a log of a usual length, somewhat short of a hundred characters".to_owned(),
        truncated: false,
    };
    facts::log(&cx, &line)
}

fn open(dir: &Path) -> Arc<SqliteLog> {
    SqliteLog::open(StoreOptions::new(dir), Arc::new(SystemClock)).expect("the log opens")
}

/// The durable log, and the runs that are appended to.
struct Log {
    log: Arc<SqliteLog>,
    runs: Vec<ExecutionId>,
    _dir: TempDir,
}

/// The same without the log.
struct Bare {
    connection: Connection,
    roots: Vec<ExecutionId>,
    /// (first, last `seq`) of each run.
    runs: Vec<(i64, i64)>,
    head: i64,
    json: Vec<u8>,
    summary: Vec<u8>,
    written: usize,
    _dir: TempDir,
}

// === impl Log ===

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runs = (0..RUNS).map(|_| ExecutionId::random()).collect();
        Self { log: open(dir.path()), runs, _dir: dir }
    }

    /// Appends `events` in batches of `batch`, each run its share.
    async fn append(&self, events: usize, batch: usize) {
        let mut appenders = JoinSet::new();
        let share = (events / batch).div_ceil(RUNS);
        for run in &self.runs {
            let (log, run) = (Arc::clone(&self.log), run.clone());
            appenders.spawn(async move {
                for _ in 0..share {
                    let facts: Vec<_> = (0..batch).map(|_| line(&run, Timestamp::from_micros(0))).collect();
                    let appended = log.append(facts.into()).await.expect("the log takes it");
                    assert!(appended.stored, "the disk keeps up");
                }
            });
        }
        while let Some(appender) = appenders.join_next().await {
            appender.expect("an appender does not panic");
        }
    }
}

// === impl Bare ===

impl Bare {
    /// Bytes of new rows at which it writes them into the main file, as the log does.
    const CHECKPOINT: usize = 20 * 1024 * 1024;

    /// Has the log make its tables, and takes them over.
    fn new(runtime: &Runtime) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open(dir.path());
        let sample = ExecutionId::random();
        let appended = runtime.block_on(log.append(vec![line(&sample, Timestamp::now())].into()));
        let json = appended.expect("the log takes it").records.first().expect("one record").json.to_vec();
        log.close();
        let file = StoreOptions::new(dir.path()).file();
        let connection = Connection::open(file).expect("the store opens");
        connection
            .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;")
            .expect("it is configured");
        connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(())).expect("it is configured");
        let summary = connection
            .query_row("SELECT summary FROM runs", [], |row| row.get(0))
            .expect("the run has a summary");
        connection.set_prepared_statement_cache_capacity(16);
        let mut bare = Self {
            connection,
            roots: (0..RUNS).map(|_| ExecutionId::random()).collect(),
            runs: Vec::new(),
            head: 1,
            json,
            summary,
            written: 0,
            _dir: dir,
        };
        bare.begin();
        bare
    }

    fn begin(&mut self) {
        for root in &self.roots {
            self.head += 1;
            self.connection
                .execute(
                    "INSERT INTO runs(id, root, last, seq, status, bytes, summary)
                     VALUES (?1, ?2, ?1, 0, 'RUNNING', 0, ?3)",
                    params![self.head, root.as_str(), self.summary],
                )
                .expect("a run begins");
            self.runs.push((self.head, 0));
        }
    }

    fn append(&mut self, events: usize, batch: usize) {
        for turn in 0..events / batch {
            let Some((run, seq)) = self.runs.get_mut(turn % RUNS) else { panic!("{RUNS} runs") };
            let begin = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut s| s.execute([]));
            begin.expect("a transaction begins");
            let mut insert = self
                .connection
                .prepare_cached(
                    "INSERT INTO events(offset, run, seq, step, execution, type, node, time, terminal, json)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )
                .expect("a statement");
            for _ in 0..batch {
                self.head += 1;
                *seq += 1;
                let none = None::<&str>;
                insert
                    .execute(params![self.head, *run, *seq, 0, none, 4, "node_1", 0, none, &self.json])
                    .expect("a row is written");
            }
            self.connection
                .prepare_cached(
                    "UPDATE runs SET last = ?2, seq = ?3, status = ?4, bytes = ?5, summary = ?6 WHERE id = ?1",
                )
                .and_then(|mut s| s.execute(params![*run, self.head, *seq, "RUNNING", *seq, &self.summary]))
                .expect("the summary is written");
            let commit = self.connection.prepare_cached("COMMIT").and_then(|mut s| s.execute([]));
            commit.expect("the transaction ends");
            self.written += batch * self.json.len();
            if self.written >= Self::CHECKPOINT {
                self.written = 0;
                self.connection
                    .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                    .expect("a checkpoint");
            }
        }
    }
}

fn append(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("append");
    for batch in BATCHES {
        let events = batch * RUNS;
        group.throughput(Throughput::Elements(events as u64));
        let log = Log::new();
        group.bench_function(BenchmarkId::new("log", batch), |b| {
            b.to_async(&runtime).iter(|| log.append(events, batch));
        });
        let mut bare = Bare::new(&runtime);
        group.bench_function(BenchmarkId::new("bare", batch), |b| b.iter(|| bare.append(events, batch)));
    }
    group.finish();
    if measures() {
        BATCHES.into_iter().for_each(|batch| compare(&runtime, batch));
        for (name, events) in [("memory", 10_000), ("durable", 1_000), ("durable", 10_000)] {
            deliver(&runtime, name, events);
        }
    }
}

/// Not when it is only tried whether the benchmark runs.
fn measures() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// Both turn by turn, so that what else the machine does meets both.
fn compare(runtime: &Runtime, batch: usize) {
    let (log, mut bare) = (Log::new(), Bare::new(runtime));
    let mut ratios = Vec::new();
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let begun = Instant::now();
        bare.append(TURN, batch);
        let without = begun.elapsed();
        let begun = Instant::now();
        runtime.block_on(log.append(TURN, batch));
        let with = begun.elapsed();
        ratios.push(without.as_secs_f64() / with.as_secs_f64());
        rates.push(TURN as f64 / with.as_secs_f64());
    }
    println!(
        "append/{batch}: the log takes {:.0} events/s, {:.2} of what the bare loop does (lowest {:.2}, highest {:.2} of {TURNS})",
        percentile(&mut rates, 0.5),
        percentile(&mut ratios, 0.5),
        percentile(&mut ratios, 0.0),
        percentile(&mut ratios, 1.0),
    );
}

/// Writes when an event was published, in microseconds.
#[derive(Debug)]
struct Times;

impl Encoder for Times {
    fn id(&self) -> &str {
        "times"
    }

    fn encode(&self, record: &Record, _: &Cursor, out: &mut BytesMut) {
        out.extend_from_slice(&record.time.as_micros().to_le_bytes());
    }

    fn encode_ephemeral(&self, _: &[u8], _: &mut BytesMut) {}
}

/// How long events take from their publishers to a reader of all runs.
fn deliver(runtime: &Runtime, name: &str, rate: usize) {
    const SECONDS: usize = 5;
    let dir = tempfile::tempdir().expect("a directory");
    let log: Arc<dyn EventLog> = match name {
        "memory" => Arc::new(MemoryLog::default()),
        _ => open(dir.path()),
    };
    let router = Arc::new(Router::new(log, RouterOptions::default()));
    let times = runtime.block_on(async {
        let request = SubscribeRequest {
            execution: None,
            start: Start::Now,
            filter: core_events::Filter::default(),
            encoder: Arc::new(Times),
        };
        let Ok(Subscribed::Open(mut subscription)) = router.subscribe(request).await else {
            panic!("a subscription opens")
        };
        let begun = Instant::now();
        let publishers = rate / 1_000;
        let mut tasks = JoinSet::new();
        for _ in 0..publishers {
            let router = Arc::clone(&router);
            tasks.spawn(async move {
                let run = ExecutionId::random();
                let mut ticks = tokio::time::interval(Duration::from_millis(1));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for _ in 0..SECONDS * 1_000 {
                    ticks.tick().await;
                    let now = Timestamp::from_micros(micros(begun.elapsed()));
                    router.publish(vec![line(&run, now)]).await.expect("the log takes it");
                }
            });
        }
        let reader = tokio::spawn(async move {
            let budget = Budget { events: 1_000, bytes: 1024 * 1024 };
            let mut times = Vec::new();
            while times.len() < SECONDS * 1_000 * publishers {
                let delivery = std::future::poll_fn(|cx| subscription.poll_next(cx, budget)).await;
                let Delivery::Block(block) = delivery else { continue };
                let now = micros(begun.elapsed());
                let bytes = block.slices.concat();
                times.extend(bytes.chunks_exact(8).filter_map(|chunk| {
                    Some((now - i64::from_le_bytes(chunk.try_into().ok()?)) as f64 / 1_000.0)
                }));
            }
            times
        });
        while let Some(task) = tasks.join_next().await {
            task.expect("a publisher does not panic");
        }
        reader.await.expect("the reader does not panic")
    });
    let mut times = times;
    println!(
        "deliver/{name}: {} events at {rate} events/s, from publisher to reader p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        times.len(),
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        percentile(&mut times, 1.0),
    );
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

criterion_group!(benches, append);
criterion_main!(benches);
