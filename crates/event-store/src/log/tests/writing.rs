//! Order, group commits, room, closing.

use std::sync::atomic::Ordering;

use core_events::{
    ExecutionStatus,
    ports::{AppendError, ListQuery, LookupError, RemoveError, RunSummary},
};
use futures_util::future::join_all;

use super::*;
use crate::OpenError;

async fn list(log: &SqliteLog) -> Vec<RunSummary> {
    log.list(&ListQuery { limit: 9, ..ListQuery::default() }).await.unwrap()
}

/// Appends in a task of its own.
fn start(log: &Arc<SqliteLog>, facts: Vec<Fact>) -> tokio::task::JoinHandle<(Offset, bool)> {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let appended = log.append(facts.into()).await.unwrap();
        (appended.records[0].offset, appended.stored)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_appenders_make_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    let heard = Heard::follow(&log_);
    let appenders = (0..16).map(|appender| {
        let log_ = Arc::clone(&log_);
        tokio::spawn(async move {
            let run = format!("r{}", appender % 5);
            for line in 0..100 {
                let facts = vec![log(&run, "x"), log(&run, &line.to_string())];
                let appended = log_.append(facts.into()).await.unwrap();
                let [a, b] = appended.records.as_slice() else { panic!("two") };
                assert_eq!((a.offset + 1, a.seq + 1), (b.offset, b.seq), "next to each other");
                assert!(appended.stored && log_.head() >= b.offset, "committed before it returns");
            }
        })
    });
    for appender in join_all(appenders).await {
        appender.unwrap();
    }
    assert_eq!(heard.all(), (1..=3_200).map(|n| n.to_string()).collect::<Vec<_>>());
    let all = places(&log_, Scope::All).await;
    assert_eq!(all.iter().map(|place| place.0).collect::<Vec<_>>(), (1..=3_200).collect::<Vec<_>>());
    for run in 0..5 {
        let seqs = places(&log_, Scope::Run(id(&format!("r{run}")))).await.into_iter().map(|place| place.1);
        assert!(seqs.eq(1..=if run == 0 { 800 } else { 600 }));
    }
    let commits = log_.stats().store.unwrap().commits;
    assert!(commits < 1_600, "{commits} commits of 1600 appends: none had company");
}

#[tokio::test]
async fn what_is_seen_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    append(&log_, vec![begin("a")]).await;
    let held = hold(&log_);
    let waits = start(&log_, vec![begin("a.x"), end("a")]);
    until("it is enqueued", || !log_.shared.sequencer.lock().is_idle()).await;
    assert_eq!(log_.find(&id("a")).await.unwrap().ended, None);
    assert_eq!(log_.find(&id("a.x")).await, Err(LookupError::Unknown(id("a.x"))));
    assert_eq!(list(&log_).await[0].status, ExecutionStatus::Running);
    let state = tokio::spawn({
        let log_ = Arc::clone(&log_);
        async move { log_.state(&id("a")).await.unwrap() }
    });
    tokio::task::yield_now().await;
    assert_eq!((log_.head(), state.is_finished(), waits.is_finished()), (1, false, false));
    drop(held);
    assert_eq!(waits.await.unwrap(), (2, true));
    let (state, cursor) = state.await.unwrap();
    assert_eq!((state.status, cursor.offset), (ExecutionStatus::Completed, 3));
    assert_eq!(log_.find(&id("a")).await.unwrap().ended, Some(3));
    assert!(log_.shared.sequencer.lock().find(&id("a"), 3).is_none(), "a run that ended leaves memory");
    assert_eq!(list(&log_).await[0].status, ExecutionStatus::Completed);
}

