//! Reading a range of the log.
//!
//! Positions have no hole when they are given, so that a hole in what is found is what is gone: over all runs in the
//! offsets, within a run in `seq`. A run is removed as a whole, so that within a run there is a hole only where records were
//! given up because the store could not be written.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use core_events::{
    ExecutionId, Offset, Seq,
    ports::{Pruned, ReadBatch, ReadRange, Scope},
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{
    lookups,
    row::{self, sql, unsql},
};

/// So many rows of removed runs are passed over at once; what is behind them is for the next read.
const SKIPPED: usize = 4_096;

static OF_ALL: LazyLock<String> = LazyLock::new(|| {
    let columns = row::COLUMNS;
    format!("SELECT {columns}, run FROM events WHERE offset > ?1 AND offset <= ?2 ORDER BY offset")
});
static OF_RUN: LazyLock<String> = LazyLock::new(|| {
    let columns = row::COLUMNS;
    format!("SELECT {columns}, run FROM events WHERE run = ?1 AND seq >= ?2 ORDER BY seq")
});

/// Reads `range`, whose `up_to` is not behind what is committed.
///
/// `scanned_to` lies behind `after`, unless `up_to` does not. A range that is gone ends with the last position that may
/// belong to the scope; where `after` or `up_to` cuts it, what is left of it may hold none. Outputs beside their events are
/// not read: a batch could be gigabytes.
pub(crate) fn read(connection: &Connection, range: &ReadRange) -> rusqlite::Result<ReadBatch> {
    let batch = ReadBatch { pruned: None, records: Vec::new(), scanned_to: range.after };
    let mut reading = Reading { range, batch, bytes: 0 };
    if range.after < range.up_to {
        // Everything is read from one state of the store.
        let snapshot = connection.unchecked_transaction()?;
        match &range.scope {
            Scope::Run(root) => reading.run(&snapshot, root)?,
            Scope::All => reading.all(&snapshot)?,
        }
    }
    Ok(reading.batch)
}

/// A batch that grows.
struct Reading<'a> {
    range: &'a ReadRange,
    batch: ReadBatch,
    bytes: usize,
}

/// Whether the batch can take what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Left,
    None,
}

struct Run {
    /// Its number, which is the position of its first record.
    id: i64,
    last: Offset,
    seq: Seq,
}

/// The roots of runs, each looked up once.
struct Roots<'a> {
    connection: &'a Connection,
    known: HashMap<i64, Option<ExecutionId>>,
}

// === impl Reading ===

