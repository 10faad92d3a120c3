use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use core_events::{
    Cursor, Envelope, Epoch, ExecutionState, ExecutionStatus, NodeStatus, Offset, Seq,
    ports::{
        Append, Appended, CommitListener, ExecutionInfo, ListQuery, LogProblem, LogStats, ReadBatch,
        ReadError, ReadRange, RemoveError, RunSummary,
    },
};
use serde_json::json;

use super::*;
use crate::testing::{append, begin, end, id, line, log, node, stored};

fn event(json: &serde_json::Value) -> ArchivedEvent {
    ArchivedEvent { envelope: Envelope::decode(json.to_string().as_bytes()).unwrap(), output: None }
}

fn events_of(envelopes: Vec<Envelope>) -> Vec<ArchivedEvent> {
    envelopes.into_iter().map(|envelope| ArchivedEvent { envelope, output: None }).collect()
}

fn foreign(execution: &str, seq: u64) -> ArchivedEvent {
    event(&json!({
        "type": "ORBITED", "execution_id": execution, "data": {"moon": [1.5, null]},
        "timestamp": "2020-01-02T03:04:05.678901Z", "seq": seq, "spin": {"b": 1, "a": 2},
    }))
}

async fn import(log: &Arc<dyn EventLog>, root: &str, events: Vec<ArchivedEvent>) -> Result<u64, ImportError> {
    let archive = LogArchive::new(Arc::clone(log), None);
    let mut importing = archive.import(&id(root)).await?;
    importing.push(events).await?;
    importing.finish().await
}

