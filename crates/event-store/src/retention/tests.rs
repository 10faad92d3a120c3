use std::sync::Arc;

use core_events::{
    Epoch, Record,
    ports::{CommitListener, EventLog, LookupError, SystemClock},
};

use super::*;
use crate::{
    SqliteLog,
    testing::{Store, begin, end, id, log},
};

fn retention(bounds: options::Retention) -> Retention {
    let mut options = StoreOptions::new("unused");
    options.retention = bounds;
    Retention::new(&options)
}

/// Steps until nothing is left to do; what was removed.
fn settle(store: &mut Store, retention: &mut Retention, counters: &Counters) -> Vec<String> {
    let mut removed = Vec::new();
    loop {
        let step = retention.step(&mut store.connection, store.now, store.head, counters).unwrap();
        removed.extend(step.removed.iter().map(ToString::to_string));
        if !step.more {
            return removed;
        }
    }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// Finished at 10, 20, 30 and 40 s: a, b, c, d; e goes on.
fn five() -> Store {
    let mut store = Store::new();
    store.append(["a", "b", "c", "d", "e"].map(begin));
    for (time, run) in [(10, "a"), (20, "b"), (30, "c"), (40, "d")] {
        store.now = seconds(time);
        store.append([end(run)]);
    }
    store
}

#[test]
fn nothing_goes_without_bounds() {
    let mut store = five();
    let counters = Counters::open(&store.connection).unwrap();
    store.now = seconds(1_000_000_000);
    assert!(settle(&mut store, &mut retention(options::Retention::default()), &counters).is_empty());
}

#[test]
fn old_runs_go_by_the_time_of_their_end() {
    let mut store = five();
    let counters = Counters::open(&store.connection).unwrap();
    let max_age = Some(Duration::from_secs(25));
    let mut retention = retention(options::Retention { max_age, ..options::Retention::default() });
    store.now = seconds(35);
    assert!(settle(&mut store, &mut retention, &counters).is_empty());
    store.now = seconds(46);
    assert_eq!(settle(&mut store, &mut retention, &counters), ["a", "b"]);
    store.now = seconds(1_000);
    assert_eq!(settle(&mut store, &mut retention, &counters), ["c", "d"]);
    assert_eq!(store.count("events"), 1);
    assert_eq!(counters.runs(), 1);
}

#[test]
fn running_and_pinned_runs_stay_and_so_does_the_one_that_finished_last() {
    let mut store = five();
    let counters = Counters::open(&store.connection).unwrap();
    remove::pin(&mut store.connection, &id("b"), true, &counters).unwrap().unwrap();
    let mut retention = retention(options::Retention { max_runs: Some(0), ..options::Retention::default() });
    assert_eq!(settle(&mut store, &mut retention, &counters), ["a", "c"]);
    remove::pin(&mut store.connection, &id("b"), false, &counters).unwrap().unwrap();
    assert_eq!(settle(&mut store, &mut retention, &counters), ["b"]);
    store.append([end("e")]);
    assert_eq!(settle(&mut store, &mut retention, &counters), ["d"]);
}

#[test]
fn as_many_runs_stay_as_may() {
    let mut store = five();
    let counters = Counters::open(&store.connection).unwrap();
    let mut retention = retention(options::Retention { max_runs: Some(3), ..options::Retention::default() });
    assert_eq!(settle(&mut store, &mut retention, &counters), ["a", "b"]);
    assert_eq!(counters.runs(), 3);
}

#[test]
fn a_store_that_grows_too_large_loses_its_oldest_runs_and_gives_their_space_back() {
    let mut store = Store::new();
    for n in 0..8 {
        let run = format!("r{n}");
        store.now = seconds(n);
        let lines = (0..3_000).map(|_| log(&run, &"x".repeat(300)));
        store.append(lines.chain([end(&run)]).collect::<Vec<_>>());
    }
    let checkpoint = |store: &Store| {
        store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        std::fs::metadata(store.options().file()).unwrap().len()
    };
    let before = checkpoint(&store);
    let max_bytes = before * 9 / 16;
    let counters = Counters::open(&store.connection).unwrap();
    let mut retention =
        retention(options::Retention { max_bytes: Some(max_bytes), ..options::Retention::default() });
    assert_eq!(settle(&mut store, &mut retention, &counters), ["r0", "r1", "r2", "r3"]);
    let after = checkpoint(&store);
    assert!(after < max_bytes * 11 / 10, "{before} {after}");
    assert_eq!(store.count("events"), 4 * 3_001);
    assert_eq!(store.count("doomed"), 0);
    let check: String = store.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn a_long_run_leaves_the_file_in_small_steps() {
    let mut store = Store::new();
    let lines = (0..20_000).map(|_| log("a", "a line")).chain([end("a"), begin("b")]);
    store.append(lines.collect::<Vec<_>>());
    let counters = Counters::open(&store.connection).unwrap();
    remove::run(&mut store.connection, &id("a"), store.head, &counters).unwrap().unwrap();
    let mut retention = retention(options::Retention::default());
    let mut left = store.count("events");
    loop {
        let step = retention.step(&mut store.connection, store.now, store.head, &counters).unwrap();
        let now = store.count("events");
        assert!(left - now <= 4_096);
        left = now;
        if !step.more {
            break;
        }
    }
    assert_eq!(left, 1);
}

#[derive(Debug, Default)]
struct Removals {
    removed: parking_lot::Mutex<Vec<String>>,
    changed: tokio::sync::Notify,
}

impl CommitListener for Removals {
    fn committed(&self, _: &[Arc<Record>]) {}

    fn unstored(&self, _: &[Arc<Record>]) {}

    fn lost(&self, _: Offset) {}

    fn removed(&self, root: &ExecutionId) {
        self.removed.lock().push(root.to_string());
        self.changed.notify_one();
    }

    fn renewed(&self, _: &Epoch) {}
}

#[tokio::test]
async fn the_log_keeps_its_bounds_by_itself_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(dir.path());
    options.retention.max_runs = Some(2);
    let log_ = SqliteLog::open(options, Arc::new(SystemClock)).unwrap();
    let removals = Arc::new(Removals::default());
    log_.follow(Arc::clone(&removals) as Arc<dyn CommitListener>);
    for run in ["a", "b", "c", "d"] {
        log_.append(vec![begin(run), log(run, ""), end(run)].into()).await.unwrap();
    }
    while removals.removed.lock().len() < 2 {
        removals.changed.notified().await;
    }
    assert_eq!(*removals.removed.lock(), ["a", "b"]);
    assert_eq!(log_.find(&id("b")).await, Err(LookupError::Deleted(id("b"))));
    let stats = log_.stats();
    assert_eq!((stats.runs, stats.records, stats.appended, stats.pruned), (2, 6, 12, 6));
    assert_eq!(stats.runs_by_status.get("COMPLETED"), Some(&2));
    log_.close();
}
