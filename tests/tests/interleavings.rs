//! I5, I4, I8, I9 as properties: whatever is published, evicted, closed and read in whatever order, a reader sees exactly
//! the filtered log from its start, in order, once, or is told exactly what is missing.
//!
//! The model is the list of all records that the log ever took. `DIPEO_LONG=1` tries many more plans.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken expectation is a failed test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::BytesMut;
use core_events::{
    CallbackContext, Cursor, EndReason, Epoch, Event, EventType, ExecutionId, ExecutionLog, ExecutionState,
    ExecutionStatus, ExecutionStatusChanged, Fact, Filter, LogLevel, NodeId, NodeStatus, NodeStatusChanged,
    Offset, Record, Timestamp,
    event::Extra,
    ports::{
        AppendError, Budget, Delivery, Encoder, EventLog, LookupError, MessageRouter, ReadRange, Scope,
        Start, StreamSource, SubscribeError, SubscribeRequest, Subscribed, Subscription,
    },
};
use futures_util::FutureExt;
use proptest::prelude::*;
use router::{MemoryLog, MemoryLogOptions, Router, RouterOptions};

// === What is tried ===

/// Few names, so that plans collide.
const RUNS: usize = 3;
const SUBS: usize = 2;

#[derive(Debug, Clone)]
struct Plan {
    log: MemoryLogOptions,
    router: RouterOptions,
    ops: Vec<Op>,
}

#[derive(Debug, Clone)]
enum Op {
    Publish {
        run: usize,
        facts: Vec<(Option<usize>, Kind)>,
    },
    /// So many appends of one log line.
    Burst {
        run: usize,
        lines: usize,
    },
    Subscribe(Ask),
    /// Asks for what another reader has, so that they share a view.
    Join {
        reader: usize,
        from: From,
    },
    /// Polls a reader if it was woken, at most so often.
    Poll {
        reader: usize,
        budget: Budget,
        times: usize,
    },
    Drop {
        reader: usize,
    },
    Close,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Log,
    Node(u8),
    End,
}

#[derive(Debug, Clone)]
struct Ask {
    target: Target,
    from: From,
    filter: usize,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    All,
    Run(usize),
    Sub(usize, usize),
}

#[derive(Debug, Clone, Copy)]
enum From {
    Beginning,
    Now,
    /// Any cursor that any reader was ever given.
    Handed(usize),
    Foreign,
    Future,
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
    let router = (0_usize..40, prop_oneof![Just(1_usize), 500..4_000_usize, Just(1 << 20)]).prop_map(
        |(tail_records, view_bytes)| RouterOptions { tail_records, view_bytes, ..RouterOptions::default() },
    );
    let router = prop_oneof![1 => Just(RouterOptions::default()), 3 => router];
    (log, router, prop::collection::vec(ops(), 1..60)).prop_map(|(log, router, ops)| Plan {
        log,
        router,
        ops,
    })
}

fn ops() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![8 => Just(Kind::Log), 8 => (0_u8..3).prop_map(Kind::Node), 2 => Just(Kind::End)];
    let facts = prop::collection::vec((prop::option::of(0..SUBS), kind), 1..5);
    let budget = (1_usize..6, prop_oneof![Just(1_usize), Just(400), Just(usize::MAX)])
        .prop_map(|(events, bytes)| Budget { events, bytes });
    prop_oneof![
        12 => (0..RUNS, facts).prop_map(|(run, facts)| Op::Publish { run, facts }),
        1 => (0..RUNS, 1_usize..130).prop_map(|(run, lines)| Op::Burst { run, lines }),
        6 => asks().prop_map(Op::Subscribe),
        4 => (any::<usize>(), starts()).prop_map(|(reader, from)| Op::Join { reader, from }),
        16 => (any::<usize>(), budget, 1_usize..8)
            .prop_map(|(reader, budget, times)| Op::Poll { reader, budget, times }),
        1 => any::<usize>().prop_map(|reader| Op::Drop { reader }),
        1 => Just(Op::Close).boxed(),
    ]
}

