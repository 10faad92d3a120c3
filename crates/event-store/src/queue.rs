//! What waits for the writer.

use std::{ops::RangeInclusive, sync::Arc};

use core_events::{ExecutionId, ExecutionStatus, Offset, Record, Timestamp};
use tokio::sync::oneshot;

/// Records on their way to the writer, ascending.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) records: Vec<Arc<Record>>,
    /// The run (its id in the store) of each of `records`.
    pub(crate) owners: Vec<u64>,
    /// Positions that were given up, between or behind `records`.
    pub(crate) holes: Vec<RangeInclusive<Offset>>,
    /// By [`Record::footprint`].
    pub(crate) bytes: usize,
}

/// What one transaction writes. It stays the same, however often that is tried.
#[derive(Debug)]
pub(crate) struct Batch {
    /// May be empty when only runs are to be written.
    pub(crate) content: Waiting,
    /// Its last position.
    pub(crate) last: Offset,
    /// When the writer took it.
    pub(crate) taken: Timestamp,
    /// The runs that it changes, as they are behind it.
    pub(crate) runs: Vec<RunRow>,
    /// Executions that began or ended in it.
    pub(crate) executions: Vec<ExecutionRow>,
    /// Where producers are behind it.
    pub(crate) producers: Vec<ProducerRow>,
}

#[derive(Debug)]
pub(crate) struct RunRow {
    pub(crate) id: u64,
    pub(crate) root: ExecutionId,
    pub(crate) last: Offset,
    pub(crate) seq: u64,
    pub(crate) ended: Option<Offset>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) status: ExecutionStatus,
    /// The status in front of the batch; `None` for a new run.
    pub(crate) was: Option<ExecutionStatus>,
    pub(crate) bytes: u64,
    /// A [`RunSummary`](core_events::ports::RunSummary) as JSON.
    pub(crate) summary: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct ExecutionRow {
    pub(crate) id: ExecutionId,
    pub(crate) run: u64,
    pub(crate) ended: Option<Offset>,
}

#[derive(Debug)]
pub(crate) struct ProducerRow {
    pub(crate) run: u64,
    pub(crate) producer: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

/// Somebody who waits until all up to a position is committed (`true`), or shown without that (`false`).
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) up_to: Offset,
    pub(crate) done: oneshot::Sender<bool>,
}

/// A part of a batch, in its order.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    Records(&'a [Arc<Record>]),
    /// Nothing up to here.
    Hole(Offset),
}

// === impl Waiting ===

impl Waiting {
    pub(crate) fn push(&mut self, record: Arc<Record>, run: u64) {
        self.bytes += record.footprint();
        self.records.push(record);
        self.owners.push(run);
    }

    pub(crate) fn give_up(&mut self, offset: Offset) {
        match self.holes.last_mut() {
            Some(hole) if *hole.end() + 1 == offset => *hole = *hole.start()..=offset,
            _ => self.holes.push(offset..=offset),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.holes.is_empty()
    }

    /// Puts `behind` behind what is here.
    pub(crate) fn append(&mut self, mut behind: Self) {
        self.records.append(&mut behind.records);
        self.owners.append(&mut behind.owners);
        self.holes.append(&mut behind.holes);
        self.bytes += behind.bytes;
    }

    /// Runs of records, and the holes between them.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut rest = self.records.as_slice();
        let mut holes = self.holes.iter().peekable();
        std::iter::from_fn(move || {
            let until = holes.peek().map_or(Offset::MAX, |hole| *hole.start());
            let (now, later) = rest.split_at(rest.partition_point(|record| record.offset < until));
            if !now.is_empty() {
                rest = later;
                return Some(Piece::Records(now));
            }
            holes.next().map(|hole| Piece::Hole(*hole.end()))
        })
    }
}
