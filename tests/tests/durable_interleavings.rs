//! I5, I4, I8, I9 as properties of the durable log, with removal and retention beside the readers, and restarts between them:
//! nothing lost, repeated or reordered; a gap exactly where events were taken away; states and places survive (I1, I2, I7).
//!
//! `DIPEO_LONG=1` tries 100,000 plans.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a broken expectation is a failed test")]

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use core_events::ports::{EventLog, ListQuery, LookupError, RemoveError, SystemClock};
use event_store::{Retention, SqliteLog, StoreOptions};
use parking_lot::Mutex;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use router::RouterOptions;
use tempfile::TempDir;
use tests::interleaving::{Cast, Kind, Op, RUNS, Race, Subject, Tally, World, ops, routers};

/// A router keeps following the log that it began on, as long as that is open: so many plans share one opening.
const PLANS_PER_OPENING: usize = 25;
/// So many share one store.
const PLANS_PER_STORE: usize = 1_000;

#[derive(Debug, Clone)]
struct Plan {
    keep: Keep,
    router: RouterOptions,
    ops: Vec<Op<Restart>>,
}

/// The process ends and another one begins.
#[derive(Debug, Clone)]
struct Restart {
    /// Whether it ends in order.
    clean: bool,
    /// Retention from then on.
    keep: Keep,
}

/// Which finished runs retention leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    /// With the running ones, so many.
    Some(usize),
    None,
}

fn plans() -> impl Strategy<Value = Plan> {
    let keep =
        || prop_oneof![2 => Just(Keep::All), 2 => (0_usize..3).prop_map(Keep::Some), 1 => Just(Keep::None)];
    let restart = (any::<bool>(), keep(), 0..RUNS, prop_oneof![Just(0), 0_usize..40])
        .prop_map(|(clean, keep, run, lines)| Op::Restart { how: Restart { clean, keep }, run, lines });
    let op = prop_oneof![
        40 => ops(),
        2 => (0..RUNS).prop_map(|run| Op::Publish { run, facts: vec![(None, Kind::End)] }),
        3 => (0..RUNS).prop_map(|run| Op::Remove { run }),
        1 => restart,
    ];
    (keep(), routers(), prop::collection::vec(op, 1..60)).prop_map(|(keep, router, ops)| Plan {
        keep,
        router,
        ops,
    })
}

// === The store ===

/// A store in a folder of its own.
struct OnDisk {
    log: Option<(Arc<SqliteLog>, Arc<dyn EventLog>)>,
    keep: Keep,
    plans: usize,
    seen: Seen,
    dir: TempDir,
}

/// What was seen, so that nothing passes because nothing happened.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    plans: usize,
    tally: Tally,
    /// Records that were taken away.
    pruned: u64,
    clean: usize,
    unclean: usize,
}

impl OnDisk {
    fn new(keep: Keep) -> Self {
        // In memory where possible: what is tried here is not the disk.
        let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let mut store = Self { log: None, keep, plans: 0, seen: Seen::default(), dir };
        store.open();
        store
    }

    fn open(&mut self) {
        let mut options = StoreOptions::new(self.dir.path());
        options.retention = match self.keep {
            Keep::All => Retention::default(),
            Keep::Some(runs) => Retention { max_runs: Some(runs), ..Retention::default() },
            Keep::None => Retention { max_age: Some(Duration::ZERO), ..Retention::default() },
        };
        // A busy machine is no stalled disk.
        options.stall_after = Duration::from_secs(600);
        options.readers = 2;
        let log = SqliteLog::open(options, Arc::new(SystemClock)).unwrap();
        self.log = Some((Arc::clone(&log), log));
    }

    fn reopen(&mut self, clean: bool, keep: Keep) {
        let (log, port) = self.log.take().unwrap();
        drop(port);
        let (epoch, head) = (log.epoch(), log.head());
        self.seen.pruned += log.stats().pruned;
        if clean {
            log.close();
            self.seen.clean += 1;
        } else {
            self.seen.unclean += 1;
        }
        let log = Arc::try_unwrap(log);
        assert!(log.is_ok(), "nobody else holds the log");
        drop(log);
        self.keep = keep;
        self.open();
        assert!(self.log().head() >= head && self.log().epoch() == epoch, "I6, I7: nothing is forgotten");
    }

    fn finish(mut self) -> Seen {
        self.reopen(true, self.keep);
        self.seen
    }
}

impl Subject for OnDisk {
    type Restart = Restart;

    fn log(&self) -> &Arc<dyn EventLog> {
        &self.log.as_ref().unwrap().1
    }

    fn restart(&mut self, how: &Restart) {
        self.reopen(how.clean, how.keep);
    }
}

// === One task, any order ===

