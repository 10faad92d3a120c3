//! What a log tells when it can't store, loses, removes, begins anew: as examples, and as a property over all orders of it.

use std::sync::atomic::AtomicBool;

use bytes::BytesMut;
use core_events::{Envelope, GapReason, Offset, Record, ports::Encoder};
use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::testing::{ScriptedLog, offset_of};

fn scripted(options: RouterOptions) -> (Arc<ScriptedLog>, Router) {
    let log = Arc::new(ScriptedLog::new(0));
    let router = Router::new(Arc::clone(&log) as Arc<dyn EventLog>, options);
    (log, router)
}

/// As [`drain`], with `~n` for the event at offset `n` that came without one.
fn drain_from(log: &ScriptedLog, reader: &mut dyn Subscription) -> Vec<String> {
    let deliveries = std::iter::from_fn(|| next(reader));
    let short = |delivery| match delivery {
        Delivery::Ephemeral(json) => vec![format!("~{}", offset_of(log, &json))],
        other => crate::testing::short(&other),
    };
    deliveries.flat_map(short).collect()
}

#[tokio::test]
async fn what_is_not_stored_comes_once_and_without_an_id() {
    for options in [RouterOptions::default(), forgetful()] {
        let (log_, router) = scripted(options);
        publish(&router, vec![begin("a"), log("a", "1")]).await;
        let mut early = open(&router, request(Some("a"), Start::Beginning)).await;
        let woken = Arc::new(Woken::default());
        for fact in [log("a", "2"), log("b", "1"), log("a", "3")] {
            log_.place(fact);
        }
        log_.show(3);
        assert_eq!(drain_from(&log_, &mut *early), ["1", "2", "~3", "~5"], "stored first");
        let mut late = open(&router, request(Some("a"), Start::Beginning)).await;
        let mut all = open(&router, request(None, Start::Now)).await;
        assert_eq!(all.start().offset, 2);
        assert_eq!(drain_from(&log_, &mut *late), ["1", "2", "~3", "~5"]);
        assert_eq!(drain_from(&log_, &mut *all), ["~3", "~4", "~5"]);
        assert_eq!(poll(&mut *early, &Waker::from(Arc::clone(&woken)), ALL), None);
        log_.commit(2);
        assert_eq!(woken.count(), 1);
        log_.place(log("a", "4"));
        log_.show(1);
        assert_eq!(drain_from(&log_, &mut *early), ["#4", "~6"], "an id for what it has already");
        log_.commit(2);
        publish(&router, vec![log("a", "5")]).await;
        assert_eq!(drain_from(&log_, &mut *early), ["#6", "7"]);
        assert_eq!(drain_from(&log_, &mut *all), ["#5", "6", "7"]);
        let mut new = open(&router, request(Some("a"), Start::Beginning)).await;
        assert_eq!(drain_from(&log_, &mut *new), ["1", "2", "3", "5", "6", "7"]);
    }
}

#[tokio::test]
async fn an_end_that_is_not_stored_ends_its_stream() {
    let (log_, router) = scripted(RouterOptions::default());
    publish(&router, vec![begin("a"), begin("a.x")]).await;
    let mut root = open(&router, request(Some("a"), Start::Beginning)).await;
    let mut sub = open(&router, request(Some("a.x"), Start::Beginning)).await;
    let filter = only(EventType::ExecutionLog);
    let mut other = open(&router, SubscribeRequest { filter, ..request(Some("a"), Start::Beginning) }).await;
    log_.place(end("a.x"));
    log_.place(end("a"));
    log_.show(2);
    assert_eq!(drain_from(&log_, &mut *sub), ["2", "~3", ".Completed@2"], "the last id is a durable one");
    let mut late = open(&router, request(Some("a"), Start::Now)).await;
    assert_eq!(drain_from(&log_, &mut *late), ["~3", "~4", ".Completed@2"]);
    assert_eq!(drain_from(&log_, &mut *other), [".Completed@2"], "its filter does not pass the end");
    log_.commit(2);
    assert_eq!(drain_from(&log_, &mut *root), ["1", "2", "3", "4", ".Completed@4"]);
}

