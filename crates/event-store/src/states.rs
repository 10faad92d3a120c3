//! States of executions whose run has ended: folded from their events when somebody asks, and kept for a while.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};

use core_events::{Envelope, ExecutionId, ExecutionState, Offset, Seq};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::OnceCell;

use crate::{
    pool::Unreadable,
    row::{sql, unsql},
};

/// So many events are folded at once, so that a long run does not keep a reader from everybody else.
const CHUNK: u32 = 2_000;
/// What a state has in memory for each byte of its JSON, about.
const OVERHEAD: usize = 2;

/// A cell that is filled by the first who asks; the others wait.
pub(crate) type Cell = Arc<OnceCell<Arc<ExecutionState>>>;

/// The number of the run, which no other run ever has, and the execution in it.
pub(crate) type Key = (i64, ExecutionId);

/// Keeps the states that were asked for last.
#[derive(Debug)]
pub(crate) struct States {
    /// Bytes of all states together, about.
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    states: HashMap<Key, Entry>,
    /// By the time of their last use.
    order: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    cell: Cell,
    /// 0 until it is filled.
    bytes: usize,
    used: u64,
}

/// A fold that is under way.
#[derive(Debug)]
pub(crate) struct Folding {
    pub(crate) state: ExecutionState,
    /// The last event that was read.
    seq: Seq,
}

/// What became of a [`Folding`].
#[derive(Debug)]
pub(crate) enum Folded {
    /// There is more.
    Part(Folding),
    /// That was all.
    Whole(ExecutionState),
    /// The run was removed meanwhile.
    Removed,
}

// === impl States ===

impl States {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::new(Kept::default()) }
    }

    /// The cell of `key`, filled or not.
    pub(crate) fn cell(&self, key: &Key) -> Cell {
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        kept.uses += 1;
        let entry = kept.states.entry(key.clone()).or_insert_with(|| Entry {
            cell: Cell::default(),
            bytes: 0,
            used: 0,
        });
        kept.order.remove(&entry.used);
        entry.used = kept.uses;
        kept.order.insert(kept.uses, key.clone());
        Arc::clone(&entry.cell)
    }

    /// `cell`, which is that of `key`, was filled, or could not be; makes room.
    pub(crate) fn settle(&self, key: &Key, cell: &Cell) {
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        let Some(entry) = kept.states.get_mut(key).filter(|entry| Arc::ptr_eq(&entry.cell, cell)) else {
            return;
        };
        match cell.get() {
            Some(state) if entry.bytes == 0 => {
                entry.bytes = footprint(state);
                kept.bytes += entry.bytes;
            }
            Some(_) => {}
            None => kept.remove(key),
        }
        while kept.bytes > self.limit {
            let Some((_, oldest)) = kept.order.pop_first() else { break };
            kept.remove(&oldest);
        }
    }

    /// Forgets everything of `root` and of what belongs to its run.
    pub(crate) fn forget(&self, root: &ExecutionId) {
        let mut kept = self.kept.lock();
        let of_root = |(run, id): &&Key| id == root || kept.states.contains_key(&(*run, root.clone()));
        let gone: Vec<Key> = kept.states.keys().filter(of_root).cloned().collect();
        gone.iter().for_each(|key| kept.remove(key));
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.kept.lock() = Kept::default();
    }
}

// === impl Kept ===

impl Kept {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.states.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

// === impl Folding ===

impl Folding {
    pub(crate) fn new(execution: ExecutionId) -> Self {
        Self { state: ExecutionState::new(execution), seq: 0 }
    }

    /// Folds the next events in, up to `head`. The execution is a sub-run, or the `root` of its run.
    pub(crate) fn step(
        mut self,
        connection: &Connection,
        run: i64,
        root: &ExecutionId,
        head: Offset,
    ) -> Result<Folded, Unreadable> {
        let snapshot = connection.unchecked_transaction()?;
        let mut there = snapshot.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?;
        if there.query_row([run], |_| Ok(())).optional()?.is_none() {
            return Ok(Folded::Removed);
        }
        let sub_run = Some(self.state.execution_id.clone()).filter(|execution| execution != root);
        let mut statement = snapshot.prepare_cached(
            "SELECT seq, offset, json FROM events
             WHERE run = ?1 AND seq > ?2 AND offset <= ?3 AND execution IS ?4 ORDER BY seq LIMIT ?5",
        )?;
        let sub_run = sub_run.as_ref().map(ExecutionId::as_str);
        let mut rows = statement.query((run, sql(self.seq), sql(head), sub_run, CHUNK))?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            self.seq = unsql(row.get(0)?);
            let json = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            match Envelope::decode(json) {
                Ok(envelope) => self.state.apply(&envelope),
                Err(error) => {
                    let offset = unsql(row.get(1)?);
                    return Err(Unreadable::Event { offset, problem: error.to_string() });
                }
            };
        }
        Ok(if count < CHUNK { Folded::Whole(self.state) } else { Folded::Part(self) })
    }
}

/// Bytes that a state keeps in memory, about.
fn footprint(state: &ExecutionState) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(std::mem::size_of::<ExecutionState>());
    // It has text keys alone: there is nothing to fail.
    serde_json::to_writer(&mut count, state).ok();
    count.0 * OVERHEAD
}
