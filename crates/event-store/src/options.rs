use std::{path::PathBuf, time::Duration};

/// How a [`SqliteLog`](crate::SqliteLog) keeps its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The data directory; it is created.
    pub dir: PathBuf,
    /// What an append outlives.
    pub durability: Durability,
    /// Bytes of records that may wait for the writer; beyond it appenders wait, or are told to come back.
    pub queue_bytes: usize,
    /// Bytes of records that may wait while the store fails; beyond it records are given up.
    pub backlog_bytes: usize,
    /// How long the oldest record may wait for its commit before the log counts as stalled.
    pub stall_after: Duration,
    /// What is removed by itself.
    pub retention: Retention,
    /// Connections for reading.
    pub readers: usize,
    /// Bytes of states of finished runs that are kept in memory, about.
    pub state_cache_bytes: usize,
}

/// What an append outlives once it returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, however it comes; not that of the machine.
    #[default]
    Process,
    /// A power failure, too: every commit waits for the disk.
    Power,
}

/// Which finished runs are removed by themselves: the oldest, as soon as one bound is passed. Running and pinned ones never are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Counted from a run's end.
    pub max_age: Option<Duration>,
    /// Bytes of the store.
    pub max_bytes: Option<u64>,
    /// Runs.
    pub max_runs: Option<usize>,
}

// === impl StoreOptions ===

impl StoreOptions {
    /// The defaults, in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::default(),
            queue_bytes: 16 * 1024 * 1024,
            backlog_bytes: 64 * 1024 * 1024,
            stall_after: Duration::from_secs(2),
            retention: Retention::default(),
            readers: 2,
            state_cache_bytes: 32 * 1024 * 1024,
        }
    }

    /// The main file of the store.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.join("log.sqlite")
    }
}