impl Reading<'_> {
    fn all(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut roots = Roots { connection, known: HashMap::new() };
        let mut statement = connection.prepare_cached(&OF_ALL)?;
        let mut rows = statement.query([sql(self.range.after), sql(self.range.up_to)])?;
        let mut skipped = 0;
        while let Some(row) = rows.next()? {
            let offset = offset(row)?;
            let Some(root) = roots.of(row.get("run")?)? else {
                // Its run was removed; that the row is still there is nobody's business.
                if !self.batch.records.is_empty() {
                    return Ok(());
                }
                skipped += 1;
                if skipped == SKIPPED {
                    self.hole(1, offset);
                    return Ok(());
                }
                continue;
            };
            if self.hole(1, offset - 1) == Room::None || self.push(row, &root)? == Room::None {
                return Ok(());
            }
        }
        self.hole(1, self.range.up_to);
        Ok(())
    }

    fn run(&mut self, connection: &Connection, root: &ExecutionId) -> rusqlite::Result<()> {
        let up_to = self.range.up_to;
        let Some(run) = run(connection, root)? else {
            if let Some((first, last)) = lookups::removed(connection, root)? {
                self.hole(first, last.min(up_to));
            }
            self.batch.scanned_to = up_to;
            return Ok(());
        };
        let first = unsql(run.id);
        let mut expected = next(connection, &run, self.range.after)?;
        let mut statement = connection.prepare_cached(&OF_RUN)?;
        let mut rows = statement.query([run.id, sql(expected)])?;
        while let Some(row) = rows.next()? {
            let (offset, seq) = (offset(row)?, unsql(row.get("seq")?));
            if seq > expected && self.hole(first, (offset - 1).min(up_to)) == Room::None {
                return Ok(());
            }
            if offset > up_to {
                self.batch.scanned_to = up_to;
                return Ok(());
            }
            if self.push(row, root)? == Room::None {
                return Ok(());
            }
            expected = seq + 1;
        }
        if expected <= run.seq && self.hole(first, run.last.min(up_to)) == Room::None {
            return Ok(());
        }
        self.batch.scanned_to = up_to;
        Ok(())
    }

    /// From behind what was scanned, or from `first`, to `to` everything is gone; nothing, if that is no range. A hole
    /// behind records is for the next batch.
    fn hole(&mut self, first: Offset, to: Offset) -> Room {
        let from = first.max(self.batch.scanned_to + 1);
        if from > to {
            return Room::Left;
        }
        if !self.batch.records.is_empty() {
            return Room::None;
        }
        let from = self.batch.pruned.as_ref().map_or(from, |pruned| *pruned.offsets.start());
        self.batch.pruned = Some(Pruned { offsets: from..=to });
        self.batch.scanned_to = to;
        Room::Left
    }

    fn push(&mut self, row: &Row<'_>, root: &ExecutionId) -> rusqlite::Result<Room> {
        let full = self.batch.records.len() >= self.range.max_records || self.bytes >= self.range.max_bytes;
        if full && !self.batch.records.is_empty() {
            return Ok(Room::None);
        }
        let record = row::record(row, root, None)?;
        self.bytes += record.json.len();
        self.batch.scanned_to = record.offset;
        self.batch.records.push(Arc::new(record));
        Ok(Room::Left)
    }
}

// === impl Roots ===

impl Roots<'_> {
    /// The root of a run; `None` if the run was removed.
    fn of(&mut self, run: i64) -> rusqlite::Result<Option<ExecutionId>> {
        if let Some(known) = self.known.get(&run) {
            return Ok(known.clone());
        }
        let mut statement = self.connection.prepare_cached("SELECT root FROM runs WHERE id = ?1")?;
        let root = statement.query_row([run], |row| row::execution_id(0, row.get_ref(0)?)).optional()?;
        self.known.insert(run, root.clone());
        Ok(root)
    }
}

/// The position in a row of [`row::COLUMNS`].
fn offset(row: &Row<'_>) -> rusqlite::Result<Offset> {
    row.get("offset").map(|offset: i64| unsql(offset).max(1))
}

fn run(connection: &Connection, root: &ExecutionId) -> rusqlite::Result<Option<Run>> {
    let mut statement = connection.prepare_cached("SELECT id, last, seq FROM runs WHERE root = ?1")?;
    let run = statement.query_row([root.as_str()], |row| {
        Ok(Run { id: row.get(0)?, last: unsql(row.get(1)?), seq: unsql(row.get(2)?) })
    });
    run.optional()
}

/// The `seq` that comes next behind the position `after`.
fn next(connection: &Connection, run: &Run, after: Offset) -> rusqlite::Result<Seq> {
    if after < unsql(run.id) {
        return Ok(1);
    }
    let mut at = connection.prepare_cached("SELECT seq FROM events WHERE offset = ?1 AND run = ?2")?;
    if let Some(seq) = at.query_row([sql(after), run.id], |row| row.get(0)).optional()? {
        return Ok(unsql(seq) + 1);
    }
    // There is no index by position within a run; but both ascend together.
    let mut probe = connection
        .prepare_cached("SELECT seq, offset FROM events WHERE run = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1")?;
    let (mut low, mut high) = (1, run.seq + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = probe
            .query_row([run.id, sql(middle)], |row| Ok((unsql(row.get(0)?), unsql(row.get(1)?))))
            .optional()?;
        match found {
            Some((seq, offset)) if offset <= after => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests;
