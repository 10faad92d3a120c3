//! A page that is being filled.

use std::sync::Arc;

use core_events::{
    Cursor, Epoch, Filter, Gap, GapReason, Offset, Record,
    ports::{EventPage, ReadBatch},
};

#[derive(Debug)]
pub(super) struct Page {
    /// Everything up to here is in it, was filtered out, or is missing.
    pub(super) position: Offset,
    /// Whether nothing more fits.
    pub(super) full: bool,
    max_events: usize,
    max_bytes: usize,
    bytes: usize,
    /// Behind the first, up to the second position.
    gap: Option<(Offset, Offset)>,
    events: Vec<Arc<Record>>,
}

/// What a batch brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All that it spans.
    Whole,
    /// Less: the log lacks some of it.
    Missing,
}

// === impl Page ===

impl Page {
    pub(super) fn new(after: Offset, max_events: usize, max_bytes: usize) -> Self {
        Self {
            position: after,
            full: max_events == 0,
            max_events,
            max_bytes,
            bytes: 0,
            gap: None,
            events: Vec::new(),
        }
    }

    /// How many more events may be put into it.
    pub(super) fn room(&self) -> usize {
        self.max_events - self.events.len()
    }

    pub(super) fn take(&mut self, batch: ReadBatch, up_to: Offset, filter: &Filter) -> Taken {
        let ReadBatch { pruned, records, scanned_to } = batch;
        let taken = if pruned.is_some() { Taken::Missing } else { Taken::Whole };
        if let Some(pruned) = pruned {
            let begins = self.gap.map_or(self.position, |(from, _)| from);
            let follows = self.gap.is_none_or(|(_, to)| to == self.position);
            if !self.events.is_empty() || !follows {
                // A page has its gap in front: this one belongs to the next.
                self.full = true;
                return taken;
            }
            self.position = (*pruned.offsets.end()).clamp(self.position, up_to);
            self.gap = Some((begins, self.position));
        }
        for record in records {
            if record.offset <= self.position {
                continue;
            }
            if filter.matches(&record) {
                let bytes = self.bytes + record.json.len();
                if self.room() == 0 || (!self.events.is_empty() && bytes > self.max_bytes) {
                    self.full = true;
                    return taken;
                }
                self.bytes = bytes;
                self.position = record.offset;
                self.events.push(record);
            } else {
                self.position = record.offset;
            }
        }
        self.position = self.position.max(scanned_to);
        self.full = self.room() == 0 || self.bytes >= self.max_bytes;
        taken
    }

    /// `up_to` is where the execution or the log ends at present, `ended` where the execution has its end.
    pub(super) fn finish(self, epoch: &Epoch, up_to: Offset, ended: Option<Offset>) -> EventPage {
        let place = |record: Arc<Record>| -> (Cursor, Arc<Record>) { (epoch.at(record.offset), record) };
        EventPage {
            gap: self.gap.map(|(from, to)| Gap {
                from: epoch.at(from),
                to: epoch.at(to),
                reason: GapReason::Evicted,
                reset: false,
            }),
            events: self.events.into_iter().map(place).collect(),
            next: epoch.at(self.position),
            at_head: self.position >= up_to,
            ended: ended.is_some_and(|end| self.position >= end),
        }
    }
}