fn asks() -> impl Strategy<Value = Ask> {
    let target = prop_oneof![
        2 => Just(Target::All),
        3 => (0..RUNS).prop_map(Target::Run),
        2 => (0..RUNS, 0..SUBS).prop_map(|(run, sub)| Target::Sub(run, sub)),
    ];
    (target, starts(), 0..FILTERS).prop_map(|(target, from, filter)| Ask { target, from, filter })
}

fn starts() -> impl Strategy<Value = From> {
    prop_oneof![
        4 => Just(From::Beginning),
        2 => Just(From::Now),
        4 => any::<usize>().prop_map(From::Handed),
        1 => Just(From::Foreign),
        1 => Just(From::Future),
    ]
}

const FILTERS: usize = 6;

fn filter(at: usize) -> Filter {
    let mut filter = Filter::default();
    match at {
        1 => filter.types = Some(BTreeSet::from([EventType::NodeStatusChanged])),
        2 => filter.types = Some(BTreeSet::from([EventType::ExecutionStatusChanged])),
        3 => filter.nodes = Some(BTreeSet::from([NodeId::from("n1")])),
        4 => filter.executions = Some(BTreeSet::from([run_id(0), sub_id(1, 0)])),
        5 => filter.types = Some(BTreeSet::new()),
        _ => {}
    }
    filter
}

fn run_id(run: usize) -> ExecutionId {
    ExecutionId::parse(&format!("run{run}")).unwrap()
}

fn sub_id(run: usize, sub: usize) -> ExecutionId {
    ExecutionId::parse(&format!("sub{run}{sub}")).unwrap()
}

fn fact(run: usize, sub: Option<usize>, kind: Kind) -> Fact {
    let time = Timestamp::from_micros(0);
    let execution = sub.map_or(run_id(run), |sub| sub_id(run, sub));
    let event = match kind {
        Kind::Log => Event::ExecutionLog(ExecutionLog {
            level: LogLevel::Info,
            message: "line".to_owned(),
            timestamp: None,
            logger: None,
            node_id: None,
            truncated: None,
            extra: Extra::new(),
        }),
        Kind::Node(node) => Event::NodeStatusChanged(NodeStatusChanged::to(
            NodeId::from(format!("n{node}").as_str()),
            NodeStatus::Running,
            time,
        )),
        Kind::End => {
            Event::ExecutionStatusChanged(ExecutionStatusChanged::to(ExecutionStatus::Completed, time))
        }
    };
    let context =
        CallbackContext { execution, parent: sub.map(|_| run_id(run)), root: run_id(run), step: 0, time };
    Fact::new(context, event)
}

/// `<cursor> <json>\n`
#[derive(Debug)]
struct Lines;

impl Encoder for Lines {
    fn id(&self) -> &str {
        "lines"
    }

    fn encode(&self, record: &Record, cursor: &Cursor, out: &mut BytesMut) {
        out.extend_from_slice(format!("{cursor} ").as_bytes());
        out.extend_from_slice(&record.json);
        out.extend_from_slice(b"\n");
    }

    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(json);
    }
}

// === The invariants ===

/// Everything that the log ever took.
#[derive(Debug, Default)]
struct Model {
    records: Vec<Arc<Record>>,
}

/// What a reader asked for, and what it got.
#[derive(Debug, Clone)]
struct Stream {
    epoch: Epoch,
    target: Option<ExecutionId>,
    root: Option<ExecutionId>,
    filter: Filter,
    /// The cursor that it came with, if that is worth a reset.
    reset: Option<Cursor>,
    start: Offset,
    got: Vec<Delivery>,
}

impl Model {
    fn head(&self) -> Offset {
        self.records.last().map_or(0, |record| record.offset)
    }

    /// I1: no hole in the offsets, none in the `seq` of a root run.
    fn take(&mut self, records: &[Arc<Record>]) {
        for record in records {
            assert_eq!(record.offset, self.head() + 1, "offsets are contiguous");
            let last = self.records.iter().rev().find(|known| known.root == record.root);
            assert_eq!(record.seq, last.map_or(0, |last| last.seq) + 1, "seq is contiguous");
            self.records.push(Arc::clone(record));
        }
    }

