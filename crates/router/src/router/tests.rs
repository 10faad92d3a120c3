mod catching_up;
mod flushing;
mod trouble;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use bytes::Bytes;
use core_events::{
    Cursor, EndReason, Epoch, EventType, ExecutionState, Filter, GapReason, NodeStatus, Progress, Seq,
    ports::{
        Append, Budget, Delivery, EventLog, ListQuery, LogProblem, LogStats, LookupError, MessageRouter,
        ReadBatch, ReadError, ReadRange, RemoveError, RunSummary, Start, StreamSource, SubscribeError,
        SubscribeRequest, Subscribed, Subscription,
    },
};
use parking_lot::Mutex;

use super::*;
use crate::{
    MemoryLog, MemoryLogOptions,
    testing::{ALL, Offsets, Woken, begin, context, drain, end, id, log, next, node, open, poll, request},
};

fn router(log: MemoryLogOptions, options: RouterOptions) -> (Arc<MemoryLog>, Router) {
    let log = Arc::new(MemoryLog::new(log));
    let router = Router::new(Arc::clone(&log) as Arc<dyn EventLog>, options);
    (log, router)
}

fn plain() -> Router {
    router(MemoryLogOptions::default(), RouterOptions::default()).1
}

/// A tail and views that hold next to nothing, so that everything is read from the log.
fn forgetful() -> RouterOptions {
    RouterOptions { tail_records: 1, view_bytes: 1, ..RouterOptions::default() }
}

async fn publish(router: &Router, facts: Vec<Fact>) {
    router.publish(facts).await.unwrap();
}

#[tokio::test]
async fn history_and_live_have_no_seam() {
    for options in [RouterOptions::default(), forgetful()] {
        let (_, router) = router(MemoryLogOptions::default(), options);
        publish(&router, vec![begin("a"), log("a", "1")]).await;
        publish(&router, vec![begin("b")]).await;
        publish(&router, vec![log("a", "2")]).await;
        let mut reader = open(&router, request(Some("a"), Start::Beginning)).await;
        assert_eq!(drain(&mut *reader), ["1", "2", "4"]);
        publish(&router, vec![log("a", "3"), end("a")]).await;
        assert_eq!(drain(&mut *reader), ["5", "6", ".Completed@6"]);
        assert_eq!(drain(&mut *reader), [""; 0], "nothing follows the end");
    }
}

#[tokio::test]
async fn a_stream_of_all_runs_goes_on() {
    let router = plain();
    publish(&router, vec![begin("a")]).await;
    let mut all = open(&router, request(None, Start::Beginning)).await;
    let mut now = open(&router, request(None, Start::Now)).await;
    assert_eq!(now.start().offset, 1);
    publish(&router, vec![end("a")]).await;
    publish(&router, vec![begin("b")]).await;
    assert_eq!(drain(&mut *all), ["1", "2", "3"]);
    assert_eq!(drain(&mut *now), ["2", "3"]);
}

#[tokio::test]
async fn every_start_is_one_call() {
    let (log_, router) = router(MemoryLogOptions::default(), RouterOptions::default());
    publish(&router, vec![begin("a"), log("a", "1"), log("a", "2")]).await;
    let epoch = log_.epoch();
    let foreign = Epoch::parse("other").unwrap().at(2);
    for (start, expected) in [
        (Start::Beginning, vec!["1", "2", "3"]),
        (Start::Now, vec![]),
        (Start::After(epoch.at(0)), vec!["1", "2", "3"]),
        (Start::After(epoch.at(2)), vec!["3"]),
        (Start::After(epoch.at(9)), vec!["!9..0", "1", "2", "3"]),
        (Start::After(foreign.clone()), vec!["!2..0", "1", "2", "3"]),
    ] {
        let mut reader = open(&router, request(Some("a"), start.clone())).await;
        assert_eq!(drain(&mut *reader), expected, "{start:?}");
    }
    publish(&router, vec![end("a")]).await;
    for start in [Start::Now, Start::After(epoch.at(4))] {
        let subscribed = router.subscribe(request(Some("a"), start)).await.unwrap();
        assert!(matches!(subscribed, Subscribed::Finished));
    }
    let mut all = open(&router, request(None, Start::After(foreign))).await;
    let Some(Delivery::Gap(gap)) = next(&mut *all) else { panic!("a gap is first") };
    assert_eq!((gap.reason, gap.to.offset, gap.reset), (GapReason::ForeignEpoch, 4, true));
    assert_eq!(drain(&mut *all), [""; 0]);
    let gaps = router.stats().gaps;
    assert_eq!((gaps.evicted, gaps.foreign_epoch, gaps.future_cursor), (0, 2, 1));
}

