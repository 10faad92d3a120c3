//! A client's stream.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use core_events::{
    Cursor, EndReason, Epoch, Gap, Offset, Record,
    ports::{Block, Budget, Delivery, Encoder, Subscription},
};
use tokio::time::{Instant, Sleep};

use super::{
    clients::Seat,
    queue::{self, End, Queue, Taken},
    run::{Joined, Run},
};

/// One of a bounded number of clients.
#[derive(Debug)]
pub(super) struct Ticket(Arc<AtomicUsize>);

/// Reads what was before from its replay, then what comes from its queue. Dropping it leaves the run.
#[derive(Debug)]
pub(super) struct QueueSubscription {
    run: Arc<Run>,
    seat: Option<Seat>,
    queue: Arc<Queue>,
    encoder: Arc<dyn Encoder>,
    epoch: Epoch,
    start: Offset,
    /// All up to here was delivered.
    position: Offset,
    reset: Option<Gap>,
    replay: VecDeque<Arc<Record>>,
    missed: Option<Gap>,
    /// Runs while the run is over and the stream is not.
    linger: Option<Pin<Box<Sleep>>>,
    ended: bool,
    _ticket: Ticket,
}

// === impl Ticket ===

impl Ticket {
    /// One of `max`; fails with how many there are.
    pub(super) fn take(clients: &Arc<AtomicUsize>, max: usize) -> Result<Self, usize> {
        clients
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1))
            .map(|_| Self(Arc::clone(clients)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl QueueSubscription ===

impl QueueSubscription {
    pub(super) fn new(
        run: Arc<Run>,
        joined: Joined,
        encoder: Arc<dyn Encoder>,
        epoch: Epoch,
        ticket: Ticket,
    ) -> Self {
        let Joined { seat, queue, position, reset, replay, missed } = joined;
        Self {
            run,
            seat,
            queue,
            encoder,
            epoch,
            start: position,
            position,
            reset,
            replay,
            missed,
            linger: None,
            ended: false,
            _ticket: ticket,
        }
    }

    fn block(&mut self, records: &[Arc<Record>]) -> Delivery {
        let mut out = BytesMut::new();
        for record in records {
            self.position = record.offset;
            self.encoder.encode(record, &self.epoch.at(record.offset), &mut out);
        }
        Delivery::Block(Block {
            slices: vec![out.freeze()],
            events: records.len(),
            last: self.epoch.at(self.position),
        })
    }

    fn end(&mut self, reason: EndReason) -> Delivery {
        self.ended = true;
        Delivery::End(core_events::End { reason, cursor: self.epoch.at(self.position) })
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until))).as_mut().poll(cx)
    }
}

impl Subscription for QueueSubscription {
    fn start(&self) -> Cursor {
        self.epoch.at(self.start)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Delivery> {
        if self.ended {
            return Poll::Pending;
        }
        if let Some(gap) = self.reset.take() {
            return Poll::Ready(Delivery::Gap(gap));
        }
        if !self.replay.is_empty() {
            let records = queue::take(&mut self.replay, budget);
            return Poll::Ready(self.block(&records));
        }
        if let Some(gap) = self.missed.take() {
            self.position = gap.to.offset;
            return Poll::Ready(Delivery::Gap(gap));
        }
        match ready!(self.queue.poll_take(cx, budget)) {
            Taken::Messages(records) => Poll::Ready(self.block(&records)),
            Taken::End(End::Cut(reason)) => Poll::Ready(self.end(reason)),
            Taken::End(End::Completed(at)) => {
                ready!(self.poll_linger(cx, at));
                Poll::Ready(self.end(EndReason::Completed))
            }
        }
    }
}

impl Drop for QueueSubscription {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.run.leave(seat);
        }
    }
}
