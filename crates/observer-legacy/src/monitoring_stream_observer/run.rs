//! One run: its first messages, and who listens.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use core_events::{
    CallbackContext, Cursor, EndReason, Epoch, Filter, Gap, GapReason, Offset, Record, Seq,
    ports::{Start, SubscribeError},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    KEPT_BYTES, KEPT_MESSAGES, LINGER,
    clients::{Clients, Seat},
    frame::Message,
    queue::{End, Queue},
};

/// Numbers messages: of one life of an observer, ascending over all its runs, so that a cursor of another run is no
/// position of this one by chance.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) epoch: Epoch,
    last: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Run(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The first messages, for whoever comes late; let go when the run is over.
    kept: Vec<Arc<Record>>,
    kept_bytes: usize,
    /// The last message's numbers; 0 before the first.
    last: (Offset, Seq),
    clients: Clients,
    end: Option<End>,
    /// The terminal message, which nobody misses, and the number of the message before it.
    terminal: Option<(Offset, Arc<Record>)>,
}

/// What a client gets when it joins.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) seat: Option<Seat>,
    pub(super) queue: Arc<Queue>,
    /// Where it starts.
    pub(super) position: Offset,
    /// Its cursor is of no use.
    pub(super) reset: Option<Gap>,
    /// What was before.
    pub(super) replay: VecDeque<Arc<Record>>,
    /// What was before and is no longer there, behind `replay`.
    pub(super) missed: Option<Gap>,
}

// === impl Numbers ===

impl Numbers {
    fn next(&self) -> Offset {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self { epoch: Epoch::random(), last: AtomicU64::new(0) }
    }
}

// === impl Run ===

impl Run {
    /// Hands `messages` to all clients and waits for none (I4). When one of them is terminal the run is over: that moment
    /// is returned. `None` if it was over before; then nothing was published (I9).
    pub(super) fn publish(
        &self,
        cx: &CallbackContext,
        messages: Vec<Message>,
        numbers: &Numbers,
    ) -> Option<bool> {
        let mut wakers = Vec::new();
        let ended = self.0.lock().publish(cx, messages, numbers, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        ended
    }

    /// A client. `None` if the run's streams have closed.
    pub(super) fn join(
        &self,
        start: &Start,
        filter: Filter,
        numbers: &Numbers,
    ) -> Result<Option<Joined>, SubscribeError> {
        let mut state = self.0.lock();
        match state.end {
            Some(End::Completed(at)) if Instant::now() >= at => return Ok(None),
            Some(End::Cut(reason)) => return Err(SubscribeError::Closed(reason)),
            _ => {}
        }
        Ok(Some(state.join(start, filter, numbers)))
    }

    pub(super) fn leave(&self, seat: Seat) {
        self.0.lock().clients.remove(seat);
    }

    /// Ends its streams, unless the run is over: then they end by themselves.
    pub(super) fn cut(&self, reason: EndReason) {
        let mut wakers = Vec::new();
        self.0.lock().end(End::Cut(reason), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Lets go of the first messages.
    pub(super) fn forget(&self) {
        self.0.lock().kept = Vec::new();
    }

    pub(super) fn clients(&self) -> usize {
        self.0.lock().clients.len()
    }
}

// === impl State ===

impl State {
    fn publish(
        &mut self,
        cx: &CallbackContext,
        messages: Vec<Message>,
        numbers: &Numbers,
        wakers: &mut Vec<Waker>,
    ) -> Option<bool> {
        if matches!(self.end, Some(End::Completed(_))) {
            return None;
        }
        let mut ended = false;
        for Message { event_type, node, terminal, json } in messages {
            let (offset, seq) = (numbers.next(), self.last.1 + 1);
            ended |= terminal.is_some();
            let record = Arc::new(Record {
                offset,
                seq,
                step: cx.step,
                root: cx.root.clone(),
                execution: cx.execution.clone(),
                event_type,
                node,
                time: cx.time,
                terminal,
                json,
                attachment: None,
            });
            self.keep(&record);
            if record.terminal.is_some() {
                self.terminal = Some((self.last.0, Arc::clone(&record)));
            }
            self.last = (offset, seq);
            self.clients.retain(|queue| queue.push(&record, wakers));
        }
        if ended {
            let end = End::Completed(Instant::now() + LINGER);
            self.clients.retain(|queue| {
                queue.end(end, wakers);
                false
            });
            self.end = Some(end);
        }
        Some(ended)
    }

    /// The first messages without a hole: behind one that was not kept, none is.
    fn keep(&mut self, record: &Arc<Record>) {
        let whole = self.kept.last().map_or(0, |last| last.seq) == self.last.1;
        let bytes = self.kept_bytes + record.json.len();
        if whole && self.kept.len() < KEPT_MESSAGES && bytes <= KEPT_BYTES {
            self.kept_bytes = bytes;
            self.kept.push(Arc::clone(record));
        }
    }

    fn end(&mut self, end: End, wakers: &mut Vec<Waker>) {
        if self.end.is_none() {
            self.end = Some(end);
            self.clients.retain(|queue| {
                queue.end(end, wakers);
                false
            });
        }
    }

    fn join(&mut self, start: &Start, filter: Filter, numbers: &Numbers) -> Joined {
        let (position, reset) = place(start, self.last.0, numbers);
        let later = self.kept.partition_point(|record| record.offset <= position);
        let replay = self.kept.iter().skip(later).filter(|record| filter.matches(record)).cloned().collect();
        let kept_to = self.kept.last().map_or(0, |record| record.offset).max(position);
        let queue = Arc::new(Queue::new(filter));
        let mut last = self.last.0;
        if let Some((before, terminal)) = &self.terminal
            && terminal.offset > kept_to
        {
            last = (*before).max(kept_to);
            queue.push(terminal, &mut Vec::new());
        }
        let missed = (kept_to < last).then(|| Gap {
            from: numbers.epoch.at(kept_to),
            to: numbers.epoch.at(last),
            reason: GapReason::Evicted,
            reset: false,
        });
        let seat = match self.end {
            None => Some(self.clients.insert(Arc::clone(&queue))),
            Some(end) => {
                queue.end(end, &mut Vec::new());
                None
            }
        };
        Joined { seat, queue, position, reset, replay, missed }
    }
}

fn place(start: &Start, last: Offset, numbers: &Numbers) -> (Offset, Option<Gap>) {
    let cursor = match start {
        Start::Beginning => return (0, None),
        Start::Now => return (last, None),
        Start::After(cursor) => cursor,
    };
    let reason = if cursor.epoch != numbers.epoch {
        GapReason::ForeignEpoch
    } else if cursor.offset > numbers.last.load(Ordering::Relaxed) {
        GapReason::FutureCursor
    } else {
        return (cursor.offset, None);
    };
    (0, Some(reset(cursor, numbers.epoch.at(0), reason)))
}

fn reset(from: &Cursor, to: Cursor, reason: GapReason) -> Gap {
    Gap { from: from.clone(), to, reason, reset: true }
}