#[tokio::test]
async fn what_is_gone_is_told_exactly() {
    let (_, router) = router(MemoryLogOptions { records: 3, ..MemoryLogOptions::default() }, forgetful());
    let mut early = open(&router, request(None, Start::Now)).await;
    publish(&router, (0..5).map(|_| log("a", "")).collect()).await;
    let mut late = open(&router, request(Some("a"), Start::Beginning)).await;
    for reader in [&mut early, &mut late] {
        assert_eq!(drain(&mut **reader), ["0..2", "3", "4", "5"]);
    }
    // It got 5 already: what it lacks begins behind that.
    publish(&router, (0..5).map(|_| log("a", "")).collect()).await;
    assert_eq!(drain(&mut *late), ["5..7", "8", "9", "10"]);
    assert_eq!(router.stats().gaps.evicted, 3);
}

#[tokio::test]
async fn lag_counts_from_what_a_reader_wants() {
    let router = plain();
    publish(&router, vec![begin("a")]).await;
    publish(&router, vec![begin("b")]).await;
    let lag = || (router.stats().lag_max, router.stats().lag_sum);
    let mut all = open(&router, request(None, Start::Now)).await;
    let mut of_b = open(&router, request(Some("b"), Start::Now)).await;
    let stalled = open(&router, request(None, Start::Now)).await;
    assert_eq!(lag(), (0, 0));
    publish(&router, vec![log("a", ""), log("a", "")]).await;
    assert_eq!(lag(), (2, 4), "nothing of it is for the reader of b");
    drain(&mut *all);
    assert_eq!(lag(), (2, 2));
    publish(&router, vec![log("b", "")]).await;
    assert_eq!(lag(), (3, 7), "who is called for nothing stays where he is");
    drain(&mut *all);
    drain(&mut *of_b);
    assert_eq!(lag(), (3, 3));
    drop(stalled);
    assert_eq!(lag(), (0, 0));
    let stats = router.stats();
    // Each event is its offset and a line end.
    assert_eq!((stats.delivered, stats.delivered_bytes), (4, 8));
}

#[tokio::test]
async fn the_end_outlives_all_else() {
    let log_options = MemoryLogOptions { records: 2, ..MemoryLogOptions::default() };
    let (_, router) = router(log_options, forgetful());
    publish(&router, vec![begin("a"), begin("a.x"), log("a.x", ""), end("a.x"), log("a", ""), end("a")])
        .await;
    publish(&router, (0..5).map(|_| log("b", "")).collect()).await;
    let mut root = open(&router, request(Some("a"), Start::Beginning)).await;
    assert_eq!(drain(&mut *root), ["0..3", "4", "4..5", "6", ".Completed@6"]);
    let mut sub = open(&router, request(Some("a.x"), Start::Beginning)).await;
    assert_eq!(drain(&mut *sub), ["0..3", "4", ".Completed@4"]);
}

#[tokio::test]
async fn a_removed_run_still_ends_for_those_who_watched_it() {
    let log_options = MemoryLogOptions { finished_runs: 1, ..MemoryLogOptions::default() };
    let (_, router) = router(log_options, forgetful());
    publish(&router, vec![begin("a"), log("a", "")]).await;
    let mut early = open(&router, request(Some("a"), Start::Beginning)).await;
    publish(&router, vec![end("a")]).await;
    let mut late = open(
        &router,
        SubscribeRequest {
            filter: Filter { types: Some(BTreeSet::from([EventType::ExecutionLog])), ..Filter::default() },
            ..request(Some("a"), Start::Beginning)
        },
    )
    .await;
    publish(&router, vec![begin("b"), end("b")]).await;
    assert_eq!(drain(&mut *early), ["0..2", "3", ".Completed@3"], "its view kept the end");
    assert_eq!(drain(&mut *late), ["0..2", ".Deleted@2"], "its view came when the end was in the log");
    let gone = router.subscribe(request(Some("a"), Start::Beginning)).await.unwrap_err();
    assert_eq!(gone, SubscribeError::Lookup(LookupError::Deleted(id("a"))));
    let unknown = router.subscribe(request(Some("z"), Start::Beginning)).await.unwrap_err();
    assert_eq!(unknown, SubscribeError::Lookup(LookupError::Unknown(id("z"))));
}

