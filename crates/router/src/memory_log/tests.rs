use std::sync::atomic::{AtomicU64, Ordering};

use core_events::{
    Event, ExecutionStatus, Fact, NodeStatus, Record,
    limits::{MAX_EVENT_BYTES, MAX_INLINE_OUTPUT_BYTES},
};

use super::*;
use crate::testing::{begin, end, id, log, node};

fn small(records: usize, finished_runs: usize) -> MemoryLog {
    MemoryLog::new(MemoryLogOptions { records, finished_runs, ..MemoryLogOptions::default() })
}

async fn append(log: &MemoryLog, facts: Vec<Fact>) {
    log.append(facts.into()).await.unwrap();
}

/// The offsets that are gone, and those that are there.
async fn read(log: &MemoryLog, scope: Scope, after: Offset, up_to: Offset) -> (Option<(u64, u64)>, Vec<u64>) {
    let range = ReadRange { scope, after, up_to, max_records: 100, max_bytes: usize::MAX };
    let batch = log.read(range).await.unwrap();
    let pruned = batch.pruned.map(|pruned| (*pruned.offsets.start(), *pruned.offsets.end()));
    (pruned, batch.records.iter().map(|record| record.offset).collect())
}

fn run(text: &str) -> Scope {
    Scope::Run(id(text))
}

#[tokio::test]
async fn places_have_no_hole() {
    let log_ = MemoryLog::default();
    append(&log_, vec![begin("a"), begin("a.x")]).await;
    append(&log_, vec![begin("b")]).await;
    let appended = log_.append(vec![log("a.x", ""), log("a", "")].into()).await.unwrap();
    let places: Vec<_> = appended.records.iter().map(|r| (r.offset, r.seq)).collect();
    assert_eq!(places, [(4, 3), (5, 4)]);
    assert_eq!(log_.head(), 5);
}

#[tokio::test]
async fn an_append_is_taken_as_a_whole_or_not_at_all() {
    let log_ = MemoryLog::default();
    append(&log_, vec![begin("a"), begin("a.x")]).await;
    let too_large = log("a", &"x".repeat(MAX_EVENT_BYTES));
    for (facts, error) in [
        (vec![], AppendError::Mixed),
        (vec![log("a", ""), log("b", "")], AppendError::Mixed),
        (vec![end("a.x"), log("a.x", "")], AppendError::Ended(id("a.x"))),
        (vec![end("a"), log("a.x", "")], AppendError::Ended(id("a"))),
        (vec![end("a"), end("a")], AppendError::Ended(id("a"))),
    ] {
        assert_eq!(log_.append(facts.into()).await.unwrap_err(), error);
    }
    let refused = log_.append(vec![log("a", ""), too_large].into()).await.unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge(_)));
    // Another run's execution.
    let mut foreign = log("b", "");
    foreign.context.execution = id("a.x");
    assert_eq!(log_.append(vec![foreign].into()).await.unwrap_err(), AppendError::Mixed);
    assert_eq!(log_.head(), 2);
    assert_eq!(log_.state(&id("a")).await.unwrap().0.status, ExecutionStatus::Running);
}

#[tokio::test]
async fn nothing_follows_an_end() {
    let log_ = MemoryLog::default();
    append(&log_, vec![begin("a"), begin("a.x"), end("a.x")]).await;
    assert_eq!(log_.append(vec![log("a.x", "")].into()).await.unwrap_err(), AppendError::Ended(id("a.x")));
    append(&log_, vec![log("a", ""), end("a")]).await;
    assert_eq!(log_.append(vec![begin("a.y")].into()).await.unwrap_err(), AppendError::Ended(id("a")));
    assert_eq!(log_.find(&id("a.x")).await.unwrap().ended, Some(3));
    assert_eq!(log_.find(&id("a")).await.unwrap().ended, Some(5));
}

