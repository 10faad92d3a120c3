//! Runs from elsewhere.
//!
//! What is pushed is checked and put aside, in a file without a name; only [`finish`](Importing::finish) touches the log. So
//! an import that is broken, or given up, was never there, and its id is free for the next attempt.

mod appending;
mod checks;
mod spool;

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use core_events::{
    ExecutionId,
    ports::{AppendError, Archive, ArchivedEvent, EventLog, ImportError, Importing, LookupError},
};
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{appending::Appending, checks::Checks, spool::Spool};

/// The most imports at once, each of which may fill some of the disk.
const MOST: usize = 8;

/// The [`Archive`] of a log.
///
/// # Ordering
///
/// Events keep their order, their times and all they say; they get new places in the log, and `seq` from 1. Readers see them come as
/// those of any other run.
///
/// # Closing
///
/// An import that has begun to write to the log comes to its end, also when nobody waits for it any more; [`close`](Self::close) waits
/// for that.
#[derive(Debug)]
pub struct LogArchive {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: Arc<dyn EventLog>,
    spool_dir: Option<PathBuf>,
    /// Runs that are being imported, so that no two imports write one.
    under_way: Mutex<HashSet<ExecutionId>>,
    /// One task per import that writes to the log.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// An import that was begun.
#[derive(Debug)]
struct Import {
    claim: Claim,
    checks: Checks,
    spool: Spool,
}

/// An id among those under way; given back when it is dropped.
#[derive(Debug)]
struct Claim {
    root: ExecutionId,
    shared: Arc<Shared>,
}

// === impl LogArchive ===

impl LogArchive {
    /// Imports into `log`. What waits to be imported is put into `spool_dir`, or where the system has such files.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, spool_dir: Option<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                log,
                spool_dir,
                under_way: Mutex::new(HashSet::new()),
                tasks: TaskTracker::new(),
                stopping: CancellationToken::new(),
            }),
        }
    }

    /// Has imports that write to the log give up, and waits until none does any more. What they wrote is removed again.
    pub async fn close(&self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

#[async_trait]
impl Archive for LogArchive {
    async fn import(&self, execution: &ExecutionId) -> Result<Box<dyn Importing>, ImportError> {
        let claim = Claim::take(&self.shared, execution)?;
        self.shared.is_free(execution).await?;
        let spool =
            Spool::create(self.shared.spool_dir.clone()).await.map_err(|error| unavailable(&error))?;
        Ok(Box::new(Import { claim, checks: Checks::new(execution.clone()), spool }))
    }
}

// === impl Shared ===

impl Shared {
    async fn is_free(&self, execution: &ExecutionId) -> Result<(), ImportError> {
        match self.log.find(execution).await {
            Err(LookupError::Unknown(_)) => Ok(()),
            Ok(_) | Err(LookupError::Deleted(_)) => Err(ImportError::Taken(execution.clone())),
            Err(error @ LookupError::Unavailable(_)) => Err(error.into()),
        }
    }
}

// === impl Import ===

#[async_trait]
impl Importing for Import {
    async fn push(&mut self, events: Vec<ArchivedEvent>) -> Result<(), ImportError> {
        for event in events {
            let (json, new) = self.checks.check(&event)?;
            if let Some(part) = new
                && let Err(error) = self.claim.shared.is_free(&part).await
            {
                return match error {
                    ImportError::Taken(part) => {
                        Err(self.checks.wrong(format!("execution_id: execution {part} is there already")))
                    }
                    error => Err(error),
                };
            }
            self.spool.write(&json, event.output.as_ref()).await.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64, ImportError> {
        let Self { claim, checks, spool } = *self;
        checks.finish()?;
        let shared = Arc::clone(&claim.shared);
        let task =
            shared.tasks.spawn(async move { Appending::new(&claim.shared, &claim.root).run(spool).await });
        task.await.unwrap_or_else(|_| {
            let error = "internal error: the import stopped; this is a fault of dipeo";
            Err(AppendError::Unavailable(error.to_owned()).into())
        })
    }

    async fn cancel(self: Box<Self>) {}
}

// === impl Claim ===

impl Claim {
    fn take(shared: &Arc<Shared>, root: &ExecutionId) -> Result<Self, ImportError> {
        let mut under_way = shared.under_way.lock();
        if under_way.contains(root) {
            return Err(ImportError::Taken(root.clone()));
        }
        if under_way.len() >= MOST {
            return Err(AppendError::Busy.into());
        }
        under_way.insert(root.clone());
        Ok(Self { root: root.clone(), shared: Arc::clone(shared) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.under_way.lock().remove(&self.root);
    }
}

/// The text of an error of the file system may have paths in it; its kind has none.
fn unavailable(error: &std::io::Error) -> ImportError {
    AppendError::Unavailable(format!("the import can't be put aside: {}", error.kind())).into()
}

#[cfg(test)]
mod tests;