#[tokio::test]
async fn a_sub_run_has_its_own_end() {
    let router = plain();
    publish(&router, vec![begin("a"), begin("a.x"), begin("a.y")]).await;
    let mut fast = open(&router, request(Some("a.x"), Start::Beginning)).await;
    let mut slow = open(&router, request(Some("a.x"), Start::Beginning)).await;
    let mut other = open(&router, request(Some("a.y"), Start::Beginning)).await;
    publish(&router, vec![end("a.x"), log("a.y", "")]).await;
    assert_eq!(drain(&mut *fast), ["2", "4", ".Completed@4"]);
    publish(&router, vec![end("a")]).await;
    assert_eq!(drain(&mut *slow), ["2", "4", ".Completed@4"], "the root's end is not its end");
    assert_eq!(drain(&mut *other), ["3", "5", ".Completed@6"], "it has no end but the root's");
}

fn only(event_type: EventType) -> Filter {
    Filter { types: Some(BTreeSet::from([event_type])), ..Filter::default() }
}

#[tokio::test]
async fn filtered_streams_are_told_where_they_are() {
    let router = plain();
    publish(&router, vec![begin("a")]).await;
    let filter = only(EventType::ExecutionStatusChanged);
    let mut reader = open(&router, SubscribeRequest { filter, ..request(Some("a"), Start::Beginning) }).await;
    assert_eq!(drain(&mut *reader), ["1"]);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let (mut told, mut most) = (1, 0);
    for at in 2..=1_000 {
        publish(&router, vec![log("a", "")]).await;
        let before = woken.count();
        if before > 0 || at == 2 {
            while let Some(delivery) = poll(&mut *reader, &waker, ALL) {
                let Delivery::Id(cursor) = delivery else { panic!("{delivery:?}") };
                told = cursor.offset;
            }
        }
        most = most.max(at - told);
    }
    assert!(most <= 100, "I8: {most} events without an id");
    assert!(woken.count() <= 20, "woken {} times for nothing", woken.count());
    publish(&router, vec![end("a")]).await;
    assert_eq!(drain(&mut *reader), ["1001", ".Completed@1001"]);
}

#[tokio::test]
async fn a_filtered_end_still_ends_the_stream() {
    let router = plain();
    publish(&router, vec![begin("a"), log("a", ""), end("a")]).await;
    let filter = only(EventType::ExecutionLog);
    let mut reader = open(&router, SubscribeRequest { filter, ..request(Some("a"), Start::Beginning) }).await;
    assert_eq!(drain(&mut *reader), ["2", ".Completed@3"]);
}

#[tokio::test]
async fn closing_delivers_what_is_there_and_no_more() {
    let (_, router) = router(MemoryLogOptions::default(), forgetful());
    publish(&router, vec![begin("a"), log("a", "")]).await;
    publish(&router, vec![begin("b"), end("b")]).await;
    let mut a = open(&router, request(Some("a"), Start::Beginning)).await;
    let mut b = open(&router, request(Some("b"), Start::Beginning)).await;
    let mut all = open(&router, request(None, Start::Beginning)).await;
    let mut idle = open(&router, request(Some("a"), Start::Now)).await;
    let woken = Arc::new(Woken::default());
    assert_eq!(poll(&mut *idle, &Waker::from(Arc::clone(&woken)), ALL), None);
    router.close(EndReason::Shutdown);
    router.close(EndReason::Moved);
    assert_eq!(woken.count(), 1);
    assert_eq!(drain(&mut *idle), [".Shutdown@4"]);
    assert_eq!(drain(&mut *a), ["1", "2", ".Shutdown@4"]);
    assert_eq!(drain(&mut *b), ["3", "4", ".Completed@4"]);
    assert_eq!(drain(&mut *all), ["1", "2", "3", "4", ".Shutdown@4"]);
    let refused = router.subscribe(request(None, Start::Now)).await.unwrap_err();
    assert_eq!(refused, SubscribeError::Closed(EndReason::Shutdown));
}

/// All that is ready now.
fn slices(reader: &mut dyn Subscription) -> Vec<Bytes> {
    let blocks = std::iter::from_fn(|| match next(reader)? {
        Delivery::Block(block) => Some(block.slices),
        other => panic!("{other:?}"),
    });
    blocks.flatten().collect()
}

