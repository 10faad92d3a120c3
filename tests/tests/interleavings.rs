//! I5, I4, I8, I9 as properties: whatever is published, evicted, removed, closed and read in whatever order, a reader sees
//! exactly the filtered log from its start, in order, once, or is told exactly what is missing. Here the log in memory, which
//! evicts by itself.
//!
//! `DIPEO_LONG=1` tries many more plans.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use core_events::{
    Filter,
    ports::{Budget, Delivery, EventLog, MessageRouter, Start, StreamSource, SubscribeRequest, Subscribed},
};
use futures_util::FutureExt;
use proptest::prelude::*;
use router::{MemoryLog, MemoryLogOptions, Router, RouterOptions};
use tests::interleaving::{Cast, Kind, Lines, Op, Race, Subject, World, ops, routers};

#[derive(Debug, Clone)]
struct Plan {
    log: MemoryLogOptions,
    router: RouterOptions,
    ops: Vec<Op<Infallible>>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let log = (
        1_usize..40,
        prop_oneof![Just(usize::MAX), 500_usize..8_000],
        prop::option::of(1_usize..10),
        0_usize..4,
    )
        .prop_map(|(records, bytes, records_per_run, finished_runs)| MemoryLogOptions {
            records,
            bytes,
            records_per_run,
            finished_runs,
            ..MemoryLogOptions::default()
        });
    let log = prop_oneof![1 => Just(MemoryLogOptions::default()), 3 => log];
    (log, routers(), prop::collection::vec(ops(), 1..60)).prop_map(|(log, router, ops)| Plan {
        log,
        router,
        ops,
    })
}

/// Nothing is left of it to be opened again.
struct InMemory(Arc<dyn EventLog>);

impl Subject for InMemory {
    type Restart = Infallible;

    fn log(&self) -> &Arc<dyn EventLog> {
        &self.0
    }

    fn restart(&mut self, how: &Infallible) {
        match *how {}
    }
}

fn cases() -> u32 {
    if std::env::var_os("DIPEO_LONG").is_some() { 20_000 } else { 256 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_reader_sees_the_filtered_log_once_and_in_order(plan in plans()) {
        let log = InMemory(Arc::new(MemoryLog::new(plan.log)));
        // Paused: what only a timer brings comes at once, and what nothing brings is missed at once.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(World::run(log, Cast::default(), plan.router, &plan.ops));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_change_nothing() {
    let rounds = if std::env::var_os("DIPEO_LONG").is_some() { 400 } else { 8 };
    let small = |records| MemoryLogOptions { records, ..MemoryLogOptions::default() };
    let tail =
        |tail_records, view_bytes| RouterOptions { tail_records, view_bytes, ..RouterOptions::default() };
    for round in 0..rounds {
        let (log, router) = match round % 4 {
            0 => (MemoryLogOptions::default(), RouterOptions::default()),
            1 => (MemoryLogOptions::default(), tail(8, 2_000)),
            2 => (small(100), tail(8, 2_000)),
            _ => (small(20), RouterOptions::default()),
        };
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(log));
        let race = Race { round, cast: Cast::default(), router, runs_each: 1, events: 300, readers: 24 };
        race.run(&log).await;
    }
}

/// A publish that meets a reader on its way to sleep wakes it.
#[tokio::test]
async fn no_wake_up_is_lost() {
    const ROUNDS: usize = 20_000;
    let router = Arc::new(Router::new(Arc::new(MemoryLog::default()), RouterOptions::default()));
    let filter = Filter::default();
    let request = SubscribeRequest { execution: None, start: Start::Now, filter, encoder: Arc::new(Lines) };
    let Ok(Subscribed::Open(mut subscription)) = router.subscribe(request).await else { panic!("it opens") };
    let got = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&got);
    let publisher = tokio::task::spawn_blocking(move || {
        for round in 0..ROUNDS {
            let line = vec![Cast::default().fact(0, None, Kind::Log)];
            router.publish(line).now_or_never().unwrap().unwrap();
            // The next event is to come right when the reader has this one and finds nothing more.
            while seen.load(Ordering::Acquire) <= round {
                std::hint::spin_loop();
            }
        }
    });
    let reader = async {
        for round in 0..ROUNDS {
            let budget = Budget { events: 1, bytes: usize::MAX };
            let delivery = std::future::poll_fn(|cx| subscription.poll_next(cx, budget)).await;
            assert!(matches!(delivery, Delivery::Block(_)));
            got.store(round + 1, Ordering::Release);
            // Meets the publisher at another point each time.
            (0..round % 512).for_each(|_| std::hint::spin_loop());
        }
    };
    let awake = tokio::time::timeout(Duration::from_secs(60), reader).await;
    got.store(usize::MAX, Ordering::Release);
    publisher.await.unwrap();
    assert!(awake.is_ok(), "the reader sleeps beside an event");
}
