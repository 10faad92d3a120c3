//! One task, any order.

mod readers;

use std::{
    collections::{BTreeSet, HashSet},
    ops::AddAssign,
    sync::Arc,
    task::Poll,
};

use core_events::{
    Cursor, EndReason, Offset, Record,
    ports::{
        AppendError, Budget, EventLog, LookupError, MessageRouter, ReadRange, RemoveError, Scope, Start,
    },
};
use futures_util::future::join_all;
use router::{Router, RouterOptions};
use tokio::sync::Notify;

use self::readers::Watcher;
use super::{
    cast::{Cast, Kind, RUNS},
    model::{Model, Stream},
    plan::Op,
};

/// A log that is tried.
pub trait Subject {
    /// How it can end and be opened again.
    type Restart;

    /// It, at present.
    fn log(&self) -> &Arc<dyn EventLog>;

    /// Lets it end and opens it again, while nobody else holds it. What was appended is there behind it, and its cursors hold.
    fn restart(&mut self, how: &Self::Restart);
}

/// What was seen, so that a test can tell that it saw something.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Events that the log took.
    pub appended: usize,
    /// Events that readers got.
    pub events: usize,
    /// Gaps that they were told.
    pub gaps: usize,
    /// Streams that they opened with a cursor that was handed out.
    pub resumed: usize,
    /// Runs that were deleted.
    pub removed: usize,
    /// Events that were on their way when the log ended, and got there.
    pub saved: usize,
    /// And those that did not.
    pub forgotten: usize,
}

/// A router on a log, its readers, and the model.
#[derive(Debug)]
pub struct World<S> {
    subject: S,
    cast: Cast,
    options: RouterOptions,
    /// Absent only while nobody else may hold the log.
    router: Option<Router>,
    model: Model,
    readers: Vec<Watcher>,
    /// Every cursor that was handed out, and the stream that it was handed to.
    handed: Vec<(Cursor, Stream)>,
    /// Where the log stood when the router closed.
    closed: Option<Offset>,
    removed: BTreeSet<usize>,
    /// Any reader was woken.
    woken: Arc<Notify>,
    tally: Tally,
}

impl<S: Subject> World<S> {
    /// Tries `ops`, and all that must hold behind them. Gives the log back, with all runs ended and removed.
    ///
    /// # Panics
    ///
    /// If something is not as it must be.
    pub async fn run(subject: S, cast: Cast, options: RouterOptions, ops: &[Op<S::Restart>]) -> (S, Tally) {
        let log = subject.log();
        let router = Some(Router::new(Arc::clone(log), options.clone()));
        let model = Model::behind(log.head());
        let mut world = Self {
            subject,
            cast,
            options,
            router,
            model,
            readers: Vec::new(),
            handed: Vec::new(),
            closed: None,
            removed: BTreeSet::new(),
            woken: Arc::default(),
            tally: Tally::default(),
        };
        for op in ops {
            world.step(op).await;
        }
        world.conclude().await;
        world.clear().await;
        world.router = None;
        (world.subject, world.tally)
    }

    fn log(&self) -> &Arc<dyn EventLog> {
        self.subject.log()
    }

    fn router(&self) -> &Router {
        self.router.as_ref().unwrap()
    }

    async fn step(&mut self, op: &Op<S::Restart>) {
        let of =
            |reader: &usize| Some(reader % self.readers.len().max(1)).filter(|_| !self.readers.is_empty());
        match op {
            Op::Publish { run, facts } => self.publish(*run, facts).await,
            Op::Burst { run, lines } => self.burst(*run, *lines).await,
            Op::Subscribe(ask) => self.subscribe(ask).await,
            Op::Join { reader, from } => {
                if let Some(reader) = of(reader) {
                    let Stream { target, root, filter, .. } = self.readers[reader].stream.again();
                    self.open(target, root, filter, self.start(*from)).await;
                }
            }
            Op::Poll { reader, budget, times } => {
                if let Some(reader) = of(reader) {
                    for _ in 0..*times {
                        self.poll(reader, *budget).await;
                    }
                }
            }
            Op::CatchUp { reader } => {
                if let Some(reader) = of(reader) {
                    self.settle(reader..reader + 1).await;
                }
            }
            Op::Drop { reader } => {
                if let Some(reader) = of(reader) {
                    self.model.check_prefix(&self.readers.swap_remove(reader).stream);
                }
            }
            Op::Remove { run } => self.remove(*run).await,
            Op::Close => {
                self.router().close(EndReason::Shutdown);
                self.closed = self.closed.or(Some(self.model.head()));
            }
            Op::Reroute => self.reroute(|_| {}).await,
            Op::Restart { how, run, lines } => self.restart(how, *run, *lines).await,
        }
        assert_eq!(self.router().stats().subscriptions, self.readers.len(), "I13");
    }

