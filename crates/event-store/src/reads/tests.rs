use std::sync::atomic::{AtomicUsize, Ordering};

use core_events::{
    Envelope, ExecutionStatus,
    ports::{RemoveError, Scope},
};

use proptest::prelude::*;

use super::*;
use crate::{
    remove,
    stats::Counters,
    testing::{Store, begin, end, id, log, output, status},
};

fn remove_run(store: &mut Store, root: &str) {
    remove::run(&mut store.connection, &id(root), store.head, &Counters::default()).unwrap().unwrap();
}

#[tokio::test]
async fn executions_are_found_deleted_or_unknown() {
    let mut store = Store::new();
    store.append([begin("a"), begin("a.x"), begin("a.y"), end("a.x"), begin("b")]);
    let readers = store.readers();
    let ended = async |text| readers.find(&id(text)).await.map(|info| (info.root, info.ended));
    assert_eq!(ended("a").await, Ok((id("a"), None)));
    assert_eq!(ended("a.x").await, Ok((id("a"), Some(4))));
    assert_eq!(ended("a.y").await, Ok((id("a"), None)));
    store.append([end("a")]);
    assert_eq!(ended("a.y").await, Ok((id("a"), Some(6))), "the end of the root is its end, too");
    assert_eq!(ended("a.x").await, Ok((id("a"), Some(4))));
    remove_run(&mut store, "a");
    for gone in ["a", "a.x", "a.y"] {
        assert_eq!(ended(gone).await, Err(LookupError::Deleted(id(gone))));
        assert_eq!(readers.state(&id(gone), 9).await, Err(LookupError::Deleted(id(gone))));
        assert_eq!(readers.output(&id(gone), 1, 9).await, Err(LookupError::Deleted(id(gone))));
    }
    assert_eq!(ended("z").await, Err(LookupError::Unknown(id("z"))));
}

#[tokio::test]
async fn only_a_finished_root_run_is_removed() {
    let mut store = Store::new();
    store.append([begin("a"), begin("a.x"), end("a.x"), begin("b"), end("b")]);
    let counters = Counters::open(&store.connection).unwrap();
    let mut remove =
        |text: &str, head| remove::run(&mut store.connection, &id(text), head, &counters).unwrap();
    assert_eq!(remove("a", 5), Err(RemoveError::Running(id("a"))));
    let part = RemoveError::NotARoot { execution: id("a.x"), root: id("a") };
    assert_eq!(remove("a.x", 5), Err(part));
    assert_eq!(remove("z", 5), Err(LookupError::Unknown(id("z")).into()));
    assert_eq!(remove("b", 5), Ok(()));
    assert_eq!(remove("b", 5), Err(LookupError::Deleted(id("b")).into()));
    while remove::purge(&mut store.connection, 100).unwrap().is_some() {}
    assert_eq!(crate::schema::head(&store.connection).unwrap(), 5, "positions are not used again");
}

#[tokio::test]
async fn runs_are_listed_newest_first_page_by_page() {
    let mut store = Store::new();
    for run in ["a", "b", "c", "d"] {
        store.append([begin(run), log(run, "")]);
    }
    store.append([status("b", ExecutionStatus::Failed), end("d")]);
    remove::pin(&mut store.connection, &id("c"), true, &Counters::default()).unwrap().unwrap();
    let readers = store.readers();
    let list = async |query| {
        let runs = readers.list(&query).await.unwrap();
        runs.into_iter().map(|run| run.execution_id.to_string()).collect::<Vec<_>>()
    };
    let any = ListQuery { limit: 10, ..ListQuery::default() };
    let before = |text| Some(id(text));
    assert_eq!(list(any.clone()).await, ["d", "c", "b", "a"]);
    assert_eq!(list(ListQuery { limit: 2, ..any.clone() }).await, ["d", "c"]);
    assert_eq!(list(ListQuery { before: before("c"), ..any.clone() }).await, ["b", "a"]);
    assert_eq!(list(ListQuery { unfinished: true, ..any.clone() }).await, ["c", "a"]);
    let failed = Some(ExecutionStatus::Failed);
    assert_eq!(list(ListQuery { status: failed.clone(), ..any.clone() }).await, ["b"]);
    assert!(list(ListQuery { status: failed, unfinished: true, ..any.clone() }).await.is_empty());
    let runs = readers.list(&any).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.pinned).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!(runs[1].events, 2);
    remove_run(&mut store, "b");
    assert_eq!(list(any.clone()).await, ["d", "c", "a"]);
    let after_removed = ListQuery { before: before("b"), ..any.clone() };
    assert_eq!(list(after_removed).await, ["a"], "b still says where to go on");
    assert!(list(ListQuery { before: before("z"), ..any }).await.is_empty());
}