    fn end_of(&self, stream: &Stream) -> Option<Offset> {
        let target = stream.target.as_ref()?;
        let ends = |r: &&Arc<Record>| {
            r.terminal.is_some() && (&r.execution == target || Some(&r.execution) == stream.root.as_ref())
        };
        self.records.iter().find(ends).map(|record| record.offset)
    }

    /// Between two positions.
    fn between(&self, after: Offset, to: Offset) -> impl Iterator<Item = &Arc<Record>> {
        self.records.iter().filter(move |record| record.offset > after && record.offset <= to)
    }
}

impl Stream {
    fn in_scope(&self, record: &Record) -> bool {
        self.root.as_ref().is_none_or(|root| root == &record.root)
    }

    fn wants(&self, record: &Record) -> bool {
        let of_target = self.target == self.root || self.target.as_ref() == Some(&record.execution);
        self.in_scope(record) && of_target && self.filter.matches(record)
    }

    /// The same, before it got anything.
    fn again(&self) -> Self {
        let Self { epoch, target, root, filter, .. } = self;
        let (epoch, target, root, filter) = (epoch.clone(), target.clone(), root.clone(), filter.clone());
        Self { epoch, target, root, filter, reset: None, start: 0, got: Vec::new() }
    }

    fn ended(&self) -> bool {
        matches!(self.got.last(), Some(Delivery::End(_)))
    }
}

/// What the stream got is the filtered log from its start, in order, once, but for what gaps tell. Returns the position that it
/// was told last.
fn check_prefix(stream: &Stream, model: &Model) -> Offset {
    let mut got = stream.got.iter();
    let mut told = stream.start;
    if let Some(from) = &stream.reset {
        let Some(Delivery::Gap(gap)) = got.next() else { return told };
        assert!(gap.reset && &gap.from == from && gap.to == stream.epoch.at(stream.start), "{gap:?}");
    }
    let nothing_between = |told, to: &Cursor| {
        assert_eq!(to.epoch, stream.epoch);
        assert!(to.offset >= told, "positions never go back: {told} to {to}");
        let missed = model.between(told, to.offset).find(|record| stream.wants(record));
        assert!(missed.is_none(), "I8: {to} promises what was not delivered: {missed:?}");
        to.offset
    };
    let end = model.end_of(stream);
    for (at, delivery) in got.enumerate() {
        match delivery {
            Delivery::Block(block) => {
                let text = String::from_utf8(block.slices.concat()).unwrap();
                assert_eq!(text.lines().count(), block.events);
                for line in text.lines() {
                    let expected = model.between(told, Offset::MAX).find(|record| stream.wants(record));
                    let expected = expected.expect("nothing is delivered that is not in the log");
                    let json = std::str::from_utf8(&expected.json).unwrap();
                    assert_eq!(line, format!("{} {json}", stream.epoch.at(expected.offset)), "I5");
                    told = expected.offset;
                }
                assert_eq!(block.last, stream.epoch.at(told));
            }
            Delivery::Id(cursor) => told = nothing_between(told, cursor),
            Delivery::Gap(gap) => {
                assert!(!gap.reset, "only the first delivery resets");
                nothing_between(told, &gap.from);
                assert!(gap.to.offset > gap.from.offset, "{gap:?}");
                assert!(end.is_none_or(|end| gap.to.offset < end), "I4: the end is never lost");
                told = gap.to.offset;
            }
            Delivery::End(last) => {
                assert_eq!(
                    at + 1 + usize::from(stream.reset.is_some()),
                    stream.got.len(),
                    "I9: it is the last"
                );
                nothing_between(told, &last.cursor);
                if last.reason == EndReason::Completed {
                    assert_eq!(Some(last.cursor.offset), end, "I9: it stands at the terminal event");
                }
            }
            Delivery::Ephemeral(_) => panic!("nothing ephemeral was published"),
        }
    }
    told
}