#[tokio::test]
async fn what_there_is_no_room_for_comes_when_it_is_stored() {
    let (log_, router) = scripted(RouterOptions { unstored_bytes: 1_000, ..RouterOptions::default() });
    publish(&router, vec![begin("a")]).await;
    let mut early = open(&router, request(Some("a"), Start::Beginning)).await;
    assert_eq!(drain_from(&log_, &mut *early), ["1"]);
    for at in 2..=8 {
        log_.place(log("a", ""));
        log_.show(1);
        assert_eq!(drain_from(&log_, &mut *early), [format!("~{at}")], "a reader that keeps up sees all");
    }
    let mut late = open(&router, request(Some("a"), Start::Beginning)).await;
    assert_eq!(drain_from(&log_, &mut *late), ["1"], "no event before an earlier one");
    log_.place(begin("b"));
    log_.show(1);
    let mut other = open(&router, request(Some("b"), Start::Beginning)).await;
    assert_eq!(drain_from(&log_, &mut *other), ["~9"], "of its run there is everything");
    log_.commit(9);
    assert_eq!(drain_from(&log_, &mut *late), ["2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(drain_from(&log_, &mut *early), ["#8"]);
}

#[tokio::test]
async fn what_is_lost_is_a_gap_for_who_did_not_see_it() {
    let (log_, router) = scripted(RouterOptions::default());
    publish(&router, vec![begin("a"), log("a", "1")]).await;
    publish(&router, vec![begin("b")]).await;
    let mut saw = open(&router, request(Some("a"), Start::Beginning)).await;
    let mut late = open(&router, request(Some("a"), Start::Beginning)).await;
    let mut other = open(&router, request(Some("b"), Start::Beginning)).await;
    assert_eq!(drain_from(&log_, &mut *late), ["1", "2"]);
    log_.place(log("a", "2"));
    log_.place(log("a", "3"));
    log_.show(2);
    assert_eq!(drain_from(&log_, &mut *saw), ["1", "2", "~4", "~5"]);
    log_.lose(2);
    assert_eq!(drain_from(&log_, &mut *saw), ["#5"]);
    publish(&router, vec![log("a", "4")]).await;
    assert_eq!(drain_from(&log_, &mut *saw), ["6"]);
    assert_eq!(drain_from(&log_, &mut *late), ["3..5", "6"]);
    publish(&router, vec![log("b", "")]).await;
    assert_eq!(drain_from(&log_, &mut *other), ["3", "7"], "nothing of its run is lost");
    let mut new = open(&router, request(Some("a"), Start::Beginning)).await;
    assert_eq!(drain_from(&log_, &mut *new), ["1", "2", "3..5", "6"]);
}

#[tokio::test]
async fn a_removed_run_is_shown_to_nobody() {
    let (log_, router) = scripted(RouterOptions::default());
    publish(&router, vec![begin("a")]).await;
    let mut reader = open(&router, request(Some("a"), Start::Beginning)).await;
    let mut all = open(&router, request(None, Start::Beginning)).await;
    let mut ahead = open(&router, request(None, Start::Beginning)).await;
    let woken = Arc::new(Woken::default());
    assert_eq!(drain_from(&log_, &mut *reader), ["1"]);
    assert_eq!(poll(&mut *reader, &Waker::from(Arc::clone(&woken)), ALL), None);
    publish(&router, vec![log("a", "secret"), end("a")]).await;
    publish(&router, vec![begin("b")]).await;
    assert_eq!(drain_from(&log_, &mut *ahead), ["1", "2", "3", "4"], "its view holds it");
    log_.remove(&id("a")).await.unwrap();
    assert_eq!(woken.count(), 1);
    assert_eq!(drain_from(&log_, &mut *reader), [".Deleted@1"]);
    assert_eq!(drain_from(&log_, &mut *all), ["0..3", "4"]);
}

#[tokio::test]
async fn a_new_epoch_leaves_readers_where_they_are() {
    let (log_, router) = scripted(RouterOptions::default());
    publish(&router, vec![begin("a"), log("a", "1")]).await;
    let old = log_.epoch();
    let cursors = Arc::new(Cursors);
    let ask = |start| SubscribeRequest { encoder: cursors.clone(), ..request(Some("a"), start) };
    let mut early = open(&router, ask(Start::Beginning)).await;
    let text = |reader: &mut dyn Subscription| String::from_utf8(slices(reader).concat()).unwrap();
    assert_eq!(text(&mut *early), "epoch0-1\nepoch0-2\n");
    log_.renew();
    publish(&router, vec![log("a", "2")]).await;
    assert_eq!(text(&mut *early), "epoch0x-3\n");
    let mut late = open(&router, ask(Start::Beginning)).await;
    assert_eq!(
        text(&mut *late),
        "epoch0x-1\nepoch0x-2\nepoch0x-3\n",
        "nothing of the old life is handed out"
    );
    let mut back = open(&router, ask(Start::After(old.at(2)))).await;
    let Some(Delivery::Gap(gap)) = next(&mut *back) else { panic!("a gap is first") };
    assert_eq!((gap.reason, gap.reset, gap.to), (GapReason::ForeignEpoch, true, log_.epoch().at(0)));
}

#[tokio::test]
async fn a_snapshot_of_what_is_not_stored_goes_on_behind_it() {
    let (log_, router) = scripted(RouterOptions::default());
    publish(&router, vec![begin("a")]).await;
    log_.place(log("a", ""));
    log_.place(log("a", ""));
    log_.show(2);
    let mut reader = open(&router, request(Some("a"), Start::After(log_.epoch().at(2)))).await;
    assert_eq!(reader.start().offset, 1, "an id that a restart would know");
    assert_eq!(drain_from(&log_, &mut *reader), ["~3"]);
    log_.commit(2);
    assert_eq!(drain_from(&log_, &mut *reader), ["#3"]);
}

#[tokio::test]
async fn closing_delivers_what_is_not_stored() {
    let (log_, router) = scripted(RouterOptions::default());
    publish(&router, vec![begin("a")]).await;
    let mut reader = open(&router, request(Some("a"), Start::Beginning)).await;
    log_.place(log("a", ""));
    log_.show(1);
    router.close(EndReason::Shutdown);
    log_.place(log("a", ""));
    log_.show(1);
    assert_eq!(drain_from(&log_, &mut *reader), ["1", "~2", ".Shutdown@1"]);
}

// === Any order ===

/// Writes `<cursor>\n`.
#[derive(Debug)]
struct Cursors;

impl Encoder for Cursors {
    fn id(&self) -> &str {
        "cursors"
    }

    fn encode(&self, _record: &Record, cursor: &Cursor, out: &mut BytesMut) {
        out.extend_from_slice(format!("{cursor}\n").as_bytes());
    }

    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(json);
    }
}

const RUNS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Op {
    /// Gives events of a run their place; the last one may end it.
    Place {
        run: usize,
        count: usize,
        ends: bool,
    },
    Show(usize),
    Commit(usize),
    Lose(usize),
    Remove(usize),
    Renew,
    /// At so many percent of all there is.
    Open {
        run: Option<usize>,
        filtered: bool,
        start: usize,
    },
    Poll {
        reader: usize,
        times: usize,
        events: usize,
    },
}

fn ops() -> impl Strategy<Value = Op> {
    let few = 1_usize..6;
    prop_oneof![
        8 => (0..RUNS.len(), few.clone(), prop::bool::weighted(0.1))
            .prop_map(|(run, count, ends)| Op::Place { run, count, ends }),
        6 => few.clone().prop_map(Op::Show),
        6 => few.clone().prop_map(Op::Commit),
        2 => few.prop_map(Op::Lose),
        1 => (0..RUNS.len()).prop_map(Op::Remove),
        1 => Just(Op::Renew),
        5 => (prop::option::of(0..RUNS.len()), any::<bool>(), 0_usize..120)
            .prop_map(|(run, filtered, start)| Op::Open { run, filtered, start }),
        16 => (any::<usize>(), 1_usize..6, 1_usize..5)
            .prop_map(|(reader, times, events)| Op::Poll { reader, times, events }),
    ]
}

struct Watcher {
    run: Option<&'static str>,
    filter: Filter,
    subscription: Box<dyn Subscription>,
    awake: Arc<Awake>,
    /// Everything wanted up to here was delivered, or told as gone.
    told: Offset,
    /// The last event that it got.
    last: Offset,
    ended: bool,
}

#[derive(Debug)]
struct Awake(AtomicBool);

impl std::task::Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Watcher {
    fn in_scope(&self, record: &Record) -> bool {
        self.run.is_none_or(|run| record.root.as_str() == run)
    }

    fn wants(&self, record: &Record) -> bool {
        self.in_scope(record) && self.filter.matches(record)
    }

    /// Nothing that it wanted before `offset` is missing.
    fn reach(&self, log: &ScriptedLog, offset: Offset) {
        let from = self.told.max(self.last);
        let missed =
            |record: &&Arc<Record>| record.offset > from && record.offset < offset && self.wants(record);
        if let Some(record) = log.all().iter().find(missed) {
            panic!("{} was passed over on the way to {offset}: {self:?}", record.offset);
        }
    }

    fn got(&mut self, log: &ScriptedLog, offset: Offset) {
        assert!(offset > self.last.max(self.told), "{offset} came again, or too late: {self:?}");
        assert!(self.wants(&log.all()[offset as usize - 1]));
        self.reach(log, offset);
        self.last = offset;
    }

    fn poll(&mut self, log: &ScriptedLog, events: usize) -> bool {
        if !self.awake.0.load(Ordering::SeqCst) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.awake));
        let Some(delivery) = poll(&mut *self.subscription, &waker, Budget { events, bytes: usize::MAX })
        else {
            self.awake.0.store(false, Ordering::SeqCst);
            return false;
        };
        assert!(!self.ended, "I9");
        match delivery {
            Delivery::Block(block) => {
                let text = String::from_utf8(block.slices.concat()).unwrap();
                assert!(block.events <= events && text.lines().count() == block.events);
                for line in text.lines() {
                    let cursor: Cursor = line.parse().unwrap();
                    assert_eq!(cursor.epoch, log.epoch());
                    self.got(log, cursor.offset);
                    assert!(cursor.offset <= log.head(), "I6");
                    self.told = cursor.offset;
                }
            }
            Delivery::Ephemeral(json) => {
                let offset = offset_of(log, &json);
                assert!(offset > log.head() && offset <= log.shown());
                self.got(log, offset);
            }
            Delivery::Id(cursor) => {
                assert!(cursor.offset <= log.head() && cursor.offset >= self.told, "{cursor} of {self:?}");
                self.reach(log, cursor.offset + 1);
                self.told = cursor.offset;
            }
            Delivery::Gap(gap) => {
                let (from, to) = (gap.from.offset, gap.to.offset);
                assert!(from >= self.told && to > from && to > self.last, "{gap:?} of {self:?}");
                self.reach(log, from + 1);
                for record in log.all().iter().filter(|r| r.offset > from.max(self.last) && r.offset <= to) {
                    assert!(!self.wants(record) || log.is_gone(record.offset), "{gap:?} is not exact");
                }
                assert!(log.is_gone(to) && self.in_scope(&log.all()[to as usize - 1]), "{gap:?}");
                self.told = to;
            }
            Delivery::End(end) => {
                self.ended = true;
                assert!(end.cursor.offset >= self.told && end.cursor.offset <= log.head());
                let ends = |record: &Arc<Record>| self.in_scope(record) && record.terminal.is_some();
                let at = log.all().iter().find(|record| ends(record)).map(|record| record.offset).unwrap();
                match end.reason {
                    EndReason::Completed => self.reach(log, at + 1),
                    EndReason::Deleted => assert!(log.is_gone(at)),
                    other => panic!("{other:?}"),
                }
            }
        }
        true
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} told {} last {} {:?}", self.run, self.told, self.last, self.subscription)
    }
}

