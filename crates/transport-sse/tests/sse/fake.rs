//! A source whose streams say what a test tells them.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;
use core_events::{
    Cursor, Epoch, ExecutionId, Timestamp,
    ports::{
        Block, Budget, Clock, Delivery, History, StreamSource, SubscribeError, SubscribeRequest, Subscribed,
        Subscription,
    },
};
use history::LogHistory;
use parking_lot::Mutex;
use router::MemoryLog;

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeSource {
    pub(crate) script: Arc<Script>,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    state: Mutex<State>,
    /// Open subscriptions.
    pub(crate) open: AtomicUsize,
    /// Events that were taken.
    pub(crate) taken: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    deliveries: VecDeque<Delivery>,
    waker: Option<Waker>,
    refusal: Option<SubscribeError>,
    finished: bool,
    requests: Vec<SubscribeRequest>,
    budgets: Vec<Budget>,
}

#[derive(Debug)]
struct FakeSubscription {
    script: Arc<Script>,
}

#[derive(Debug)]
pub(crate) struct StoppedClock;

pub(crate) fn at(offset: u64) -> Cursor {
    Epoch::parse("ab").unwrap().at(offset)
}

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

/// The history of a log in which there is nothing.
pub(crate) fn no_history() -> Arc<dyn History> {
    Arc::new(LogHistory::new(Arc::new(MemoryLog::default())))
}

/// One event per slice, as the encoder would write them.
pub(crate) fn block(offsets: std::ops::RangeInclusive<u64>) -> Delivery {
    let slices: Vec<Bytes> = offsets
        .clone()
        .map(|offset| Bytes::from(format!("id: {}\ndata: {{\"seq\":{offset}}}\n\n", at(offset))))
        .collect();
    Delivery::Block(Block { events: slices.len(), slices, last: at(*offsets.end()) })
}

impl Script {
    pub(crate) fn push(&self, delivery: Delivery) {
        let mut state = self.state.lock();
        state.deliveries.push_back(delivery);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn refuse(&self, error: SubscribeError) {
        self.state.lock().refusal = Some(error);
    }

    pub(crate) fn finish(&self) {
        self.state.lock().finished = true;
    }

    pub(crate) fn requests(&self) -> Vec<SubscribeRequest> {
        self.state.lock().requests.clone()
    }

    pub(crate) fn budgets(&self) -> Vec<Budget> {
        self.state.lock().budgets.clone()
    }
}

#[async_trait]
impl StreamSource for FakeSource {
    async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscribed, SubscribeError> {
        let mut state = self.script.state.lock();
        state.requests.push(request);
        if let Some(error) = &state.refusal {
            return Err(error.clone());
        }
        if state.finished {
            return Ok(Subscribed::Finished);
        }
        self.script.open.fetch_add(1, Ordering::SeqCst);
        Ok(Subscribed::Open(Box::new(FakeSubscription { script: Arc::clone(&self.script) })))
    }
}

impl Subscription for FakeSubscription {
    fn start(&self) -> Cursor {
        at(0)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Delivery> {
        let mut state = self.script.state.lock();
        state.budgets.push(budget);
        match state.deliveries.pop_front() {
            Some(Delivery::Block(mut block)) if block.events > budget.events => {
                let rest = block.slices.split_off(budget.events);
                let first = Block { events: budget.events, slices: block.slices, last: block.last.clone() };
                let rest = Block { events: rest.len(), slices: rest, last: block.last };
                state.deliveries.push_front(Delivery::Block(rest));
                self.script.taken.fetch_add(first.events, Ordering::SeqCst);
                Poll::Ready(Delivery::Block(first))
            }
            Some(delivery) => {
                if let Delivery::Block(block) = &delivery {
                    self.script.taken.fetch_add(block.events, Ordering::SeqCst);
                }
                Poll::Ready(delivery)
            }
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for FakeSubscription {
    fn drop(&mut self) {
        self.script.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_795_000_000_000_000)
    }
}