/// The same, and nothing is missing: this is a stream that is not woken any more.
fn check_complete(stream: &Stream, model: &Model, closed: Option<Offset>) {
    let told = check_prefix(stream, model);
    let Some(Delivery::End(end)) = stream.got.last() else {
        assert_eq!(closed, None, "a closed stream ends");
        assert_eq!(model.end_of(stream), None, "I9: the stream of an execution that ended ends");
        let missing = model.between(told, Offset::MAX).find(|record| stream.wants(record));
        assert!(missing.is_none(), "I5: not delivered: {missing:?}");
        let unreported = model.between(told, Offset::MAX).filter(|record| stream.in_scope(record)).count();
        assert!(unreported <= 100, "I8: {unreported} filtered-out events without an id");
        return;
    };
    match end.reason {
        EndReason::Completed => {}
        EndReason::Shutdown => {
            assert!(closed.is_some_and(|head| end.cursor.offset >= head), "{end:?} of {closed:?}");
        }
        EndReason::Deleted => assert!(model.end_of(stream).is_some(), "only finished runs are removed"),
        EndReason::Moved | EndReason::Slow | EndReason::Error => panic!("{end:?}"),
    }
}

/// Every gap holds something of the scope, and nothing of it that the log still has: `log` may have evicted more since, never
/// less.
fn check_gaps(stream: &Stream, model: &Model, log: &MemoryLog) {
    let removed = stream.root.as_ref().is_some_and(|root| log.find(root).now_or_never().unwrap().is_err());
    for delivery in &stream.got {
        let Delivery::Gap(gap) = delivery else { continue };
        if gap.reset {
            continue;
        }
        let (after, up_to) = (gap.from.offset, gap.to.offset);
        let scope = stream.root.clone().map_or(Scope::All, Scope::Run);
        let range = ReadRange { scope, after, up_to, max_records: 1, max_bytes: 1 };
        let batch = log.read(range).now_or_never().unwrap().unwrap();
        assert!(batch.records.is_empty(), "I4: {gap:?} is not gone: {:?}", batch.records);
        // Of a run that was removed nobody knows any more where its records lay.
        if !removed {
            let gone = model.between(after, up_to).filter(|record| stream.in_scope(record)).last();
            assert_eq!(gone.map(|record| record.offset), Some(up_to), "the gap is exact: {gap:?}");
        }
    }
}

/// I2: the state is the fold of everything, whatever was evicted.
fn check_states(model: &Model, log: &MemoryLog) {
    let mut states = BTreeMap::new();
    for record in &model.records {
        let envelope = core_events::Envelope::decode(&record.json).unwrap();
        let id = record.execution.clone();
        states.entry(id.clone()).or_insert_with(|| ExecutionState::new(id)).apply(&envelope);
    }
    for (id, expected) in states {
        match log.state(&id).now_or_never().unwrap() {
            Ok((state, cursor)) => {
                assert_eq!(state, expected);
                assert_eq!(cursor.offset, model.head());
            }
            Err(error) => assert_eq!(error, LookupError::Deleted(id)),
        }
    }
}

// === One thread, any order ===

struct World {
    log: Arc<MemoryLog>,
    router: Router,
    model: Model,
    readers: Vec<Watcher>,
    /// Every cursor that was handed out, and the stream that it was handed to.
    handed: Vec<(Cursor, Stream)>,
    closed: Option<Offset>,
}

struct Watcher {
    stream: Stream,
    subscription: Box<dyn Subscription>,
    flag: Arc<Flag>,
}

