//! What it costs to hand one event to one reader: every reader of one run gets every event as SSE bytes, in its own task.
//!
//! The baseline is `tokio::sync::broadcast` with the same readers and bytes that are ready made; the router's figure has the log
//! append and the encoding in it, whose cost `append` shows alone. Time per element is time per delivery.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run has nothing to say")]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use core_events::{
    CallbackContext, ExecutionId, Fact, LogLevel, LogLine, Timestamp, facts,
    ports::{
        Budget, Delivery, Encoder, EventLog, MessageRouter, Start, StreamSource, SubscribeRequest, Subscribed,
    },
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use router::{MemoryLog, Router, RouterOptions};
use tokio::{runtime::Runtime, sync::Notify};
use transport_sse::SseEncoder;

const READERS: [usize; 4] = [1, 10, 100, 1_000];
/// So many events, then whoever reads has its turn.
const BURST: usize = 16;
const BURSTS: usize = 4;
const EVENTS: usize = BURST * BURSTS;

/// What is still to be delivered.
#[derive(Debug, Default)]
struct Outstanding {
    deliveries: AtomicUsize,
    none: Notify,
}

impl Outstanding {
    fn delivered(&self, events: usize) {
        if self.deliveries.fetch_sub(events, Ordering::AcqRel) == events {
            self.none.notify_one();
        }
    }
}

fn line() -> Fact {
    let root = ExecutionId::parse("exec_0123456789abcdef0123456789abcdef").expect("a valid id");
    let time = Timestamp::from_micros(0);
    let cx = CallbackContext { execution: root.clone(), parent: None, root, step: 0, time };
    let line = LogLine {
        node: Some("node_1".into()),
        level: LogLevel::Info,
        logger: "stdout".to_owned(),
        message: "a line of a log of a usual length, somewhat short of a hundred characters".to_owned(),
        truncated: false,
    };
    facts::log(&cx, &line)
}

async fn open(router: &Router) -> Box<dyn core_events::ports::Subscription> {
    let request = SubscribeRequest {
        execution: Some(line().context.root),
        start: Start::Now,
        filter: core_events::Filter::default(),
        encoder: Arc::new(SseEncoder),
    };
    match router.subscribe(request).await {
        Ok(Subscribed::Open(subscription)) => subscription,
        refused => panic!("{refused:?}"),
    }
}

fn through_router(c: &mut Criterion, runtime: &Runtime, readers: usize) {
    let router = Router::new(Arc::new(MemoryLog::default()), RouterOptions::default());
    let outstanding = Arc::new(Outstanding::default());
    let mut tasks = tokio::task::JoinSet::new();
    runtime.block_on(async {
        router.publish(vec![line()]).await.expect("the log takes it");
        for _ in 0..readers {
            let mut subscription = open(&router).await;
            let outstanding = Arc::clone(&outstanding);
            tasks.spawn(async move {
                let budget = Budget { events: 100, bytes: 64 * 1024 };
                loop {
                    let delivery = std::future::poll_fn(|cx| subscription.poll_next(cx, budget)).await;
                    if let Delivery::Block(block) = delivery {
                        outstanding.delivered(black_box(block).events);
                    }
                }
            });
        }
    });
    let mut group = c.benchmark_group("fan_out");
    group.throughput(Throughput::Elements((readers * EVENTS) as u64));
    group.bench_function(BenchmarkId::new("router", readers), |b| {
        b.to_async(runtime).iter(|| async {
            outstanding.deliveries.store(readers * EVENTS, Ordering::Release);
            for _ in 0..BURSTS {
                for _ in 0..BURST {
                    router.publish(vec![line()]).await.expect("the log takes it");
                }
                tokio::task::yield_now().await;
            }
            outstanding.none.notified().await;
        });
    });
    group.finish();
    runtime.block_on(tasks.shutdown());
}

fn through_broadcast(c: &mut Criterion, runtime: &Runtime, readers: usize) {
    let (sender, _) = tokio::sync::broadcast::channel::<Bytes>(EVENTS * 2);
    let outstanding = Arc::new(Outstanding::default());
    let mut tasks = tokio::task::JoinSet::new();
    let bytes = runtime.block_on(async {
        for _ in 0..readers {
            let mut receiver = sender.subscribe();
            let outstanding = Arc::clone(&outstanding);
            tasks.spawn(async move {
                while let Ok(bytes) = receiver.recv().await {
                    black_box(bytes);
                    outstanding.delivered(1);
                }
            });
        }
        let log = MemoryLog::default();
        let appended = log.append(vec![line()].into()).await.expect("the log takes it");
        let mut out = BytesMut::new();
        for record in &appended.records {
            SseEncoder.encode(record, &log.epoch().at(record.offset), &mut out);
        }
        out.freeze()
    });
    let mut group = c.benchmark_group("fan_out");
    group.throughput(Throughput::Elements((readers * EVENTS) as u64));
    group.bench_function(BenchmarkId::new("broadcast", readers), |b| {
        b.to_async(runtime).iter(|| async {
            outstanding.deliveries.store(readers * EVENTS, Ordering::Release);
            for _ in 0..BURSTS {
                for _ in 0..BURST {
                    sender.send(bytes.clone()).expect("there are readers");
                }
                tokio::task::yield_now().await;
            }
            outstanding.none.notified().await;
        });
    });
    group.finish();
    runtime.block_on(tasks.shutdown());
}

fn append(c: &mut Criterion, runtime: &Runtime) {
    let log = MemoryLog::default();
    let mut group = c.benchmark_group("fan_out");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |b| {
        b.to_async(runtime)
            .iter(|| async { log.append(vec![line()].into()).await.expect("the log takes it") });
    });
    group.finish();
}

fn fan_out(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    append(c, &runtime);
    for readers in READERS {
        through_router(c, &runtime, readers);
        through_broadcast(c, &runtime, readers);
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