#[tokio::test]
async fn finished_runs_go_first_and_leave_their_ends() {
    let log_ = small(6, 10);
    append(&log_, vec![begin("a")]).await; // 1
    append(&log_, vec![begin("b"), begin("b.x"), end("b.x"), end("b")]).await; // 2..=5
    append(&log_, vec![begin("c"), end("c")]).await; // 6, 7: one too many, b's first goes
    assert_eq!(read(&log_, run("a"), 0, 99).await, (None, vec![1]));
    assert_eq!(read(&log_, run("b"), 0, 99).await, (Some((2, 2)), vec![3, 4, 5]));
    assert_eq!(read(&log_, run("c"), 0, 99).await, (None, vec![6, 7]));
    append(&log_, (0..5).map(|_| log("a", "")).collect()).await; // 8..=12: b and c go, then a's first would be next
    assert_eq!(read(&log_, run("b"), 0, 99).await, (Some((2, 3)), vec![4, 5]));
    assert_eq!(read(&log_, run("c"), 0, 99).await, (Some((6, 6)), vec![7]));
    assert_eq!(read(&log_, run("a"), 0, 99).await, (None, vec![1, 8, 9, 10, 11, 12]));
    append(&log_, vec![log("a", "")]).await; // 13
    assert_eq!(read(&log_, run("a"), 0, 99).await, (Some((1, 1)), vec![8, 9, 10, 11, 12, 13]));
    // Over all runs: what is gone lies between the ends that were kept.
    assert_eq!(read(&log_, Scope::All, 0, 99).await, (Some((1, 3)), vec![4, 5]));
    assert_eq!(read(&log_, Scope::All, 5, 99).await, (Some((6, 6)), vec![7, 8, 9, 10, 11, 12, 13]));
    assert_eq!(read(&log_, Scope::All, 0, 2).await, (Some((1, 2)), vec![]));
    let stats = log_.stats();
    assert_eq!((stats.runs, stats.records, stats.appended, stats.pruned), (3, 9, 13, 4));
    assert_eq!(log_.state(&id("b")).await.unwrap().0.last_seq, Some(4), "I2: the fold outlives the events");
}

/// A reader that is only a little behind must not lose a long run at the moment of its end.
#[tokio::test]
async fn a_run_that_is_larger_than_the_log_keeps_its_newest_records_when_it_ends() {
    let log_ = small(6, 10);
    for _ in 0..9 {
        append(&log_, vec![log("a", "")]).await;
    }
    append(&log_, vec![end("a")]).await;
    assert_eq!(read(&log_, run("a"), 0, 99).await, (Some((1, 4)), vec![5, 6, 7, 8, 9, 10]));
}

#[tokio::test]
async fn a_hole_is_told_once_it_is_really_there() {
    let log_ = MemoryLog::new(MemoryLogOptions { records_per_run: Some(2), ..MemoryLogOptions::default() });
    for run in ["a", "b", "a", "b", "a"] {
        append(&log_, vec![log(run, "")]).await;
    }
    assert_eq!(read(&log_, run("a"), 0, 99).await, (Some((1, 1)), vec![3, 5]));
    assert_eq!(read(&log_, run("a"), 1, 99).await, (None, vec![3, 5]));
    assert_eq!(read(&log_, run("a"), 3, 99).await, (None, vec![5]));
    assert_eq!(read(&log_, run("b"), 0, 99).await, (None, vec![2, 4]));
    assert_eq!(read(&log_, run("nobody"), 0, 99).await, (None, vec![]));
}

#[tokio::test]
async fn bytes_are_bounded() {
    let log_ = MemoryLog::new(MemoryLogOptions { bytes: 20_000, ..MemoryLogOptions::default() });
    for _ in 0..10 {
        append(&log_, vec![log("a", &"x".repeat(3_000))]).await;
    }
    assert!((15_000..=20_000).contains(&log_.stats().bytes), "{:?}", log_.stats());
}

#[tokio::test]
async fn states_are_bounded_by_their_bytes() {
    let log_ = MemoryLog::new(MemoryLogOptions { state_bytes: 20_000, ..MemoryLogOptions::default() });
    let large = |run: &str| {
        let mut fact = node(run, "n", NodeStatus::Completed);
        if let Event::NodeStatusChanged(event) = &mut fact.event {
            event.output = Some("x".repeat(9_000).into());
        }
        fact
    };
    for run in ["a", "b", "c"] {
        // A node in a loop counts once.
        append(&log_, vec![begin(run), large(run), large(run), end(run)]).await;
    }
    assert_eq!(log_.find(&id("a")).await, Err(LookupError::Deleted(id("a"))));
    assert!(log_.find(&id("b")).await.is_ok() && log_.find(&id("c")).await.is_ok());
}