/// Whether the reader's task would be polled.
#[derive(Debug)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl World {
    fn new(plan: &Plan) -> Self {
        let log = Arc::new(MemoryLog::new(plan.log.clone()));
        let router = Router::new(Arc::clone(&log) as Arc<dyn EventLog>, plan.router.clone());
        Self { log, router, model: Model::default(), readers: Vec::new(), handed: Vec::new(), closed: None }
    }

    fn publish(&mut self, run: usize, facts: &[(Option<usize>, Kind)]) {
        let ended: BTreeSet<_> =
            self.model.records.iter().filter(|r| r.terminal.is_some()).map(|r| r.execution.clone()).collect();
        let mut ended = ended;
        let mut allowed = true;
        for (sub, kind) in facts {
            let execution = sub.map_or(run_id(run), |sub| sub_id(run, sub));
            allowed &= !ended.contains(&execution) && !ended.contains(&run_id(run));
            if matches!(kind, Kind::End) {
                ended.insert(execution);
            }
        }
        let facts = facts.iter().map(|(sub, kind)| fact(run, *sub, *kind)).collect();
        match self.router.publish(facts).now_or_never().unwrap() {
            Ok(appended) => {
                assert!(allowed, "I9: nothing follows a terminal event");
                self.model.take(&appended.records);
            }
            Err(AppendError::Ended(_)) => assert!(!allowed),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.log.head(), self.model.head(), "all or nothing");
    }

    /// The stream that `ask` means, as it must be, or what it is refused with.
    fn subscribe(&mut self, ask: &Ask) {
        let (target, root) = match ask.target {
            Target::All => (None, None),
            Target::Run(run) => (Some(run_id(run)), Some(run_id(run))),
            Target::Sub(run, sub) => (Some(sub_id(run, sub)), Some(run_id(run))),
        };
        self.open(target, root, filter(ask.filter), self.start(ask.from));
    }

    fn start(&self, from: From) -> Start {
        match from {
            From::Beginning => Start::Beginning,
            From::Now => Start::Now,
            From::Foreign => Start::After(Epoch::parse("foreign").unwrap().at(1)),
            From::Future => Start::After(self.log.epoch().at(self.model.head() + 1)),
            From::Handed(at) => match self.handed.get(at % self.handed.len().max(1)) {
                Some((cursor, _)) => Start::After(cursor.clone()),
                None => Start::Beginning,
            },
        }
    }

    fn open(&mut self, target: Option<ExecutionId>, root: Option<ExecutionId>, filter: Filter, start: Start) {
        let epoch = self.log.epoch();
        let default = if target.is_some() { 0 } else { self.model.head() };
        let (offset, reset) = match &start {
            Start::Beginning => (0, None),
            Start::Now => (self.model.head(), None),
            Start::After(cursor) if cursor.epoch != epoch || cursor.offset > self.model.head() => {
                (default, Some(cursor.clone()))
            }
            Start::After(cursor) => (cursor.offset, None),
        };
        let stream = Stream {
            epoch,
            target: target.clone(),
            root,
            filter: filter.clone(),
            reset,
            start: offset,
            got: Vec::new(),
        };
        let known = target.as_ref().is_none_or(|id| self.model.records.iter().any(|r| &r.execution == id));
        let request = SubscribeRequest { execution: target, start, filter, encoder: Arc::new(Lines) };
        match self.router.subscribe(request).now_or_never().unwrap() {
            Ok(Subscribed::Open(subscription)) => {
                assert!(known && self.closed.is_none());
                assert_eq!(subscription.start(), stream.epoch.at(offset));
                self.handed.push((subscription.start(), stream.again()));
                let flag = Arc::new(Flag(AtomicBool::new(true)));
                self.readers.push(Watcher { stream, subscription, flag });
            }
            Ok(Subscribed::Finished) => {
                assert!(self.model.end_of(&stream).is_some_and(|end| end <= offset), "I9");
            }
            Err(SubscribeError::Closed(_)) => assert!(self.closed.is_some()),
            Err(SubscribeError::Lookup(LookupError::Unknown(_))) => assert!(!known),
            Err(SubscribeError::Lookup(LookupError::Deleted(_))) => {
                assert!(self.model.end_of(&stream).is_some(), "only finished runs are removed");
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether there was something.
    fn poll(&mut self, reader: usize, budget: Budget) -> bool {
        let watcher = &mut self.readers[reader];
        if !watcher.flag.0.load(Ordering::SeqCst) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&watcher.flag));
        let polled = watcher.subscription.poll_next(&mut Context::from_waker(&waker), budget);
        let Poll::Ready(delivery) = polled else {
            watcher.flag.0.store(false, Ordering::SeqCst);
            return false;
        };
        if let Delivery::Block(block) = &delivery {
            assert!(block.events <= budget.events, "the budget holds");
            let bytes: usize = block.slices.iter().map(bytes::Bytes::len).sum();
            assert!(block.events == 1 || bytes <= budget.bytes, "the budget holds");
        }
        let cursor = match &delivery {
            Delivery::Block(block) => Some(&block.last),
            Delivery::Id(cursor) => Some(cursor),
            Delivery::Gap(gap) => Some(&gap.to),
            Delivery::End(end) => Some(&end.cursor),
            Delivery::Ephemeral(_) => None,
        };
        if let Some(cursor) = cursor {
            self.handed.push((cursor.clone(), watcher.stream.again()));
        }
        let gap = matches!(delivery, Delivery::Gap(_));
        watcher.stream.got.push(delivery);
        if gap {
            check_gaps(&watcher.stream, &self.model, &self.log);
        }
        true
    }

    fn settle(&mut self) {
        for reader in 0..self.readers.len() {
            while self.poll(reader, Budget { events: 7, bytes: 2_000 }) {}
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Publish { run, facts } => self.publish(*run, facts),
            Op::Burst { run, lines } => (0..*lines).for_each(|_| self.publish(*run, &[(None, Kind::Log)])),
            Op::Subscribe(ask) => self.subscribe(ask),
            Op::Poll { reader, budget, times } if !self.readers.is_empty() => {
                let reader = reader % self.readers.len();
                (0..*times).for_each(|_| {
                    self.poll(reader, *budget);
                });
            }
            Op::Drop { reader } if !self.readers.is_empty() => {
                let reader = reader % self.readers.len();
                let watcher = self.readers.swap_remove(reader);
                check_prefix(&watcher.stream, &self.model);
            }
            Op::Join { reader, from } if !self.readers.is_empty() => {
                let Stream { target, root, filter, .. } =
                    self.readers[reader % self.readers.len()].stream.again();
                self.open(target, root, filter, self.start(*from));
            }
            Op::Poll { .. } | Op::Drop { .. } | Op::Join { .. } => {}
            Op::Close => {
                self.router.close(EndReason::Shutdown);
                self.closed = self.closed.or(Some(self.model.head()));
            }
        }
        assert_eq!(self.router.stats().subscriptions, self.readers.len(), "I13");
    }
}

