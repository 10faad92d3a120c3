//! A stretch of a view: encoded events, and how many were filtered out between them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use core_events::{
    Epoch, Filter, Offset, Record,
    ports::{Budget, Encoder},
};

/// A longer segment is not extended any more.
const FULL_BYTES: usize = 64 * 1024;
const FULL_ENTRIES: usize = 256;

/// After so many filtered-out events a reader gets an id. A reader that waits is woken after as many, so that it has
/// never more than twice as many behind it without an id; I8 allows 100.
pub(crate) const UNREPORTED: usize = 50;

/// What a view makes of the log from `from` (exclusive) to `to` (inclusive).
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) from: Offset,
    pub(super) to: Offset,
    entries: Vec<Entry>,
    pieces: Vec<Piece>,
}

/// An event; or events that were filtered out, as one.
#[derive(Debug)]
struct Entry {
    /// Its position; that of the last one of those that were filtered out.
    offset: Offset,
    /// Where its bytes end in the segment.
    end: usize,
    /// How many were filtered out here; 0 for an event.
    skipped: usize,
}

#[derive(Debug)]
struct Piece {
    /// Where it ends in the segment.
    end: usize,
    bytes: Bytes,
}

/// Where a reader is, and what it takes there.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) budget: Budget,
    /// Everything up to here was taken or filtered out.
    pub(crate) position: Offset,
    /// How many were filtered out since the last position that the reader was told.
    pub(crate) unreported: usize,
    pub(crate) slices: Vec<Bytes>,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    /// The position of the last event taken.
    pub(crate) last: Offset,
    /// Whether the budget is used up.
    pub(crate) full: bool,
}

// === impl Segment ===

impl Segment {
    pub(super) fn new(from: Offset) -> Self {
        Self { from, to: from, entries: Vec::new(), pieces: Vec::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= FULL_ENTRIES || self.len() >= FULL_BYTES
    }

    fn len(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// Bytes that it keeps in memory.
    pub(super) fn footprint(&self) -> usize {
        const FIXED: usize = 128;
        FIXED + self.entries.len() * size_of::<Entry>() + self.pieces.len() * size_of::<Piece>() + self.len()
    }

    /// Goes on with `records`, which are everything in the view's scope from `self.to` to `to`. `buffer` is scratch space.
    pub(super) fn extend(
        &mut self,
        records: &[Arc<Record>],
        to: Offset,
        filter: &Filter,
        (encoder, epoch): (&dyn Encoder, &Epoch),
        buffer: &mut BytesMut,
    ) {
        let begin = self.len();
        let known = self.entries.len();
        for record in records {
            let end = begin + buffer.len();
            if filter.matches(record) {
                encoder.encode(record, &epoch.at(record.offset), buffer);
                let end = begin + buffer.len();
                self.entries.push(Entry { offset: record.offset, end, skipped: 0 });
                continue;
            }
            // Entries that are known already stay as they are: a reader may stand behind one.
            match self.entries.get_mut(known..).and_then(<[Entry]>::last_mut) {
                Some(last) if (1..UNREPORTED).contains(&last.skipped) => {
                    last.offset = record.offset;
                    last.skipped += 1;
                }
                _ => self.entries.push(Entry { offset: record.offset, end, skipped: 1 }),
            }
        }
        self.to = to;
        if !buffer.is_empty() {
            let bytes = buffer.split().freeze();
            self.pieces.push(Piece { end: begin + bytes.len(), bytes });
        }
        if self.is_full() {
            self.join();
        }
    }

    /// Makes one piece of all, so that whoever comes late gets one slice and no half-used allocation is kept.
    fn join(&mut self) {
        if self.pieces.len() > 1 {
            let mut whole = BytesMut::with_capacity(self.len());
            self.pieces.iter().for_each(|piece| whole.extend_from_slice(&piece.bytes));
            self.pieces = vec![Piece { end: whole.len(), bytes: whole.freeze() }];
        }
        self.pieces.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// Hands out what comes behind the reader's position, which must lie in this segment.
    pub(super) fn take(&self, taking: &mut Taking) {
        let next = self.entries.partition_point(|entry| entry.offset <= taking.position);
        let begin = next.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(0, |entry| entry.end);
        let mut end = begin;
        for entry in self.entries.iter().skip(next) {
            if entry.skipped > 0 {
                taking.unreported += entry.skipped;
                taking.position = entry.offset;
                continue;
            }
            let bytes = taking.bytes + (entry.end - end);
            if taking.events > 0 && (taking.events >= taking.budget.events || bytes > taking.budget.bytes) {
                taking.full = true;
                break;
            }
            end = entry.end;
            taking.events += 1;
            taking.bytes = bytes;
            taking.last = entry.offset;
            taking.position = entry.offset;
            taking.unreported = 0;
        }
        if !taking.full {
            taking.position = self.to;
        }
        self.slice(begin, end, &mut taking.slices);
    }

    fn slice(&self, begin: usize, end: usize, slices: &mut Vec<Bytes>) {
        let first = self.pieces.partition_point(|piece| piece.end <= begin);
        for piece in self.pieces.iter().skip(first) {
            let start = piece.end - piece.bytes.len();
            if start >= end {
                break;
            }
            let (from, to) = (begin.saturating_sub(start), end.min(piece.end) - start);
            slices.push(piece.bytes.slice(from..to));
        }
    }
}
