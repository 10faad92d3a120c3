//! A subscription.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use core_events::{
    Cursor, End, EndReason, Gap, GapReason, Offset,
    ports::{Block, Budget, Delivery, EventLog, Subscription},
};

use crate::{
    live::Member,
    progress::Seen,
    unstored::Next,
    view::{Step, Taking, UNREPORTED, Void},
};

/// A position in the log, and what is needed to go on from it.
pub(crate) struct Reader {
    log: Arc<dyn EventLog>,
    member: Member,
    start: Offset,
    /// Everything up to here was delivered, filtered out, or told as a gap.
    position: Offset,
    /// Everything up to here was delivered without a position, where it was not stored.
    shown: Offset,
    /// How many events were filtered out since the last position that was handed out.
    unreported: usize,
    /// To be told first.
    reset: Option<Gap>,
    /// Whether it waits for what the tail does not hold.
    waits: bool,
    seen: Seen,
    /// The view's version when there was nothing, and who is woken when it changes.
    parked: Option<(u64, Waker)>,
    /// How this stream goes on once it can't.
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    /// Its end was delivered without being stored.
    Concluded,
    Ended,
}

/// What is not stored, for a reader.
enum Looked {
    Found(Delivery),
    Nothing,
    /// There is something in the log by now, which comes first.
    Stale,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        member: Member,
        (start, shown): (Offset, Offset),
        reset: Option<Gap>,
    ) -> Self {
        member.place.store(start, Ordering::Relaxed);
        Self {
            log,
            member,
            start,
            position: start,
            shown,
            unreported: 0,
            reset,
            waits: false,
            seen: Seen::default(),
            parked: None,
            fate: Fate::Open,
        }
    }

    fn cursor(&self, offset: Offset) -> Cursor {
        self.member.live.epoch().at(offset)
    }

    fn move_to(&mut self, position: Offset) {
        if position != self.position {
            self.position = position;
            self.member.place.store(position, Ordering::Relaxed);
        }
    }

    fn finish(&mut self, reason: EndReason, at: Offset) -> Delivery {
        self.fate = Fate::Ended;
        Delivery::End(End { reason, cursor: self.cursor(at) })
    }

    /// The end, if nothing is to come before it.
    fn end(&mut self) -> Option<Delivery> {
        let position = self.position;
        match self.member.view.ended() {
            Some(end) if position >= end => return Some(self.finish(EndReason::Completed, end)),
            _ if self.fate == Fate::Concluded => return Some(self.finish(EndReason::Completed, position)),
            _ if self.member.view.removed() || self.member.view.end_is_gone(position) => {
                return Some(self.finish(EndReason::Deleted, position));
            }
            // Its end is in the log: that it was closed no longer matters.
            Some(end) if end <= self.member.live.head() => return None,
            _ => {}
        }
        let closing = self.member.live.closed().filter(|closing| position >= closing.head)?;
        match self.unstored(closing.known) {
            Looked::Found(delivery) => Some(delivery),
            Looked::Nothing => Some(self.finish(closing.reason, position)),
            Looked::Stale => None,
        }
    }

    /// What the log gave a place to up to `up_to` and did not store, if there is nothing stored behind the reader.
    fn unstored(&mut self, up_to: Offset) -> Looked {
        let view = &self.member.view;
        let Some(unstored) = self.member.live.unstored() else { return Looked::Nothing };
        let place = (self.position, self.shown.max(self.position), up_to);
        let record = match unstored.next(&view.scope, place, |record| view.wants(record)) {
            Next::Record(record) => record,
            Next::Nothing(up_to) => {
                self.shown = up_to;
                return Looked::Nothing;
            }
            Next::Stale => return Looked::Stale,
        };
        drop(unstored);
        self.shown = record.offset;
        if view.is_end(&record) {
            self.fate = Fate::Concluded;
        }
        if view.key.filter.matches(&record) {
            let bytes = view.show(&record);
            self.member.live.counts.delivered(1, bytes.len());
            return Looked::Found(Delivery::Ephemeral(bytes));
        }
        Looked::Found(self.finish(EndReason::Completed, self.position))
    }

    /// What was shown before it was stored is behind the reader as soon as the log has it.
    fn pass_what_was_shown(&mut self) {
        let to = self.shown.min(self.member.live.head());
        if to > self.position {
            self.move_to(to);
            // Events were delivered without a position: now there is one.
            self.unreported = UNREPORTED;
        }
    }

    /// Gives what the view has next.
    fn take(&mut self, budget: Budget) -> (Step, Option<Block>) {
        let mut taking = Taking {
            budget,
            position: self.position,
            unreported: self.unreported,
            slices: Vec::new(),
            events: 0,
            bytes: 0,
            last: 0,
            full: false,
        };
        let step = {
            let Member { live, view, .. } = &self.member;
            view.step(&live.tail, &live.head, &mut taking)
        };
        self.move_to(taking.position);
        self.unreported = taking.unreported;
        let live = &self.member.live;
        let block = (taking.events > 0).then(|| {
            live.counts.delivered(taking.events, taking.bytes);
            Block { slices: taking.slices, events: taking.events, last: live.epoch().at(taking.last) }
        });
        (step, block)
    }

    /// Passes over what holds no event. If it did, that is told.
    fn pass(&mut self, void: Void) -> Option<Delivery> {
        let from = self.position;
        self.move_to(void.to);
        if !void.pruned {
            return None;
        }
        self.member.live.counts.gap(GapReason::Evicted);
        let (from, to) = (self.cursor(from), self.cursor(void.to));
        Some(Delivery::Gap(Gap { from, to, reason: GapReason::Evicted, reset: false }))
    }

    fn progress(&mut self) -> Option<Delivery> {
        let view = &self.member.view;
        let texts = self.member.live.texts()?;
        let position = self.position.max(self.shown);
        let (part, json) = texts.next((&view.scope, &view.key.filter, position), &mut self.seen)?;
        drop(texts);
        Some(Delivery::Ephemeral(view.progress(part, json)))
    }
}