#[tokio::test]
async fn outputs_are_served_from_beside_the_event_or_from_it() {
    let mut store = Store::new();
    let inline = serde_json::json!({"b": 1, "a": 2});
    store.append([output("a", None, Some(b"large")), output("a.x", Some(inline), None), log("a", "")]);
    let readers = store.readers();
    let output = async |execution, seq, head| readers.output(&id(execution), seq, head).await.unwrap();
    assert_eq!(output("a", 1, 3).await.unwrap(), "large");
    assert_eq!(output("a.x", 1, 3).await.unwrap(), "large", "seq counts over the root run");
    assert_eq!(output("a", 2, 3).await.unwrap(), r#"{"b":1,"a":2}"#);
    assert_eq!(output("a", 2, 1).await, None, "not committed yet");
    assert_eq!(output("a", 3, 3).await, None);
    assert_eq!(output("a", 4, 3).await, None);
}

#[tokio::test]
async fn a_state_is_the_fold_of_its_events() {
    let mut store = Store::new();
    store.append([begin("a"), begin("a.x")]);
    // More than are folded at once, of both executions.
    store.append((0..5_000).map(|n| log(if n % 3 == 0 { "a.x" } else { "a" }, "line")));
    store.append([output("a", Some(1.into()), None), end("a.x"), end("a")]);
    let readers = store.readers();
    for execution in ["a", "a.x"] {
        let state = readers.state(&id(execution), store.head).await.unwrap();
        assert_eq!(&state, store.state(execution));
    }
    let reads = readers.reads();
    assert_eq!(&readers.state(&id("a"), store.head).await.unwrap(), store.state("a"));
    assert_eq!(readers.reads() - reads, 1, "it was kept");
    assert_eq!(readers.state(&id("a"), 100).await.unwrap().last_seq, Some(100), "up to the head alone");
    remove_run(&mut store, "a");
    assert!(matches!(readers.state(&id("a"), store.head).await, Err(LookupError::Deleted(_))));
}

/// I2, at any point of a run: node events and log lines of a root and its sub-runs, in any order.
#[test]
fn a_state_at_any_head_is_the_fold_of_what_lies_up_to_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let facts = prop::collection::vec((0..3_usize, 0..4_u8), 1..60);
    proptest!(ProptestConfig::with_cases(24), |(facts in facts, heads in prop::collection::vec(0..70_u64, 5))| {
        let executions = ["a", "a.x", "a.y"];
        let mut store = Store::new();
        let facts = facts.into_iter().map(|(execution, what)| match (executions[execution], what) {
            (execution, 0) => begin(execution),
            (execution, 1) => output(execution, Some(what.into()), None),
            (execution, 2) if execution != "a" => end(execution),
            (execution, _) => log(execution, "line"),
        });
        let mut ended = Vec::new();
        let records = store.append(facts.filter(|fact| {
            let over = ended.contains(&fact.context.execution);
            ended.extend(fact.event.terminal_status().map(|_| fact.context.execution.clone()));
            !over
        }).chain([end("a")]).collect::<Vec<_>>());
        let readers = store.readers();
        for head in heads.into_iter().map(|head| head.min(store.head)).chain([store.head]) {
            for execution in executions.map(id) {
                let there = records.iter().any(|record| record.execution == execution);
                let events: Vec<_> = records
                    .iter()
                    .filter(|record| record.offset <= head)
                    .map(|record| Envelope::decode(&record.json).unwrap())
                    .collect();
                let state = runtime.block_on(readers.state(&execution, head));
                let folded = ExecutionState::fold(execution.clone(), &events);
                prop_assert_eq!(state, there.then_some(folded).ok_or(LookupError::Unknown(execution)));
            }
        }
    });
}

#[tokio::test]
async fn many_who_want_the_same_state_have_it_folded_once() {
    let mut store = Store::new();
    store.append([begin("a")]);
    store.append((0..4_500).map(|_| log("a", "line")));
    store.append([end("a")]);
    let (readers, head) = (store.readers(), store.head);
    let all = (0..50).map(|_| {
        let readers = Arc::clone(&readers);
        tokio::spawn(async move { readers.state(&id("a"), head).await.unwrap() })
    });
    for state in all.collect::<Vec<_>>() {
        assert_eq!(&state.await.unwrap(), store.state("a"));
    }
    assert_eq!(readers.reads(), 50 + 3, "each looks the execution up, and three chunks are folded");
}

