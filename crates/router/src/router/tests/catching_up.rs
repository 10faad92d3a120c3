//! Many readers far behind: what they read from the log, they read together.

use core_events::{Offset, Record};

use super::*;
use crate::testing::ScriptedLog;

const EVENTS: usize = 20_000;

/// A log with two runs, of which `a` has every other event, and a router that has seen nothing of it.
async fn full(yields: usize, options: RouterOptions) -> (Arc<ScriptedLog>, Router) {
    let log_ = Arc::new(ScriptedLog::new(yields));
    for at in 0..EVENTS {
        log_.place(log(if at % 2 == 0 { "a" } else { "b" }, "a line of some length, as lines are"));
    }
    log_.commit(EVENTS);
    let router = Router::new(Arc::clone(&log_) as Arc<dyn EventLog>, options);
    (log_, router)
}

/// Reads on to the head; checks that nothing is missing.
async fn read_on(mut reader: Box<dyn Subscription>, expected: usize, seed: usize) {
    let mut got = 0;
    while got < expected {
        let budget = Budget { events: 1 + seed % 100, bytes: 64 * 1024 };
        match std::future::poll_fn(|cx| reader.poll_next(cx, budget)).await {
            Delivery::Block(block) => got += block.events,
            other => panic!("{other:?}"),
        }
        if (got + seed).is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(got, expected);
    assert_eq!(next(&mut *reader), None);
}

async fn catch_up(
    yields: usize,
    options: RouterOptions,
    run: Option<&str>,
    readers: usize,
) -> (usize, usize) {
    let view_bytes = options.view_bytes;
    let (log_, router) = full(yields, options).await;
    let encoder = Arc::new(Offsets::default());
    // The view lives as long as it has readers.
    let _idle =
        open(&router, SubscribeRequest { encoder: encoder.clone(), ..request(run, Start::Now) }).await;
    let mut tasks = Vec::new();
    let mut position = 1;
    for seed in 0..readers {
        // Spread over the log without an order.
        position = (position * 7_919 + 13) % EVENTS;
        let start = Start::After(log_.epoch().at(position as Offset));
        let request = SubscribeRequest { encoder: encoder.clone(), ..request(run, start) };
        let reader = open(&router, request).await;
        let mine =
            |r: &&Arc<Record>| r.offset > position as Offset && run.is_none_or(|run| r.root.as_str() == run);
        let expected = log_.all().iter().filter(mine).count();
        tasks.push(tokio::spawn(read_on(reader, expected, seed)));
    }
    for task in tasks {
        task.await.unwrap();
        assert!(router.stats().view_bytes <= view_bytes + 2 * 1024 * 1024, "memory is bounded");
    }
    (log_.records_read.load(Ordering::SeqCst), log_.reads.load(Ordering::SeqCst))
}

#[tokio::test]
async fn readers_of_one_run_read_the_log_once() {
    for (run, records) in [(None, EVENTS), (Some("a"), EVENTS / 2)] {
        for yields in [0, 7] {
            let (read, reads) = catch_up(yields, RouterOptions::default(), run, 300).await;
            assert!(read <= records * 5 / 4, "{run:?}: {read} records were read of {records}");
            assert!(reads <= records / 512 * 4, "{run:?}: {reads} reads");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_read_the_log_once() {
    let (read, _) = catch_up(7, RouterOptions::default(), None, 300).await;
    assert!(read <= EVENTS * 5 / 4, "{read} records were read of {EVENTS}");
}

/// The clock goes on only when all readers wait: as if they delivered in no time.
#[tokio::test(start_paused = true)]
async fn a_small_view_still_serves_many_with_few_reads() {
    for kib in [400, 200, 100] {
        let options = RouterOptions { view_bytes: kib * 1024, ..RouterOptions::default() };
        let (read, _) = catch_up(3, options, None, 300).await;
        assert!(read <= EVENTS * 3, "{kib} KiB: {read} records were read of {EVENTS}");
    }
}

#[tokio::test]
async fn who_leaves_holds_nobody_up() {
    let (_log, router) = full(50, RouterOptions::default()).await;
    let mut leaving = open(&router, request(None, Start::Beginning)).await;
    let mut staying = open(&router, request(None, Start::Beginning)).await;
    assert_eq!(next(&mut *leaving), None, "it waits for the log");
    let woken = Arc::new(Woken::default());
    assert_eq!(poll(&mut *staying, &Waker::from(Arc::clone(&woken)), ALL), None);
    drop(leaving);
    assert!(woken.count() > 0);
    read_on(staying, EVENTS, 0).await;
}

/// I4: readers whose transports don't ask any more, however often they are woken.
#[tokio::test(start_paused = true)]
async fn who_stalls_holds_nobody_up() {
    for small in [false, true] {
        let view_bytes = if small { 64 * 1024 } else { RouterOptions::default().view_bytes };
        let (log_, router) = full(3, RouterOptions { view_bytes, ..RouterOptions::default() }).await;
        let mut stalled = Vec::new();
        for position in 0..20 {
            let start = Start::After(log_.epoch().at(position * 1_000));
            let mut reader = open(&router, request(None, start)).await;
            assert_eq!(next(&mut *reader), None, "it waits for the log");
            stalled.push(reader);
        }
        let start = Start::After(log_.epoch().at(9_500));
        let reader = open(&router, request(None, start)).await;
        let read =
            tokio::time::timeout(std::time::Duration::from_secs(60), read_on(reader, EVENTS - 9_500, 0));
        assert!(read.await.is_ok(), "it waits for those who stalled");
    }
}

#[tokio::test]
async fn a_read_that_fails_ends_all_who_wait_for_it() {
    let (log_, router) = full(50, RouterOptions::default()).await;
    let mut readers = Vec::new();
    for position in [0, 5_000, 10_000] {
        readers.push(open(&router, request(None, Start::After(log_.epoch().at(position)))).await);
    }
    readers.iter_mut().for_each(|reader| assert_eq!(next(&mut **reader), None));
    log_.fails.store(true, Ordering::SeqCst);
    for reader in &mut readers {
        let delivery = std::future::poll_fn(|cx| reader.poll_next(cx, ALL)).await;
        assert!(matches!(delivery, Delivery::End(end) if end.reason == EndReason::Error));
    }
    assert_eq!(log_.reads.load(Ordering::SeqCst), 0);
    log_.fails.store(false, Ordering::SeqCst);
    let back = open(&router, request(None, Start::After(log_.epoch().at(5_000)))).await;
    read_on(back, EVENTS - 5_000, 0).await;
}
