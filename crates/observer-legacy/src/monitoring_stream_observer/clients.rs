//! Who listens to one run.

use std::sync::Arc;

use super::queue::Queue;

/// Queues by seat. Taking and giving back a seat costs the same, however many there are (I13).
#[derive(Debug, Default)]
pub(super) struct Clients {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    generation: u64,
    queue: Option<Arc<Queue>>,
}

/// A place among the clients. The generation tells a seat from a later one at the same place, so that whoever was already
/// removed can't remove another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    index: usize,
    generation: u64,
}

// === impl Clients ===

impl Clients {
    pub(super) fn insert(&mut self, queue: Arc<Queue>) -> Seat {
        let free = self.free.pop().and_then(|index| Some((index, self.slots.get_mut(index)?)));
        if let Some((index, slot)) = free {
            slot.queue = Some(queue);
            return Seat { index, generation: slot.generation };
        }
        self.slots.push(Slot { generation: 0, queue: Some(queue) });
        Seat { index: self.slots.len() - 1, generation: 0 }
    }

    /// Whether it was still there.
    pub(super) fn remove(&mut self, seat: Seat) -> bool {
        let Some(slot) = self.slots.get_mut(seat.index).filter(|slot| slot.generation == seat.generation)
        else {
            return false;
        };
        slot.generation += 1;
        self.free.push(seat.index);
        slot.queue.take().is_some()
    }

    /// Keeps those of whom `keep` says so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Queue) -> bool) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.queue.as_deref().is_some_and(|queue| !keep(queue)) {
                slot.queue = None;
                slot.generation += 1;
                self.free.push(index);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use core_events::Filter;

    use super::*;

    fn queue() -> Arc<Queue> {
        Arc::new(Queue::new(Filter::default()))
    }

    #[test]
    fn i13_an_old_seat_does_not_remove_who_sits_there_now() {
        let mut clients = Clients::default();
        let old = clients.insert(queue());
        clients.retain(|_| false);
        let new = clients.insert(queue());
        assert_eq!(old.index, new.index);
        assert!(!clients.remove(old));
        assert_eq!(clients.len(), 1);
        assert!(clients.remove(new));
        assert!(!clients.remove(new));
        assert_eq!(clients.len(), 0);
    }
}