#[tokio::test]
async fn beyond_the_bound_appends_wait_or_are_told_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open_with(StoreOptions { queue_bytes: 4_000, ..options(dir.path()) });
    append(&log_, vec![begin("a")]).await;
    let held = hold(&log_);
    let appends: Vec<_> = (0..40).map(|n| start(&log_, vec![log("a", &n.to_string())])).collect();
    until("there is a crowd", || log_.shared.crowd.load(Ordering::SeqCst) > 20).await;
    assert!(log_.shared.sequencer.lock().bytes() < 5_000);
    assert_eq!(log_.append(refusing(vec![log("a", "")])).await.unwrap_err(), AppendError::Busy);
    assert_eq!(log_.health(), None);
    drop(held);
    // Who came first goes first.
    let offsets: Vec<_> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(offsets, (2..=41).map(|n| (n, true)).collect::<Vec<_>>());
    assert_eq!(log_.shared.crowd.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn closing_stores_what_waits_and_hands_the_store_on() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    append(&log_, vec![begin("a")]).await;
    let second = SqliteLog::open(options(dir.path()), Arc::new(SystemClock));
    assert!(matches!(second, Err(OpenError::Owned)));
    let held = hold(&log_);
    let waits = start(&log_, vec![log("a", "")]);
    until("it is enqueued", || !log_.shared.sequencer.lock().is_idle()).await;
    let closing = tokio::task::spawn_blocking({
        let log_ = Arc::clone(&log_);
        move || log_.close()
    });
    until("it closes", || log_.shared.sequencer.lock().stop.is_some()).await;
    drop(held);
    closing.await.unwrap();
    assert_eq!(waits.await.unwrap(), (2, true));
    assert!(matches!(log_.append(vec![log("a", "")].into()).await, Err(AppendError::Unavailable(_))));
    assert!(log_.remove(&id("a")).await.is_err());
    let wal = dir.path().join("log.sqlite-wal");
    assert!(!wal.metadata().is_ok_and(|file| file.len() > 0), "all is in the main file");
    assert_eq!(open(dir.path()).head(), 2);
}

/// A listener that panics ends the writer; whoever waits for it, or comes later, gets an answer.
#[tokio::test]
async fn nobody_waits_for_a_writer_that_is_gone() {
    #[derive(Debug)]
    struct Panics;
    impl CommitListener for Panics {
        fn committed(&self, _: &[Arc<Record>]) {
            panic!("as a listener should not");
        }
        fn unstored(&self, _: &[Arc<Record>]) {}
        fn lost(&self, _: Offset) {}
        fn removed(&self, _: &ExecutionId) {}
        fn renewed(&self, _: &Epoch) {}
    }
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    append(&log_, vec![begin("a")]).await;
    log_.follow(Arc::new(Panics));
    assert!(!log_.append(vec![log("a", "")].into()).await.unwrap().stored);
    assert!(matches!(log_.append(vec![log("a", "")].into()).await, Err(AppendError::Unavailable(_))));
    assert!(log_.state(&id("a")).await.is_ok());
    assert!(log_.pin(&id("a"), true).await.is_err());
    log_.close();
}

#[tokio::test]
async fn runs_go_on_in_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    append(&log_, vec![begin("a"), begin("a.x"), log("a", "1")]).await;
    append(&log_, vec![begin("b"), end("b")]).await;
    let before = log_.state(&id("a")).await.unwrap();
    kill(log_);
    let log_ = open(dir.path());
    assert_eq!(log_.state(&id("a")).await.unwrap(), before);
    append(&log_, vec![end("a.x"), end("a")]).await;
    assert_eq!(log_.state(&id("a")).await.unwrap().0.log_lines, 1);
    assert_eq!(places(&log_, Scope::Run(id("a"))).await, [(1, 1), (2, 2), (3, 3), (6, 4), (7, 5)]);
    let runs = list(&log_).await;
    let runs: Vec<_> = runs.iter().map(|run| (run.execution_id.as_str(), run.events)).collect();
    assert_eq!(runs, [("b", 2), ("a", 5)]);
}

#[tokio::test]
async fn runs_are_removed_and_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    let heard = Heard::follow(&log_);
    append(&log_, vec![begin("a"), begin("a.x")]).await;
    assert_eq!(log_.remove(&id("a")).await, Err(RemoveError::Running(id("a"))));
    append(&log_, vec![end("a")]).await;
    append(&log_, vec![begin("b")]).await;
    log_.pin(&id("b"), true).await.unwrap();
    append(&log_, vec![log("b", "")]).await;
    assert!(list(&log_).await[0].pinned);
    log_.remove(&id("a")).await.unwrap();
    assert_eq!(heard.all(), ["1", "2", "3", "4", "5", "-a"]);
    assert_eq!(log_.remove(&id("a")).await, Err(LookupError::Deleted(id("a")).into()));
    append(&log_, vec![end("b")]).await;
    log_.remove(&id("b")).await.unwrap();
    kill(log_);
    let log_ = open(dir.path());
    append(&log_, vec![begin("c")]).await;
    assert_eq!(places(&log_, Scope::Run(id("c"))).await, [(7, 1)], "no position is given twice");
}

#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    append(&log_, vec![begin("a")]).await;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}
