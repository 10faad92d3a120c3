//! Figures of the store, kept in memory, so that asking for them costs nothing.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use core_events::{
    Record, Timestamp,
    ports::{Histogram, LogStats, StoreStats},
};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};

use crate::{queue::Batch, reads::Readers, remove::Doomed, row::unsql};

/// Upper bounds of [`StoreStats::commit_time`], in microseconds.
const BOUNDS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000,
];

/// What was counted since the log was opened, and what the store holds.
///
/// The writer keeps it up to date; anybody may look.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    held: Mutex<Held>,
    commits: Mutex<Commits>,
    appended: AtomicU64,
    pruned: AtomicU64,
    unstored: AtomicU64,
    lost: AtomicU64,
    free_pages: AtomicU64,
    page_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    runs: usize,
    by_status: BTreeMap<String, usize>,
    pinned: usize,
    records: u64,
    bytes: u64,
    oldest: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Commits {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    /// In microseconds.
    sum: u64,
}

/// Pages of the main file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages {
    pub(crate) used: u64,
    pub(crate) free: u64,
    /// Of one.
    pub(crate) bytes: u64,
}

// === impl Counters ===

impl Counters {
    /// Counts what is there.
    pub(crate) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let counters = Self::default();
        counters.recount(connection)?;
        Ok(counters)
    }

    /// Counts anew what is there.
    pub(crate) fn recount(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut held = Held::default();
        // What was given up counts as a record here; it is too rare to look through all events for it.
        let sql = "SELECT status, count(*), sum(pinned), sum(seq), sum(bytes) FROM runs GROUP BY status";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let count = |column| row.get(column).map(unsql);
            let runs = usize::try_from(count(1)?).unwrap_or(usize::MAX);
            held.runs += runs;
            held.pinned += usize::try_from(count(2)?).unwrap_or(usize::MAX);
            held.records += count(3)?;
            held.bytes += count(4)?;
            held.by_status.insert(row.get(0)?, runs);
        }
        held.oldest = oldest(connection)?;
        *self.held.lock() = held;
        self.pages(Pages::of(connection)?);
        Ok(())
    }

    /// `batch` was committed, which took `took`.
    pub(crate) fn committed(&self, batch: &Batch, took: Duration) {
        let records = &batch.content.records;
        self.appended.fetch_add(records.len() as u64, Ordering::Relaxed);
        self.commits.lock().add(took);
        let mut held = self.held.lock();
        held.records += records.len() as u64;
        held.bytes += records.iter().map(|record| content(record)).sum::<u64>();
        held.oldest = held.oldest.or_else(|| records.first().map(|record| record.time));
        for run in &batch.runs {
            match &run.was {
                None => held.runs += 1,
                Some(was) if *was == run.status => continue,
                Some(was) => held.leave(was.as_str()),
            }
            *held.by_status.entry(run.status.as_str().to_owned()).or_default() += 1;
        }
    }

    /// A run was removed.
    pub(crate) fn removed(&self, run: &Doomed) {
        self.pruned.fetch_add(run.records, Ordering::Relaxed);
        let mut held = self.held.lock();
        held.runs = held.runs.saturating_sub(1);
        held.pinned = held.pinned.saturating_sub(usize::from(run.pinned));
        held.records = held.records.saturating_sub(run.records);
        held.bytes = held.bytes.saturating_sub(run.bytes);
        held.leave(&run.status);
    }

    /// A run was pinned, or no longer is.
    pub(crate) fn pinned(&self, pinned: bool) {
        let mut held = self.held.lock();
        held.pinned = if pinned { held.pinned + 1 } else { held.pinned.saturating_sub(1) };
    }

    /// Records were taken out of the file.
    pub(crate) fn purged(&self, connection: &Connection) -> rusqlite::Result<()> {
        let oldest = oldest(connection)?;
        self.held.lock().oldest = oldest;
        Ok(())
    }

    /// The file has these by now.
    pub(crate) fn pages(&self, pages: Pages) {
        self.free_pages.store(pages.free, Ordering::Relaxed);
        self.page_bytes.store(pages.bytes, Ordering::Relaxed);
    }

    /// So many records were shown before they were stored.
    pub(crate) fn unstored(&self, records: u64) {
        self.unstored.fetch_add(records, Ordering::Relaxed);
    }

    /// So many records were given up.
    pub(crate) fn lost(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }

    /// Root runs held.
    pub(crate) fn runs(&self) -> usize {
        self.held.lock().runs
    }
}

// === impl Held ===

impl Held {
    /// One run less has `status`.
    fn leave(&mut self, status: &str) {
        if let Some(count) = self.by_status.get_mut(status) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_status.remove(status);
            }
        }
    }
}

// === impl Commits ===

impl Commits {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
    }

    fn histogram(&self) -> Histogram {
        let buckets = BOUNDS.into_iter().zip(self.buckets).collect();
        Histogram { buckets, count: self.count, sum: self.sum }
    }
}

// === impl Pages ===

impl Pages {
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let pragma = |name: &str| -> rusqlite::Result<u64> {
            let mut statement = connection.prepare_cached(&format!("PRAGMA {name}"))?;
            statement.query_row([], |row| row.get(0).map(unsql))
        };
        let (all, free) = (pragma("page_count")?, pragma("freelist_count")?);
        Ok(Self { used: all.saturating_sub(free), free, bytes: pragma("page_size")? })
    }
}

/// Everything that is known of the log whose main file is `file`.
pub(crate) fn gather(
    counters: &Counters,
    readers: &Readers,
    file: &Path,
    queue_bytes: usize,
    queue_limit: usize,
) -> LogStats {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let page_bytes = count(&counters.page_bytes);
    let (commits, commit_time) = {
        let commits = counters.commits.lock();
        (commits.count, commits.histogram())
    };
    let store = StoreStats {
        file_bytes: length(file),
        wal_bytes: length(&beside(file, "-wal")),
        free_bytes: count(&counters.free_pages) * page_bytes,
        queue_bytes,
        queue_limit,
        commits,
        commit_time,
        unstored: count(&counters.unstored),
        lost: count(&counters.lost),
        reads: readers.reads(),
        pages_read: readers.bytes_read().checked_div(page_bytes).unwrap_or(0),
        page_bytes,
    };
    let held = counters.held.lock();
    LogStats {
        runs: held.runs,
        runs_by_status: held.by_status.clone(),
        pinned: held.pinned,
        records: usize::try_from(held.records).unwrap_or(usize::MAX),
        bytes: usize::try_from(held.bytes).unwrap_or(usize::MAX),
        appended: count(&counters.appended),
        pruned: count(&counters.pruned),
        oldest: held.oldest,
        store: Some(store),
    }
}

/// Bytes of what a record says.
pub(crate) fn content(record: &Record) -> u64 {
    let bytes = record.json.len() + record.attachment.as_ref().map_or(0, Bytes::len);
    bytes as u64
}

/// When the oldest record of a run that is there happened.
fn oldest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT time FROM events ORDER BY offset LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row([], |row| row.get(0).map(Timestamp::from_micros)).optional()
}

/// The file that SQLite keeps beside `file`.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Bytes of a file; 0 if there is none. The file is not opened: closing it would drop SQLite's locks.
fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}