impl Subscription for Reader {
    fn start(&self) -> Cursor {
        self.cursor(self.start)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Delivery> {
        // A transport asks several times for each time that it is woken.
        if let Some((version, waker)) = &self.parked
            && *version == self.member.view.version()
            && waker.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        self.parked = None;
        loop {
            if self.fate == Fate::Ended {
                return Poll::Pending;
            }
            if let Some(gap) = self.reset.take() {
                self.member.live.counts.gap(gap.reason);
                return Poll::Ready(Delivery::Gap(gap));
            }
            self.pass_what_was_shown();
            if let Some(end) = self.end() {
                return Poll::Ready(end);
            }
            if self.unreported >= UNREPORTED {
                self.unreported = 0;
                return Poll::Ready(Delivery::Id(self.cursor(self.position)));
            }
            let version = self.member.view.version();
            let (step, block) = self.take(budget);
            if self.waits && step != Step::Behind {
                self.waits = false;
                self.member.view.caught_up(self.member.ticket);
            }
            if let Some(block) = block {
                return Poll::Ready(Delivery::Block(block));
            }
            match step {
                Step::Moved => {}
                Step::Void(void) => {
                    if let Some(gap) = self.pass(void) {
                        return Poll::Ready(gap);
                    }
                }
                Step::Behind => {
                    self.waits = true;
                    let Member { live, view, ticket, .. } = &self.member;
                    let log = (&self.log, &live.flusher);
                    if ready!(view.catch_up(log, *ticket, self.position, cx)).is_err() {
                        return Poll::Ready(self.finish(EndReason::Error, self.position));
                    }
                    self.waits = false;
                }
                Step::Current(head) => {
                    self.move_to(self.position.max(head));
                    if let Some(end) = self.end() {
                        return Poll::Ready(end);
                    }
                    match self.unstored(Offset::MAX) {
                        Looked::Found(delivery) => return Poll::Ready(delivery),
                        Looked::Stale => continue,
                        Looked::Nothing => {}
                    }
                    if let Some(delivery) = self.progress() {
                        return Poll::Ready(delivery);
                    }
                    self.member.view.arm(self.member.ticket, cx.waker());
                    // What came before the waker was there did not wake it.
                    if self.member.view.version() == version {
                        self.parked = Some((version, cx.waker().clone()));
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("view", &self.member.view.key)
            .field("position", &self.position)
            .field("waits", &self.waits)
            .field("fate", &self.fate)
            .finish_non_exhaustive()
    }
}