#[tokio::test]
async fn an_imported_run_is_the_run_that_was_exported() {
    let source = log(100);
    append(&*source, vec![begin("other"), begin("a"), node("a", "n", 1, NodeStatus::Running)]).await;
    append(&*source, vec![begin("a.x"), line("a.x", "x"), end("a.x", 2)]).await;
    append(&*source, vec![node("a", "n", 3, NodeStatus::Completed), end("a", 3)]).await;
    let exported = stored(&*source, "a").await;
    let target = log(100);
    append(&*target, vec![begin("b")]).await;
    let archive = LogArchive::new(Arc::clone(&target), None);
    let mut importing = archive.import(&id("a")).await.unwrap();
    // In parts, as it comes.
    for event in events_of(exported.clone()) {
        importing.push(vec![event]).await.unwrap();
        assert_eq!(target.head(), 1, "nothing is there before all of it is");
    }
    assert_eq!(importing.finish().await, Ok(7));
    assert_eq!(stored(&*target, "a").await, exported);
    for execution in ["a", "a.x"] {
        let (before, _) = source.state(&id(execution)).await.unwrap();
        let (after, _) = target.state(&id(execution)).await.unwrap();
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn what_this_build_does_not_know_is_kept_with_outputs_and_times() {
    let target = log(100);
    let mut completed = event(&json!({
        "type": "NODE_STATUS_CHANGED", "execution_id": "a",
        "data": {"node_id": "n", "status": "COMPLETED", "output_ref": "/api/v1/executions/a/outputs/2", "weight": 7},
        "timestamp": "2020-01-02T03:04:06Z", "seq": 2,
    }));
    completed.output = Some(Bytes::from_static(b"[1, 2]"));
    let mut events = vec![foreign("a", 1), completed];
    let expected: Vec<_> = events.iter().map(|event| event.envelope.encode()).collect();
    events[0].envelope.extra.insert("cursor".to_owned(), json!("elsewhere-7"));
    assert_eq!(import(&target, "a", events).await, Ok(3));
    let stored = stored(&*target, "a").await;
    assert_eq!(stored[..2].iter().map(Envelope::encode).collect::<Vec<_>>(), expected);
    assert_eq!(target.output(&id("a"), 2).await, Ok(Some(Bytes::from_static(b"[1, 2]"))));
}

#[tokio::test]
async fn i9_a_run_without_its_end_gets_one_at_the_time_of_its_last_event() {
    let source = log(100);
    append(&*source, vec![begin("a"), node("a", "n", 1, NodeStatus::Failed), begin("a.x")]).await;
    append(&*source, vec![node("a.x", "m", 2, NodeStatus::Running), begin("a.y"), end("a.y", 3)]).await;
    append(&*source, vec![node("a", "o", 4, NodeStatus::Running)]).await;
    let target = log(100);
    assert_eq!(import(&target, "a", events_of(stored(&*source, "a").await)).await, Ok(11));
    let last: Vec<_> = stored(&*target, "a").await[7..]
        .iter()
        .map(|envelope| {
            let json = serde_json::to_value(envelope).unwrap();
            let data = &json["data"];
            let who = data["node_id"].as_str().unwrap_or("-").to_owned();
            assert_eq!(
                (&data["status"], &data["reason"]),
                (&json!("ABORTED"), &json!("imported without its end"))
            );
            assert_eq!(json["timestamp"], "1970-01-01T00:00:04.000000Z");
            format!("{} {who} {}", envelope.execution_id, data["failed_nodes"])
        })
        .collect();
    assert_eq!(last, ["a.x m null", "a.x - []", "a o null", "a - [\"n\"]"]);
    for execution in ["a", "a.x"] {
        assert_eq!(target.state(&id(execution)).await.unwrap().0.status, ExecutionStatus::Aborted);
    }
    // Only parts of it were left.
    let target = log(100);
    let parts = events_of(stored(&*source, "a").await[2..4].to_vec());
    assert_eq!(import(&target, "a", parts).await, Ok(5));
    assert_eq!(target.state(&id("a")).await.unwrap().0.status, ExecutionStatus::Aborted);
}

#[tokio::test]
async fn an_id_that_is_taken_or_was_is_refused() {
    let target = log(100);
    append(&*target, vec![begin("a"), begin("b"), begin("b.x"), end("b.x", 1), end("b", 1)]).await;
    target.remove(&id("b")).await.unwrap();
    for taken in ["a", "b", "b.x"] {
        assert_eq!(import(&target, taken, vec![foreign(taken, 1)]).await, Err(ImportError::Taken(id(taken))));
    }
    let archive = LogArchive::new(Arc::clone(&target), None);
    let first = archive.import(&id("c")).await.unwrap();
    assert_eq!(archive.import(&id("c")).await.unwrap_err(), ImportError::Taken(id("c")));
    first.cancel().await;
    let mut second = archive.import(&id("c")).await.unwrap();
    second.push(vec![foreign("c", 1)]).await.unwrap();
    // It was free when the import began.
    append(&*target, vec![begin("c")]).await;
    assert_eq!(second.finish().await, Err(ImportError::Taken(id("c"))));
    assert_eq!(stored(&*target, "c").await.len(), 1);
}

#[tokio::test]
async fn there_are_not_too_many_at_once() {
    let archive = LogArchive::new(log(100), None);
    let mut under_way = Vec::new();
    for n in 0..MOST {
        under_way.push(archive.import(&id(&format!("a{n}"))).await.unwrap());
    }
    assert_eq!(archive.import(&id("b")).await.unwrap_err(), ImportError::Log(AppendError::Busy));
    // One that is given up, or only dropped, makes room.
    drop(under_way.pop());
    assert!(archive.import(&id("b")).await.is_ok());
}

#[tokio::test]
async fn i15_a_wrong_event_is_named_and_nothing_is_imported() {
    let with = |change: serde_json::Value| {
        let mut json = serde_json::to_value(foreign("a", 2).envelope).unwrap();
        for (key, value) in change.as_object().unwrap() {
            json[key] = value.clone();
        }
        event(&json)
    };
    let done = json!({"type": "EXECUTION_STATUS_CHANGED", "data": {"status": "COMPLETED"}});
    let progress = json!({"type": "NODE_PROGRESS", "data": {"node_id": "n", "text": "", "position": 0}});
    let huge = json!({"data": {"text": "x".repeat(300_000)}});
    let mut output_of_a_log = foreign("a", 2);
    output_of_a_log.output = Some(Bytes::from_static(b"1"));
    let target = log(100);
    append(&*target, vec![begin("there")]).await;
    for (events, index, part) in [
        (vec![], 1, "there is none"),
        (vec![with(json!({"execution_id": "b"}))], 1, "neither a"),
        (
            vec![foreign("a", 1), with(json!({"execution_id": "a.x", "root_execution_id": "b"}))],
            2,
            "neither a",
        ),
        (vec![with(json!({"root_execution_id": "b"}))], 1, "root_execution_id"),
        (vec![with(json!({"parent_execution_id": "b"}))], 1, "parent_execution_id"),
        (vec![with(json!({"execution_id": "there", "root_execution_id": "a"}))], 1, "there is there already"),
        (vec![foreign("a", 1), with(done), foreign("a", 3)], 3, "ended before it"),
        (vec![with(progress)], 1, "NODE_PROGRESS"),
        (vec![with(json!({"type": "STREAM_END"}))], 1, "STREAM_END"),
        (vec![with(json!({"timestamp": null}))], 1, "timestamp"),
        (vec![foreign("a", 1), foreign("a", 1)], 2, "seq: 1 comes behind 1"),
        (vec![foreign("a", 1), with(huge)], 2, "the limit is 262144"),
        (vec![output_of_a_log], 1, "only a NODE_STATUS_CHANGED"),
    ] {
        match import(&target, "a", events).await {
            Err(ImportError::Event { index: at, problem }) => {
                assert_eq!(at, index, "{problem}");
                assert!(problem.contains(part), "{problem}");
            }
            other => panic!("{part}: {other:?}"),
        }
        assert_eq!(target.head(), 1);
    }
    // The id was never taken.
    assert_eq!(import(&target, "a", vec![foreign("a", 1)]).await, Ok(2));
}

/// A log that takes so many appends, and then none.
#[derive(Debug)]
struct Failing {
    log: Arc<dyn EventLog>,
    left: AtomicUsize,
    error: AppendError,
}

#[async_trait]
impl EventLog for Failing {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn head(&self) -> Offset {
        self.log.head()
    }

    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset {
        self.log.follow(listener)
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 && append.unstored == core_events::ports::Unstored::Refuse {
            self.left.store(usize::MAX, Ordering::SeqCst);
            return Err(self.error.clone());
        }
        self.left.store(left.saturating_sub(1), Ordering::SeqCst);
        self.log.append(append).await
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        self.log.read(range).await
    }

    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        self.log.find(execution).await
    }

    async fn state(&self, execution: &ExecutionId) -> Result<(ExecutionState, Cursor), LookupError> {
        self.log.state(execution).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        self.log.list(query).await
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Option<Bytes>, LookupError> {
        self.log.output(execution, seq).await
    }

    async fn remove(&self, root: &ExecutionId) -> Result<(), RemoveError> {
        self.log.remove(root).await
    }

    async fn pin(&self, root: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        self.log.pin(root, pinned).await
    }

    fn health(&self) -> Option<LogProblem> {
        self.log.health()
    }

    fn stats(&self) -> LogStats {
        self.log.stats()
    }
}

fn failing(error: AppendError) -> Arc<dyn EventLog> {
    Arc::new(Failing { log: log(10_000), left: AtomicUsize::new(2), error })
}

fn many(count: u64) -> Vec<ArchivedEvent> {
    (1..=count).map(|seq| foreign("a", seq)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_busy_is_asked_again() {
    let target = failing(AppendError::Busy);
    assert_eq!(import(&target, "a", many(1_000)).await, Ok(1_001));
    assert_eq!(stored(&*target, "a").await.len(), 1_001);
}

#[tokio::test]
async fn what_an_import_left_in_a_log_that_failed_is_removed() {
    let error = AppendError::Unavailable("full".to_owned());
    let target = failing(error.clone());
    assert_eq!(import(&target, "a", many(1_000)).await, Err(ImportError::Log(error)));
    assert_eq!(target.find(&id("a")).await, Err(LookupError::Deleted(id("a"))));
}

#[tokio::test]
async fn i13_an_import_ends_though_nobody_waits_for_it() {
    let target = log(10_000);
    let archive = LogArchive::new(Arc::clone(&target), None);
    let mut importing = archive.import(&id("a")).await.unwrap();
    importing.push(many(1_000)).await.unwrap();
    let mut finishing = importing.finish();
    // It has begun, and is dropped.
    assert!(futures_poll(&mut finishing).is_pending());
    drop(finishing);
    archive.shared.tasks.close();
    archive.shared.tasks.wait().await;
    assert_eq!(stored(&*target, "a").await.len(), 1_001);

    let mut importing = archive.import(&id("b")).await.unwrap();
    importing.push(vec![foreign("b", 1)]).await.unwrap();
    archive.close().await;
    assert!(matches!(importing.finish().await, Err(ImportError::Log(AppendError::Unavailable(_)))));
    assert_eq!(target.find(&id("b")).await, Err(LookupError::Unknown(id("b"))));
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