fn try_plan(plan: &Plan) {
    let mut world = World::new(plan);
    plan.ops.iter().for_each(|op| world.run(op));
    world.settle();
    for watcher in &world.readers {
        check_complete(&watcher.stream, &world.model, world.closed);
        check_gaps(&watcher.stream, &world.model, &world.log);
    }
    check_states(&world.model, &world.log);
    world.readers.clear();
    let stats = world.router.stats();
    assert_eq!(
        (stats.subscriptions, stats.views, stats.view_bytes, stats.watched_executions),
        (0, 0, 0, 0),
        "I13"
    );

    // I8: from any cursor that was handed out, the same stream gives exactly the rest.
    if world.closed.is_none() {
        for (cursor, stream) in std::mem::take(&mut world.handed) {
            world.open(stream.target, stream.root, stream.filter, Start::After(cursor));
        }
        world.settle();
        for watcher in &world.readers {
            check_complete(&watcher.stream, &world.model, None);
        }
    }
}

fn cases() -> u32 {
    if std::env::var_os("DIPEO_LONG").is_some() { 20_000 } else { 256 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_reader_sees_the_filtered_log_once_and_in_order(plan in plans()) {
        try_plan(&plan);
    }
}

// === Many threads ===

/// Reads to the end with breaks; now and then drops its subscription and comes back with the last cursor that it was given.
async fn follow(router: Arc<Router>, mut stream: Stream, seed: usize) -> Vec<Stream> {
    let mut streams = Vec::new();
    let mut start = Start::Beginning;
    let mut state = seed;
    let mut chance = move |one_in: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).is_multiple_of(one_in)
    };
    loop {
        let request = SubscribeRequest {
            execution: stream.target.clone(),
            start: start.clone(),
            filter: stream.filter.clone(),
            encoder: Arc::new(Lines),
        };
        let mut subscription = match router.subscribe(request).await {
            Ok(Subscribed::Open(subscription)) => subscription,
            Ok(Subscribed::Finished) | Err(SubscribeError::Closed(_)) => return streams,
            Err(SubscribeError::Lookup(LookupError::Deleted(_))) => return streams,
            // It has not begun.
            Err(SubscribeError::Lookup(LookupError::Unknown(_))) => {
                tokio::task::yield_now().await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        stream.start = subscription.start().offset;
        loop {
            let budget = Budget { events: 1 + seed % 7, bytes: 4_096 };
            let delivery = std::future::poll_fn(|cx| subscription.poll_next(cx, budget)).await;
            let cursor = match &delivery {
                Delivery::Block(block) => block.last.clone(),
                Delivery::Id(cursor) => cursor.clone(),
                Delivery::Gap(gap) => gap.to.clone(),
                Delivery::End(end) => end.cursor.clone(),
                Delivery::Ephemeral(_) => continue,
            };
            stream.got.push(delivery);
            if stream.ended() {
                streams.push(stream);
                return streams;
            }
            if chance(64) {
                start = Start::After(cursor);
                break;
            }
            if chance(8) {
                tokio::task::yield_now().await;
            }
        }
        streams.push(Stream { got: std::mem::take(&mut stream.got), ..stream.clone() });
    }
}

async fn race(round: usize, log: MemoryLogOptions, router: RouterOptions) {
    let log = Arc::new(MemoryLog::new(log));
    let router = Arc::new(Router::new(Arc::clone(&log) as Arc<dyn EventLog>, router));
    let mut readers = Vec::new();
    for seed in 0..24 {
        let root = (seed % 4 != 3).then(|| run_id(seed % RUNS));
        let target =
            if seed % 5 == 4 && root.is_some() { Some(sub_id(seed % RUNS, 0)) } else { root.clone() };
        let stream = Stream {
            epoch: log.epoch(),
            target,
            root,
            filter: filter(seed % FILTERS),
            reset: None,
            start: 0,
            got: Vec::new(),
        };
        readers.push(tokio::spawn(follow(Arc::clone(&router), stream, round * 31 + seed)));
    }
    let mut publishers = Vec::new();
    for run in 0..RUNS {
        let router = Arc::clone(&router);
        publishers.push(tokio::spawn(async move {
            let mut records = Vec::new();
            for at in 0..300 {
                let sub = (at % 3 == 1 && at < 250).then_some(0);
                let kind = match at {
                    250 => Kind::End,
                    _ if at % 2 == 0 => Kind::Log,
                    _ => Kind::Node(1),
                };
                let facts = if at == 250 {
                    vec![fact(run, None, Kind::Log), fact(run, Some(0), Kind::End)]
                } else {
                    vec![fact(run, sub, kind)]
                };
                records.extend(router.publish(facts).await.unwrap().records);
                if at % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            records.extend(router.publish(vec![fact(run, None, Kind::End)]).await.unwrap().records);
            records
        }));
    }
    let mut model = Model::default();
    let mut records = Vec::new();
    for publisher in publishers {
        records.extend(publisher.await.unwrap());
    }
    records.sort_by_key(|record| record.offset);
    model.take(&records);
    router.close(EndReason::Shutdown);
    for reader in readers {
        let streams = reader.await.unwrap();
        let last = streams.len().saturating_sub(1);
        for (at, stream) in streams.iter().enumerate() {
            check_prefix(stream, &model);
            check_gaps(stream, &model, &log);
            if at == last && stream.ended() {
                check_complete(stream, &model, Some(model.head()));
            }
        }
    }
    check_states(&model, &log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_change_nothing() {
    let rounds = if std::env::var_os("DIPEO_LONG").is_some() { 400 } else { 8 };
    for round in 0..rounds {
        let small = |records| MemoryLogOptions { records, ..MemoryLogOptions::default() };
        let tail =
            |tail_records, view_bytes| RouterOptions { tail_records, view_bytes, ..RouterOptions::default() };
        match round % 4 {
            0 => race(round, MemoryLogOptions::default(), RouterOptions::default()).await,
            1 => race(round, MemoryLogOptions::default(), tail(8, 2_000)).await,
            2 => race(round, small(100), tail(8, 2_000)).await,
            _ => race(round, small(20), RouterOptions::default()).await,
        }
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
            router.publish(vec![fact(0, None, Kind::Log)]).now_or_never().unwrap().unwrap();
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