    async fn publish(&mut self, run: usize, facts: &[(Option<usize>, Kind)]) {
        let records = &self.model.records;
        let mut ended: BTreeSet<_> =
            records.iter().filter(|r| r.terminal.is_some()).map(|r| r.execution.clone()).collect();
        let root = self.cast.run(run);
        let mut allowed = true;
        for (sub, kind) in facts {
            let execution = sub.map_or_else(|| root.clone(), |sub| self.cast.sub(run, sub));
            allowed &= !ended.contains(&execution) && !ended.contains(&root);
            if matches!(kind, Kind::End) {
                ended.insert(execution);
            }
        }
        let facts = facts.iter().map(|(sub, kind)| self.cast.fact(run, *sub, *kind)).collect();
        match self.router().publish(facts).await {
            Ok(appended) => {
                assert!(allowed, "I9: nothing follows a terminal event");
                assert!(appended.stored, "the disk works");
                self.model.take(&appended.records);
            }
            Err(AppendError::Ended(_)) => assert!(!allowed),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.log().head(), self.model.head(), "all or nothing");
    }

    async fn burst(&mut self, run: usize, lines: usize) {
        let root = self.cast.run(run);
        let ended = self.model.records.iter().any(|r| r.terminal.is_some() && r.execution == root);
        let line = || self.router().publish(vec![self.cast.fact(run, None, Kind::Log)]);
        let mut records = Vec::new();
        for appended in join_all((0..lines).map(|_| line())).await {
            match appended {
                Ok(appended) => records.extend(appended.records),
                Err(error) => assert_eq!(error, AppendError::Ended(root.clone())),
            }
        }
        assert_eq!(records.len(), if ended { 0 } else { lines }, "I9");
        records.sort_by_key(|record| record.offset);
        self.model.take(&records);
        assert_eq!(self.log().head(), self.model.head());
    }

    async fn remove(&mut self, run: usize) {
        let root = self.cast.run(run);
        let records = || self.model.records.iter().filter(|record| record.root == root);
        let ended = records().any(|r| r.terminal.is_some() && r.execution == root);
        // A run of which only a sub-run spoke may be known, or not yet.
        let (begun, known) = (records().next().is_some(), records().any(|r| r.execution == root));
        match self.log().remove(&root).await {
            Ok(()) => {
                assert!(ended);
                self.removed.insert(run);
                self.tally.removed += 1;
                let parts: BTreeSet<_> = records().map(|record| record.execution.clone()).collect();
                for id in parts {
                    let (state, found) =
                        (self.log().state(&id).await.err(), self.log().find(&id).await.err());
                    let deleted = Some(LookupError::Deleted(id));
                    assert!(state == deleted && found == deleted, "{state:?}, {found:?}");
                }
            }
            Err(RemoveError::Running(_)) => assert!(begun && !ended),
            Err(RemoveError::Lookup(LookupError::Unknown(_))) => assert!(!known),
            // The log may have removed it by itself.
            Err(RemoveError::Lookup(LookupError::Deleted(_))) => assert!(ended),
            Err(error) => panic!("{error}"),
        }
    }