#[tokio::test]
async fn all_readers_of_a_view_share_its_bytes() {
    let router = plain();
    publish(&router, vec![begin("a"), log("a", "1")]).await;
    let encoder = Arc::new(Offsets::default());
    let mut readers = Vec::new();
    for _ in 0..10 {
        let request = SubscribeRequest { encoder: encoder.clone(), ..request(Some("a"), Start::Beginning) };
        readers.push(open(&router, request).await);
    }
    let first = slices(&mut *readers[0]);
    publish(&router, vec![log("a", "2")]).await;
    for reader in &mut readers[1..] {
        let slices = slices(&mut **reader);
        assert_eq!(slices.concat(), b"1\n2\n3\n");
        assert_eq!(slices[0].as_ptr(), first[0].as_ptr(), "I3");
    }
    assert_eq!(encoder.encoded.load(Ordering::Relaxed), 3, "I3: once each");
    let stats = router.stats();
    assert_eq!((stats.subscriptions, stats.views, stats.watched_executions), (10, 1, 1));
    assert!(stats.view_bytes > 0);
    drop(readers);
    let stats = router.stats();
    assert_eq!((stats.subscriptions, stats.views, stats.watched_executions), (0, 0, 0), "I13");
    assert_eq!((stats.view_bytes, stats.published, stats.delivered), (0, 3, 29));
}

#[tokio::test]
async fn budgets_hold() {
    let router = plain();
    publish(&router, (0..20).map(|_| log("a", "")).collect()).await;
    let mut reader = open(&router, request(Some("a"), Start::Beginning)).await;
    for (events, bytes, expected) in
        [(3, usize::MAX, 3), (0, 0, 1), (100, 4, 2), (100, 5, 2), (100, 1, 1), (5, 1_000, 5), (100, 1_000, 6)]
    {
        let Some(Delivery::Block(block)) = poll(&mut *reader, Waker::noop(), Budget { events, bytes }) else {
            panic!("a block")
        };
        assert_eq!(block.events, expected, "{events} events, {bytes} bytes");
    }
}

#[tokio::test]
async fn readers_are_woken_once_and_no_longer_when_they_left() {
    let router = plain();
    publish(&router, vec![begin("a"), begin("a.x")]).await;
    publish(&router, vec![begin("b")]).await;
    let mut reader = open(&router, request(Some("a"), Start::Now)).await;
    let mut left = open(&router, request(Some("a"), Start::Now)).await;
    let (woken, gone) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let waker = Waker::from(Arc::clone(&woken));
    assert_eq!(poll(&mut *reader, &waker, ALL), None);
    assert_eq!(poll(&mut *reader, &waker, ALL), None, "polled again without being woken");
    assert_eq!(poll(&mut *left, &Waker::from(Arc::clone(&gone)), ALL), None);
    drop(left);
    publish(&router, vec![log("b", "")]).await;
    assert_eq!(woken.count(), 0, "another run's event");
    publish(&router, vec![log("a", "")]).await;
    publish(&router, vec![log("a", "")]).await;
    assert_eq!((woken.count(), gone.count()), (1, 0));
    assert_eq!(drain(&mut *reader), ["5", "6"]);
}

#[tokio::test]
async fn subscriptions_are_bounded() {
    let (_, router) =
        router(MemoryLogOptions::default(), RouterOptions { subscriptions: 2, ..RouterOptions::default() });
    let first = open(&router, request(None, Start::Now)).await;
    let _second = open(&router, request(None, Start::Now)).await;
    let refused = router.subscribe(request(None, Start::Now)).await.unwrap_err();
    assert_eq!(refused, SubscribeError::TooMany(2));
    drop(first);
    // A refused lookup gives its place back.
    for _ in 0..3 {
        router.subscribe(request(Some("z"), Start::Now)).await.unwrap_err();
    }
    open(&router, request(None, Start::Now)).await;
}

fn progress(router: &Router, execution: &str, node: &str, text: &str) {
    let progress = Progress { node: node.into(), text: text.to_owned() };
    router.publish_progress(&context(execution), &progress);
}