#[tokio::test]
async fn states_that_are_kept_are_bounded() {
    let mut store = Store::new();
    let large = serde_json::json!("x".repeat(10_000));
    for run in ["a", "b", "c"] {
        store.append([output(run, Some(large.clone()), None), end(run)]);
    }
    let mut options = store.options();
    options.state_cache_bytes = 50_000;
    let readers = Readers::open(options.file(), &options, Arc::new(|| ()));
    let reads = async |run: &str| {
        let before = readers.reads();
        readers.state(&id(run), store.head).await.unwrap();
        readers.reads() - before
    };
    assert_eq!([reads("a").await, reads("b").await, reads("a").await], [2, 2, 1]);
    assert_eq!([reads("c").await, reads("a").await], [2, 1], "b was used longest ago");
    assert_eq!(reads("b").await, 2);
    readers.forget(&id("b"));
    assert_eq!(reads("b").await, 2);
}

#[tokio::test]
async fn a_request_whose_caller_went_is_passed_over() {
    let mut store = Store::new();
    store.append([begin("a")]);
    let mut options = store.options();
    options.readers = 1;
    let readers = Readers::open(options.file(), &options, Arc::new(|| ()));
    let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
    let busy = readers.with(move |_| {
        held.recv().unwrap();
        Ok(())
    });
    let mut busy = Box::pin(busy);
    assert!(futures_poll(busy.as_mut()).is_pending());
    let done = Arc::new(AtomicUsize::new(0));
    let count = || {
        let done = Arc::clone(&done);
        readers.with(move |_| {
            done.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    };
    let mut gone = Box::pin(count());
    assert!(futures_poll(gone.as_mut()).is_pending());
    drop(gone);
    hold.send(()).unwrap();
    busy.await.unwrap();
    count().await.unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    readers.close();
    assert_eq!(count().await, Err(ReadError::Unavailable("it was closed".into())));
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn damage_is_reported_and_a_new_store_is_read() {
    let mut store = Store::new();
    store.append((0..2_000).map(|_| log("a", "some text that fills the pages of the store")));
    store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let options = store.options();
    let damaged = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&damaged);
    let readers = Readers::open(
        options.file(),
        &options,
        Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }),
    );
    let everything = || {
        let range = ReadRange {
            scope: Scope::All,
            after: 0,
            up_to: 2_000,
            max_records: 9_999,
            max_bytes: usize::MAX,
        };
        readers.read(range, 2_000)
    };
    assert_eq!(everything().await.unwrap().records.len(), 2_000);
    let mut bytes = std::fs::read(options.file()).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle..].fill(0xa5);
    // Over the old one, as a bad disk would do it, and another connection, since this one has its pages in memory.
    std::fs::write(options.file(), &bytes).unwrap();
    readers.renew();
    let error = everything().await.unwrap_err();
    assert_eq!(error, ReadError::Unavailable("database disk image is malformed".into()));
    assert!(damaged.load(Ordering::SeqCst) >= 1);
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", options.file().display());
        std::fs::rename(&file, format!("{file}.damaged")).ok();
    }
    drop(crate::schema::open_writer(&options.file()).unwrap());
    readers.renew();
    let batch = everything().await.unwrap();
    assert!(batch.records.is_empty() && batch.scanned_to == 2_000);
    assert_eq!(batch.pruned.unwrap().offsets, 1..=2_000);
}

#[tokio::test]
async fn what_is_taken_from_the_file_is_counted() {
    let mut store = Store::new();
    store.append((0..5_000).map(|_| log("a", "some text that fills the pages of the store")));
    let readers = store.readers();
    let range =
        ReadRange { scope: Scope::All, after: 0, up_to: 5_000, max_records: 9_999, max_bytes: usize::MAX };
    readers.read(range, 5_000).await.unwrap();
    let stats = crate::stats::gather(
        &Counters::open(&store.connection).unwrap(),
        &readers,
        &store.options().file(),
        1,
        2,
    );
    let figures = stats.store.unwrap();
    assert_eq!((stats.records, stats.runs, figures.reads), (5_000, 1, 1));
    let pages = (figures.file_bytes + figures.wal_bytes) / figures.page_bytes;
    assert!((pages / 3..=pages * 2).contains(&figures.pages_read), "{figures:?}");
}
