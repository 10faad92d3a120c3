//! Who is to be woken when a view has something new.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use core_events::Offset;
use slab::Slab;
use tokio::time::Instant;

use crate::flusher;

/// The readers of one view.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    slots: Slab<Slot>,
    generation: u64,
    /// Filtered-out events since the readers were woken.
    pub(super) unreported: usize,
    /// When all were woken last.
    flushed: Option<Instant>,
    /// Whether they will be.
    planned: bool,
}

/// When to wake the readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Now,
    At(Instant),
    /// That is planned already.
    Planned,
}

#[derive(Debug)]
struct Slot {
    generation: u64,
    waker: Option<Waker>,
    /// The reader's position; the last one there is while the reader has none.
    place: Arc<AtomicU64>,
}

/// A reader's place among them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    slot: usize,
    /// Slots are used again: a ticket that came too late must not touch somebody else's (I13).
    generation: u64,
}

// === impl Ticket ===

impl Ticket {
    /// No other reader of the view ever has this one.
    pub(super) fn id(self) -> u64 {
        self.generation
    }
}

// === impl Wakers ===

impl Wakers {
    pub(super) fn join(&mut self) -> (Ticket, Arc<AtomicU64>) {
        self.generation += 1;
        let generation = self.generation;
        let place = Arc::new(AtomicU64::new(Offset::MAX));
        let slot = Slot { generation, waker: None, place: Arc::clone(&place) };
        (Ticket { slot: self.slots.insert(slot), generation }, place)
    }

    /// Where the readers are.
    pub(super) fn positions(&self) -> impl Iterator<Item = Offset> {
        self.slots.iter().map(|(_, slot)| slot.place.load(Ordering::Relaxed))
    }

    /// Returns the waker, to be dropped when no lock is held: dropping one may drop a task and whatever it owns.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        self.slot(ticket)?;
        self.slots.remove(ticket.slot).waker
    }

    /// Has `waker` woken once. Returns the one that it replaces, to be dropped when no lock is held.
    pub(super) fn arm(&mut self, ticket: Ticket, waker: &Waker) -> Option<Waker> {
        let slot = self.slot(ticket)?;
        match &slot.waker {
            Some(armed) if armed.will_wake(waker) => None,
            _ => slot.waker.replace(waker.clone()),
        }
    }

    /// When the readers may be woken for what there is `now`; `now` is asked only if that matters, and may be unknown.
    pub(super) fn when(&mut self, now: impl FnOnce() -> Option<Instant>) -> When {
        let interval = flusher::interval(self.slots.len());
        if interval.is_zero() {
            return When::Now;
        }
        if self.planned {
            return When::Planned;
        }
        let Some(now) = now() else { return When::Now };
        match self.flushed.map(|flushed| flushed + interval) {
            Some(due) if now < due => {
                self.planned = true;
                When::At(due)
            }
            _ => {
                self.flushed = Some(now);
                When::Now
            }
        }
    }

    /// Whether all are to be woken later.
    pub(super) fn is_planned(&self) -> bool {
        self.planned
    }

    /// What was planned happens now, or never.
    pub(super) fn unplan(&mut self, flushed: Option<Instant>) {
        self.planned = false;
        self.flushed = flushed.or(self.flushed);
    }

    /// Moves the wakers to `wakers`; to be woken when no lock is held.
    pub(super) fn take(&mut self, wakers: &mut Vec<Waker>) {
        self.unreported = 0;
        wakers.extend(self.slots.iter_mut().filter_map(|(_, slot)| slot.waker.take()));
    }

    fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        self.slots.get_mut(ticket.slot).filter(|slot| slot.generation == ticket.generation)
    }
}