fn try_ops(options: RouterOptions, ops: &[Op]) {
    let (log_, router) = scripted(options);
    let mut ended = [false; RUNS.len()];
    let mut watchers: Vec<Watcher> = Vec::new();
    for op in ops {
        match op {
            Op::Place { run, count, ends } if !ended[*run] => {
                (1..*count).for_each(|_| drop(log_.place(log(RUNS[*run], ""))));
                log_.place(if *ends { end(RUNS[*run]) } else { begin(RUNS[*run]) });
                ended[*run] = *ends;
            }
            Op::Place { .. } => {}
            Op::Show(count) => log_.show(*count),
            Op::Commit(count) => log_.commit(*count),
            Op::Lose(count) => log_.lose(*count),
            Op::Remove(run) => {
                drop(log_.remove(&id(RUNS[*run])).now_or_never().unwrap());
            }
            Op::Renew => log_.renew(),
            Op::Open { run, filtered, start } => {
                let run = run.map(|run| RUNS[run]);
                let filter = if *filtered { only(EventType::ExecutionLog) } else { Filter::default() };
                let offset = log_.shown().max(log_.head()) * *start as Offset / 100;
                let start = match start {
                    0..100 => Start::After(log_.epoch().at(offset)),
                    100..110 => Start::Now,
                    _ => Start::Beginning,
                };
                let told = match &start {
                    Start::After(cursor) => cursor.offset,
                    Start::Now => log_.head(),
                    Start::Beginning => 0,
                };
                let encoder = Arc::new(Cursors);
                let request = SubscribeRequest { filter: filter.clone(), encoder, ..request(run, start) };
                let Ok(Subscribed::Open(subscription)) = router.subscribe(request).now_or_never().unwrap()
                else {
                    continue;
                };
                // What lies behind the head was shown elsewhere.
                let (told, last) = (told.min(log_.head()), told);
                let awake = Arc::new(Awake(AtomicBool::new(true)));
                watchers.push(Watcher { run, filter, subscription, awake, told, last, ended: false });
            }
            Op::Poll { reader, times, events } if !watchers.is_empty() => {
                let at = reader % watchers.len();
                for _ in 0..*times {
                    watchers[at].poll(&log_, *events);
                }
            }
            Op::Poll { .. } => {}
        }
    }
    log_.commit(usize::MAX >> 1);
    for watcher in &mut watchers {
        while watcher.poll(&log_, 3) {}
        if !watcher.ended {
            watcher.reach(&log_, log_.head() + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("DIPEO_LONG").is_some() { 20_000 } else { 512 },
        ..ProptestConfig::default()
    })]

    /// Whatever the log tells, a reader gets every event once, in order, or is told exactly what is gone; what has an id is
    /// stored; nobody sleeps beside an event.
    #[test]
    fn a_log_in_trouble_hides_nothing(
        tail_records in prop_oneof![Just(0_usize), 1..20_usize, Just(100_000)],
        view_bytes in prop_oneof![Just(1_usize), Just(1_000), Just(1 << 20)],
        unstored_bytes in prop_oneof![Just(1_000_usize), Just(1 << 20)],
        ops in prop::collection::vec(ops(), 1..60),
    ) {
        try_ops(RouterOptions { tail_records, view_bytes, unstored_bytes, ..RouterOptions::default() }, &ops);
    }
}

/// The place in the log is told by the envelope.
#[test]
fn ephemeral_events_are_the_events_themselves() {
    let log_ = ScriptedLog::new(0);
    let record = log_.place(log("a", "x"));
    assert_eq!(Envelope::decode(&record.json).unwrap().seq, Some(1));
    assert_eq!(offset_of(&log_, &record.json), 1);
}