#[tokio::test]
async fn a_run_beyond_the_bound_is_deleted() {
    let log_ = small(100, 1);
    append(&log_, vec![begin("a"), begin("a.x"), end("a")]).await;
    append(&log_, vec![begin("b"), end("b")]).await;
    for gone in ["a", "a.x"] {
        assert_eq!(log_.find(&id(gone)).await.unwrap_err(), LookupError::Deleted(id(gone)));
        assert_eq!(log_.state(&id(gone)).await.unwrap_err(), LookupError::Deleted(id(gone)));
    }
    assert_eq!(log_.append(vec![log("a", "")].into()).await.unwrap_err(), AppendError::Ended(id("a")));
    assert_eq!(read(&log_, run("a"), 1, 99).await, (Some((2, 3)), vec![]));
    assert_eq!(read(&log_, Scope::All, 0, 99).await, (Some((1, 3)), vec![4, 5]));
    assert_eq!(log_.find(&id("z")).await.unwrap_err(), LookupError::Unknown(id("z")));
}

#[tokio::test]
async fn runs_are_listed_newest_first() {
    let log_ = small(100, 1);
    for run in ["a", "b", "c"] {
        append(&log_, vec![begin(run), node(run, "n", NodeStatus::Running)]).await;
    }
    append(&log_, vec![end("b")]).await;
    let list = async |status, before: Option<&str>, limit| {
        let query = ListQuery { status, before: before.map(id), limit, ..ListQuery::default() };
        let runs = log_.list(&query).await.unwrap();
        runs.into_iter().map(|run| run.execution_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 10).await, ["c", "b", "a"]);
    assert_eq!(list(None, None, 2).await, ["c", "b"]);
    assert_eq!(list(None, Some("c"), 10).await, ["b", "a"]);
    assert_eq!(list(Some(ExecutionStatus::Running), None, 10).await, ["c", "a"]);
    append(&log_, vec![end("c")]).await;
    assert_eq!(list(None, Some("b"), 10).await, ["a"], "b was removed, and still says where to go on");
    assert!(list(None, Some("z"), 10).await.is_empty());
    let runs = log_.list(&ListQuery { limit: 1, ..ListQuery::default() }).await.unwrap();
    assert_eq!((runs[0].events, runs[0].nodes["RUNNING"]), (3, 1));
}

#[tokio::test]
async fn outputs_are_served_from_beside_the_event_or_from_it() {
    let log_ = small(3, 1);
    let with = |output: Option<serde_json::Value>, attachment: Option<&[u8]>| {
        let mut fact = node("a", "n", NodeStatus::Completed);
        let Event::NodeStatusChanged(event) = &mut fact.event else { panic!("a node's") };
        event.output = output;
        fact.attachment = attachment.map(Bytes::copy_from_slice);
        fact
    };
    let large = vec![b'1'; MAX_INLINE_OUTPUT_BYTES + 1];
    append(&log_, vec![with(None, Some(&large)), with(Some(serde_json::json!({"b": 1, "a": 2})), None)])
        .await;
    append(&log_, vec![log("a", "")]).await;
    let output = async |seq| log_.output(&id("a"), seq).await.unwrap();
    assert_eq!(output(1).await.unwrap(), large);
    assert_eq!(output(2).await.unwrap(), r#"{"b":1,"a":2}"#);
    assert_eq!(output(3).await, None);
    assert_eq!(output(4).await, None);
    append(&log_, vec![log("a", "")]).await;
    assert_eq!(output(1).await, None, "evicted");
    assert_eq!(output(2).await.unwrap(), r#"{"b":1,"a":2}"#);
    assert!(log_.output(&id("z"), 1).await.is_err());
}

#[tokio::test]
async fn listeners_hear_every_record_once() {
    #[derive(Debug, Default)]
    struct Last(AtomicU64);
    impl CommitListener for Last {
        fn unstored(&self, _: &[Arc<Record>]) {}

        fn lost(&self, _: Offset) {}

        fn removed(&self, _: &ExecutionId) {}

        fn renewed(&self, _: &Epoch) {}

        fn committed(&self, records: &[Arc<Record>]) {
            for record in records {
                assert_eq!(self.0.swap(record.offset, Ordering::SeqCst) + 1, record.offset);
            }
        }
    }
    let log_ = MemoryLog::default();
    append(&log_, vec![begin("a")]).await;
    let listener = Arc::new(Last(AtomicU64::new(1)));
    assert_eq!(log_.follow(Arc::clone(&listener) as Arc<dyn CommitListener>), 1);
    append(&log_, vec![log("a", ""), log("a", "")]).await;
    append(&log_, vec![log("a", "")]).await;
    assert_eq!(listener.0.load(Ordering::SeqCst), 4);
}
