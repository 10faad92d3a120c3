//! The log that a configuration asks for.

use std::sync::Arc;

use core_events::ports::{Clock, EventLog};
use event_store::{Durability, OpenError, Retention, SqliteLog, StoreOptions};
use router::{MemoryLog, MemoryLogOptions};

use crate::{Config, LogDurability, LogStore, StartupError};

/// An open log.
#[derive(Debug)]
pub(crate) enum Store {
    /// It ends with the process.
    Memory(Arc<MemoryLog>),
    /// It is in the data directory, which is ours as long as it is open.
    Sqlite(Arc<SqliteLog>),
}

// === impl Store ===

impl Store {
    /// Opens the log. That in the data directory may take a while: it reads what unfinished runs left there.
    pub(crate) async fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, StartupError> {
        if config.log.store == LogStore::Memory {
            return Ok(Self::Memory(Arc::new(MemoryLog::new(MemoryLogOptions {
                records: config.log.max_events,
                bytes: config.log.max_bytes,
                records_per_run: config.log.max_events_per_run,
                finished_runs: config.log.max_finished_runs,
                state_bytes: config.log.max_state_bytes,
            }))));
        }
        let options = options(config)?;
        let (path, clock) = (options.dir.clone(), Arc::clone(clock));
        let opened = tokio::task::spawn_blocking(move || SqliteLog::open(options, clock)).await;
        match opened {
            Ok(Ok(log)) => Ok(Self::Sqlite(log)),
            Ok(Err(OpenError::Owned)) => Err(StartupError::Owned { path }),
            Ok(Err(OpenError::Directory(error))) => {
                Err(StartupError::DataDir { path, problem: error.to_string() })
            }
            Ok(Err(error)) => Err(StartupError::Store { path, problem: error.to_string() }),
            Err(error) => Err(StartupError::Store { path, problem: error.to_string() }),
        }
    }

    pub(crate) fn log(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Memory(log) => Arc::clone(log) as _,
            Self::Sqlite(log) => Arc::clone(log) as _,
        }
    }

    /// Stores what waits, and gives the data directory to whoever wants it next.
    pub(crate) async fn close(&self) {
        let Self::Sqlite(log) = self else { return };
        let log = Arc::clone(log);
        if let Err(error) = tokio::task::spawn_blocking(move || log.close()).await {
            tracing::error!(%error, "the log was not closed");
        }
    }
}

fn options(config: &Config) -> Result<StoreOptions, StartupError> {
    let Some(dir) = config.data_dir.clone() else {
        let problem = "none is configured".to_owned();
        return Err(StartupError::DataDir { path: "data_dir".into(), problem });
    };
    Ok(StoreOptions {
        durability: match config.log.durability {
            LogDurability::Process => Durability::Process,
            LogDurability::Power => Durability::Power,
        },
        queue_bytes: config.log.queue_bytes,
        backlog_bytes: config.log.backlog_bytes,
        stall_after: config.log.stall_after,
        retention: Retention {
            max_age: config.retention.max_age,
            max_bytes: config.retention.max_bytes,
            max_runs: config.retention.max_runs,
        },
        state_cache_bytes: config.log.max_state_bytes,
        ..StoreOptions::new(dir)
    })
}