fn try_plan(store: OnDisk, plan: &Plan, runtime: &tokio::runtime::Runtime) -> OnDisk {
    let cast = Cast { mark: format!("c{}-", store.plans) };
    let (mut store, tally) = runtime.block_on(World::run(store, cast, plan.router.clone(), &plan.ops));
    store.plans += 1;
    store.seen.plans += 1;
    store.seen.tally += tally;
    store
}

/// Tries so many plans, one after the other.
fn try_plans(cases: u32) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Empty behind a failed plan: the next one begins with a new store.
    let kept: RefCell<Option<OnDisk>> = RefCell::new(None);
    let mut runner = TestRunner::new(Config { cases, source_file: Some(file!()), ..Config::default() });
    let tried = runner.run(&plans(), |plan| {
        let mut store = match kept.take() {
            Some(store) if store.plans < PLANS_PER_STORE => store,
            used => {
                let mut store = OnDisk::new(plan.keep);
                store.seen = used.map_or_else(Seen::default, OnDisk::finish);
                store
            }
        };
        if store.keep != plan.keep || store.plans % PLANS_PER_OPENING == 0 {
            store.reopen(store.plans % 2 == 0, plan.keep);
        }
        kept.replace(Some(try_plan(store, &plan, &runtime)));
        Ok(())
    });
    if let Err(failed) = tried {
        panic!("{failed}");
    }
    kept.take().map_or_else(Seen::default, OnDisk::finish)
}

#[test]
#[allow(clippy::print_stdout, reason = "figures to read, with --nocapture")]
fn a_reader_sees_the_filtered_log_once_and_in_order() {
    let cases = if std::env::var_os("DIPEO_LONG").is_some() { 100_000 } else { 256 };
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().clamp(2, 8));
    let each = cases / u32::try_from(threads).unwrap() + 1;
    let all = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let seen = try_plans(each);
                let mut all = all.lock();
                all.plans += seen.plans;
                all.tally += seen.tally;
                all.pruned += seen.pruned;
                all.clean += seen.clean;
                all.unclean += seen.unclean;
            });
        }
    });
    let Seen { plans, tally, pruned, clean, unclean } = all.into_inner();
    println!(
        "{plans} plans: {tally:?}; {pruned} events taken away, {clean} clean and {unclean} unclean restarts"
    );
    let Tally { appended, events, gaps, resumed, removed, saved, forgotten } = tally;
    let figures = [appended, events, gaps, resumed, removed, saved, forgotten, clean, unclean];
    assert!(plans >= cases as usize && figures.iter().all(|figure| *figure > 0) && pruned > 0);
}

// === Many threads ===

/// Deletes the oldest finished run, again and again.
async fn delete_runs(log: Arc<dyn EventLog>, deleted: Arc<AtomicUsize>) {
    loop {
        let runs = log.list(&ListQuery { limit: 1_000, ..ListQuery::default() }).await.unwrap();
        if let Some(run) = runs.iter().rev().find(|run| run.status.is_terminal()) {
            match log.remove(&run.execution_id).await {
                Ok(()) => {
                    deleted.fetch_add(1, Ordering::Relaxed);
                }
                // Retention was there first.
                Err(RemoveError::Lookup(LookupError::Deleted(_))) => {}
                Err(error) => panic!("{error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[allow(clippy::print_stdout, reason = "figures to read, with --nocapture")]
async fn threads_change_nothing() {
    let rounds = if std::env::var_os("DIPEO_LONG").is_some() { 400 } else { 8 };
    let tail =
        |tail_records, view_bytes| RouterOptions { tail_records, view_bytes, ..RouterOptions::default() };
    let mut all = Tally::default();
    let deleted = Arc::new(AtomicUsize::new(0));
    let mut pruned = 0;
    for round in 0..rounds {
        let (keep, router) = match round % 4 {
            0 => (Keep::All, RouterOptions::default()),
            1 => (Keep::Some(2), tail(8, 2_000)),
            2 => (Keep::All, tail(8, 2_000)),
            _ => (Keep::None, tail(0, 1)),
        };
        let store = OnDisk::new(keep);
        let log = Arc::clone(store.log());
        let deleting = (round % 4 != 1).then(|| delete_runs(Arc::clone(&log), Arc::clone(&deleted)));
        let deleting = deleting.map(tokio::spawn);
        let race = Race { round, cast: Cast::default(), router, runs_each: 4, events: 120, readers: 12 };
        all += race.run(&log).await;
        if let Some(deleting) = deleting {
            deleting.abort();
            assert!(deleting.await.is_err_and(|ended| ended.is_cancelled()), "it goes on until then");
        }
        drop(log);
        pruned += tokio::task::spawn_blocking(|| store.finish().pruned).await.unwrap();
    }
    let deleted = deleted.load(Ordering::Relaxed);
    println!("{rounds} rounds: {all:?}; {deleted} runs deleted, {pruned} events taken away");
    assert!(all.events > 0 && all.gaps > 0 && all.resumed > 0 && deleted > 0 && pruned > 0);
}