    /// I6: what any reader saw is there when the log is opened again, be it that nobody was told that it was appended.
    async fn restart(&mut self, how: &S::Restart, run: usize, lines: usize) {
        let root = self.cast.run(run);
        let ended = self.model.records.iter().any(|r| r.terminal.is_some() && r.execution == root);
        if lines > 0 {
            // The first poll of an append to a run that the log knows has nothing to wait for but the disk.
            self.publish(run, &[(None, Kind::Log)]).await;
        }
        let (log, lines) = (Arc::clone(self.log()), if ended { 0 } else { lines });
        let append = || log.append(vec![self.cast.fact(run, None, Kind::Log)].into());
        let mut on_their_way: Vec<_> = (0..lines).map(|_| append()).collect();
        let mut told = 0;
        for line in &mut on_their_way {
            told += usize::from(matches!(futures_util::poll!(line), Poll::Ready(Ok(_))));
        }
        for reader in 0..self.readers.len() {
            while self.poll(reader, Budget { events: 7, bytes: 2_000 }).await {}
        }
        drop(on_their_way);
        let epoch = log.epoch();
        drop(log);
        let before = self.model.records.len();
        self.reroute(|subject| subject.restart(how)).await;
        let kept = self.model.records.len() - before;
        assert!(told <= kept && kept <= lines, "of {lines} lines {told} were appended, {kept} are there");
        self.tally.saved += kept;
        self.tally.forgotten += lines - kept;
        assert_eq!(self.log().epoch(), epoch, "I7: the log goes on living");
    }

    /// What a restart does.
    async fn reroute(&mut self, between: impl FnOnce(&mut S)) {
        let streams: Vec<Stream> = self.readers.drain(..).map(|watcher| watcher.stream).collect();
        self.router = None;
        between(&mut self.subject);
        let log = Arc::clone(self.subject.log());
        let (after, up_to) = (self.model.head(), log.head());
        assert!(after <= up_to, "I6: nothing is forgotten");
        let all =
            ReadRange { scope: Scope::All, after, up_to, max_records: usize::MAX, max_bytes: usize::MAX };
        self.model.take(&log.read(all).await.unwrap().records);
        assert_eq!(self.model.head(), up_to, "I1");
        streams.iter().for_each(|stream| self.model.check_prefix(stream));
        self.router = Some(Router::new(log, self.options.clone()));
        self.closed = None;
    }

    async fn conclude(&mut self) {
        self.settle_all().await;
        self.model.check_states(&**self.log()).await;
        self.readers.clear();
        let stats = self.router().stats();
        assert_eq!(
            (stats.subscriptions, stats.views, stats.view_bytes, stats.watched_executions),
            (0, 0, 0, 0),
            "I13"
        );

        // I8: from any cursor that was handed out, the same stream gives exactly the rest.
        if self.closed.is_none() {
            let mut tried = HashSet::new();
            for (cursor, stream) in std::mem::take(&mut self.handed) {
                let Stream { target, root, filter, .. } = stream;
                if tried.insert((cursor.clone(), target.clone(), filter.clone())) {
                    self.open(target, root, filter, Start::After(cursor)).await;
                }
            }
            self.tally.resumed += self.readers.len();
            self.settle_all().await;
            self.readers.clear();
        }
    }

    /// Leaves nothing behind.
    async fn clear(&mut self) {
        self.tally.appended += self.model.records.len();
        for run in 0..RUNS {
            let root = self.cast.run(run);
            let known = self.model.records.iter().any(|record| record.root == root);
            let ended = |r: &Arc<Record>| r.terminal.is_some() && r.execution == root;
            if known && !self.model.records.iter().any(ended) {
                let end = vec![self.cast.fact(run, None, Kind::End)];
                self.log().append(end.into()).await.unwrap();
            }
            if known && !self.removed.contains(&run) {
                let removed = self.log().remove(&root).await;
                let gone = RemoveError::Lookup(LookupError::Deleted(root));
                assert!(removed.as_ref().is_ok() || removed == Err(gone), "{removed:?}");
            }
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let Self { appended, events, gaps, resumed, removed, saved, forgotten } = other;
        self.appended += appended;
        self.events += events;
        self.gaps += gaps;
        self.resumed += resumed;
        self.removed += removed;
        self.saved += saved;
        self.forgotten += forgotten;
    }
}
