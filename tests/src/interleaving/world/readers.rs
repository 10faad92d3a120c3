//! The readers of a world.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use core_events::{
    Epoch, ExecutionId, Filter,
    ports::{
        Budget, Delivery, LookupError, Start, StreamSource, SubscribeError, SubscribeRequest, Subscribed,
        Subscription,
    },
};
use tokio::sync::Notify;

use super::{Subject, World};
use crate::interleaving::{
    cast::Lines,
    model::{Stream, place},
    plan::{Ask, From, Target},
};

/// How long what must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) stream: Stream,
    subscription: Box<dyn Subscription>,
    flag: Arc<Flag>,
}

/// Whether the reader's task would be polled.
#[derive(Debug)]
struct Flag {
    up: AtomicBool,
    woken: Arc<Notify>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.up.store(true, Ordering::SeqCst);
        self.woken.notify_one();
    }
}

impl<S: Subject> World<S> {
    /// The stream that `ask` means, as it must be, or what it is refused with.
    pub(super) async fn subscribe(&mut self, ask: &Ask) {
        let (target, root) = match ask.target {
            Target::All => (None, None),
            Target::Run(run) => (Some(self.cast.run(run)), Some(self.cast.run(run))),
            Target::Sub(run, sub) => (Some(self.cast.sub(run, sub)), Some(self.cast.run(run))),
        };
        self.open(target, root, self.cast.filter(ask.filter), self.start(ask.from)).await;
    }

    pub(super) fn start(&self, from: From) -> Start {
        match from {
            From::Beginning => Start::Beginning,
            From::Now => Start::Now,
            From::Foreign => Start::After(Epoch::parse("foreign").unwrap().at(1)),
            From::Future => Start::After(self.log().epoch().at(self.model.head() + 1)),
            From::Handed(at) => match self.handed.get(at % self.handed.len().max(1)) {
                Some((cursor, _)) => Start::After(cursor.clone()),
                None => Start::Beginning,
            },
        }
    }

    pub(super) async fn open(
        &mut self,
        target: Option<ExecutionId>,
        root: Option<ExecutionId>,
        filter: Filter,
        start: Start,
    ) {
        let epoch = self.log().epoch();
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
            root: root.clone(),
            filter: filter.clone(),
            reset,
            start: offset,
            got: Vec::new(),
        };
        let known = target.as_ref().is_none_or(|id| self.model.records.iter().any(|r| &r.execution == id));
        // A run of which only a sub-run spoke may be known, or not yet.
        let begun = target.as_ref().is_some_and(|id| self.model.records.iter().any(|r| &r.root == id));
        let removed = self.removed.iter().any(|run| root == Some(self.cast.run(*run)));
        let request = SubscribeRequest { execution: target, start, filter, encoder: Arc::new(Lines) };
        match self.router().subscribe(request).await {
            Ok(Subscribed::Open(subscription)) => {
                assert!((known || begun) && !removed && self.closed.is_none());
                assert_eq!(subscription.start(), stream.epoch.at(offset));
                self.handed.push((subscription.start(), stream.again()));
                let flag = Flag { up: AtomicBool::new(true), woken: Arc::clone(&self.woken) };
                self.readers.push(Watcher { stream, subscription, flag: Arc::new(flag) });
            }
            Ok(Subscribed::Finished) => {
                assert!(!removed && self.model.end_of(&stream).is_some_and(|end| end <= offset), "I9");
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
    pub(super) async fn poll(&mut self, reader: usize, budget: Budget) -> bool {
        let watcher = &mut self.readers[reader];
        if !watcher.flag.up.load(Ordering::SeqCst) {
            return false;
        }
        // What wakes it from here on counts.
        watcher.flag.up.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&watcher.flag));
        let polled = watcher.subscription.poll_next(&mut Context::from_waker(&waker), budget);
        let Poll::Ready(delivery) = polled else { return false };
        watcher.flag.up.store(true, Ordering::SeqCst);
        if let Delivery::Block(block) = &delivery {
            assert!(block.events <= budget.events, "the budget holds");
            let bytes: usize = block.slices.iter().map(bytes::Bytes::len).sum();
            assert!(block.events == 1 || bytes <= budget.bytes, "the budget holds");
            self.tally.events += block.events;
        }
        if let Some(cursor) = place(&delivery) {
            self.handed.push((cursor.clone(), watcher.stream.again()));
        }
        if let Delivery::Gap(gap) = &delivery {
            self.tally.gaps += 1;
            self.model.check_gap(&watcher.stream, gap, &**self.subject.log()).await;
        }
        watcher.stream.got.push(delivery);
        true
    }

    /// Lets readers read until none is woken any more, and they have everything.
    pub(super) async fn settle(&mut self, readers: std::ops::Range<usize>) {
        loop {
            for reader in readers.clone() {
                while self.poll(reader, Budget { events: 7, bytes: 2_000 }).await {}
            }
            let behind = |watcher: &Watcher| self.model.lacks(&watcher.stream, self.closed).is_some();
            let Some(late) = self.readers[readers.clone()].iter().find(|watcher| behind(watcher)) else {
                return;
            };
            if tokio::time::timeout(PATIENCE, self.woken.notified()).await.is_err() {
                let Watcher { stream, subscription, .. } = late;
                let lacks = self.model.lacks(stream, self.closed);
                panic!("{} of {stream:?}, {subscription:?}", lacks.unwrap_or_default());
            }
        }
    }

    pub(super) async fn settle_all(&mut self) {
        self.settle(0..self.readers.len()).await;
        for watcher in &self.readers {
            self.model.check_complete(&watcher.stream, self.closed);
            self.model.check_gaps(&watcher.stream, None, &**self.subject.log()).await;
        }
    }
}