#[tokio::test]
async fn progress_is_coalesced_and_told_to_whoever_comes_late() {
    let router = plain();
    publish(&router, vec![begin("a"), node("a", "n", NodeStatus::Running)]).await;
    let mut reader = open(&router, request(Some("a"), Start::Beginning)).await;
    progress(&router, "a", "n", "one ");
    assert_eq!(drain(&mut *reader), ["1", "2", "~0:one "], "after the start of its node");
    let woken = Arc::new(Woken::default());
    assert_eq!(poll(&mut *reader, &Waker::from(Arc::clone(&woken)), ALL), None);
    progress(&router, "a", "n", "two ");
    progress(&router, "a", "n", "three");
    assert_eq!(woken.count(), 1);
    assert_eq!(drain(&mut *reader), ["~4:two three"]);
    let mut late = open(&router, request(None, Start::Now)).await;
    assert_eq!(drain(&mut *late), ["~0:one two three"]);
    let filter = only(EventType::ExecutionLog);
    let mut other = open(&router, SubscribeRequest { filter, ..request(Some("a"), Start::Now) }).await;
    assert_eq!(drain(&mut *other), [""; 0]);
    progress(&router, "a", "n", "!");
    publish(&router, vec![node("a", "n", NodeStatus::Completed)]).await;
    assert_eq!(drain(&mut *late), ["3"], "I8: folded into the end of its node");
    let mut later = open(&router, request(Some("a"), Start::Now)).await;
    assert_eq!(drain(&mut *later), [""; 0]);
    assert_eq!(drain(&mut *reader), ["3"]);
}

#[tokio::test]
async fn progress_is_bounded() {
    let (_, router) =
        router(MemoryLogOptions::default(), RouterOptions { progress_nodes: 2, ..RouterOptions::default() });
    publish(&router, vec![begin("a"), begin("a.x")]).await;
    for node in ["1", "2", "3"] {
        progress(&router, "a", node, node);
    }
    let mut reader = open(&router, request(Some("a"), Start::Now)).await;
    assert_eq!(drain(&mut *reader), ["~0:2", "~0:3"]);
    // Two bytes each, so that a cut between them would not be a text.
    for _ in 0..40 {
        progress(&router, "a.x", "n", &"é".repeat(20_000));
    }
    let mut late = open(&router, request(Some("a.x"), Start::Now)).await;
    let parts = drain(&mut *late);
    let (first, _) = parts[0][1..].split_once(':').unwrap();
    let total: usize = parts.iter().map(|part| part.split_once(':').unwrap().1.len()).sum();
    assert!(total <= 1024 * 1024 && total > 512 * 1024, "{total}");
    assert_eq!(first.parse::<usize>().unwrap() + total, 40 * 40_000, "the position tells what was cut");
    publish(&router, vec![end("a.x")]).await;
    publish(&router, vec![end("a")]).await;
    let mut all = open(&router, request(None, Start::Now)).await;
    assert_eq!(drain(&mut *all), [""; 0], "nothing is left of what ended");
}

#[tokio::test]
async fn a_log_that_fails_ends_the_stream() {
    let log = Arc::new(Meddling { log: MemoryLog::default(), after_find: Mutex::default(), broken: true });
    log.log.append(vec![begin("a")].into()).await.unwrap();
    let router = Router::new(log, RouterOptions::default());
    let mut reader = open(&router, request(Some("a"), Start::Beginning)).await;
    assert_eq!(drain(&mut *reader), [".Error@0"]);
}

#[tokio::test]
async fn an_end_between_lookup_and_registration_is_not_missed() {
    let log_ = MemoryLog::new(MemoryLogOptions { finished_runs: 1, ..MemoryLogOptions::default() });
    log_.append(vec![begin("a")].into()).await.unwrap();
    let log = Arc::new(Meddling { log: log_, after_find: Mutex::default(), broken: false });
    let router = Router::new(Arc::clone(&log) as Arc<dyn EventLog>, forgetful());
    log.after_find.lock().extend([vec![end("a")], vec![begin("b"), end("b")]]);
    let refused = router.subscribe(request(Some("a"), Start::Beginning)).await.unwrap_err();
    assert_eq!(refused, SubscribeError::Lookup(LookupError::Deleted(id("a"))));
    publish(&router, vec![begin("c")]).await;
    log.after_find.lock().push(vec![end("c")]);
    let now = router.subscribe(request(Some("c"), Start::Now)).await.unwrap();
    assert!(matches!(now, Subscribed::Finished), "{now:?}");
    assert_eq!(router.stats().subscriptions, 0);
}

/// Appends something right after a lookup, where another writer may.
#[derive(Debug)]
struct Meddling {
    log: MemoryLog,
    after_find: Mutex<Vec<Vec<Fact>>>,
    broken: bool,
}

#[async_trait]
impl EventLog for Meddling {
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
        self.log.append(append).await
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        match self.broken {
            true => Err(ReadError::Unavailable("broken".to_owned())),
            false => self.log.read(range).await,
        }
    }

    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        let found = self.log.find(execution).await;
        let facts = std::mem::take(&mut *self.after_find.lock());
        for facts in facts {
            self.log.append(facts.into()).await.unwrap();
        }
        found
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
