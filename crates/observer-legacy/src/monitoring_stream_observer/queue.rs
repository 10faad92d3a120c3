//! What waits for one client.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use core_events::{EndReason, Filter, Record, ports::Budget};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{QUEUE_BYTES, QUEUE_MESSAGES};

/// A client's queue: filled by publishing, emptied by the client's own polls.
#[derive(Debug)]
pub(super) struct Queue {
    filter: Filter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Arc<Record>>,
    bytes: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

/// What comes behind the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The run ended; its streams close then.
    Completed(Instant),
    /// Nothing more comes, for this reason.
    Cut(EndReason),
}

/// What a poll gave.
#[derive(Debug)]
pub(super) enum Taken {
    Messages(Vec<Arc<Record>>),
    End(End),
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(filter: Filter) -> Self {
        Self { filter, state: Mutex::default() }
    }

    /// Adds `record` if it fits; whether it did. `wakers` takes whoever waits, to be woken when no lock is held.
    pub(super) fn push(&self, record: &Arc<Record>, wakers: &mut Vec<Waker>) -> bool {
        if !self.filter.matches(record) {
            return true;
        }
        let mut state = self.state.lock();
        wakers.extend(state.waker.take());
        let bytes = state.bytes + record.json.len();
        let full = state.messages.len() >= QUEUE_MESSAGES || bytes > QUEUE_BYTES;
        // Nothing follows the terminal message, so that there is always room for it.
        if full && record.terminal.is_none() {
            state.end.get_or_insert(End::Cut(EndReason::Slow));
            return false;
        }
        state.bytes = bytes;
        state.messages.push_back(Arc::clone(record));
        true
    }

    pub(super) fn end(&self, end: End, wakers: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        wakers.extend(state.waker.take());
    }

    /// The next messages, within `budget`; behind the last one, the end.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>, budget: Budget) -> Poll<Taken> {
        let mut state = self.state.lock();
        let messages = take(&mut state.messages, budget);
        if !messages.is_empty() {
            state.bytes -= messages.iter().map(|record| record.json.len()).sum::<usize>();
            return Poll::Ready(Taken::Messages(messages));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Taken::End(end));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// The first of `messages`, within `budget`; at least one if there is one.
pub(super) fn take(messages: &mut VecDeque<Arc<Record>>, budget: Budget) -> Vec<Arc<Record>> {
    let mut bytes = 0;
    let fits = |record: &&Arc<Record>| {
        let fits = bytes < budget.bytes.max(1);
        bytes += record.json.len();
        fits
    };
    let count = messages.iter().take(budget.events.max(1)).take_while(fits).count();
    messages.drain(..count).collect()
}
