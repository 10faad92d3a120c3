//! Figures of a log.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Timestamp;

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LogStats {
    /// Root runs.
    pub runs: usize,
    /// Root runs by the status of each.
    pub runs_by_status: BTreeMap<String, usize>,
    /// Root runs that are excepted from retention.
    pub pinned: usize,
    /// Records held.
    pub records: usize,
    /// Bytes of the records held.
    pub bytes: usize,
    /// Records appended since it was opened.
    pub appended: u64,
    /// Records that it no longer holds, since it was opened.
    pub pruned: u64,
    /// When the oldest record happened.
    pub oldest: Option<Timestamp>,
    /// Figures of the files, if it has any.
    pub store: Option<StoreStats>,
}

/// Figures of a log on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StoreStats {
    /// Bytes of the main file.
    pub file_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes of the main file that are free for new records.
    pub free_bytes: u64,
    /// Bytes that wait to be stored.
    pub queue_bytes: usize,
    /// Bytes that may wait.
    pub queue_limit: usize,
    /// Commits since it was opened.
    pub commits: u64,
    /// How long commits took, from the first insert to the end.
    pub commit_time: Histogram,
    /// Records shown before they were stored, since it was opened (the exception of I6).
    pub unstored: u64,
    /// Records that were given up, since it was opened.
    pub lost: u64,
    /// Reads since it was opened.
    pub reads: u64,
    /// Pages that reads took from the file, since it was opened.
    pub pages_read: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
}

/// Counts by size. Durations are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Histogram {
    /// Upper bounds, inclusive, ascending, each with the count of what lies between it and the bound before; what is larger
    /// than the last one is in `count` alone.
    pub buckets: Vec<(u64, u64)>,
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}
