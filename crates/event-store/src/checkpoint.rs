//! Copying the write-ahead log into the main file, beside the writer.
//!
//! Most of that is waiting for the disk, and needs nothing of the writer: it goes on committing meanwhile. What it added since
//! then is little; once that is copied too, the write-ahead log begins anew.

use std::{path::PathBuf, thread::JoinHandle};

use rusqlite::Connection;

use crate::schema;

/// Each pass leaves only what was committed during it.
const PASSES: usize = 3;

/// Does one checkpoint at a time, in a thread of its own. Dropping it waits for that.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    file: PathBuf,
    running: Option<JoinHandle<rusqlite::Result<()>>>,
}

// === impl Checkpoints ===

impl Checkpoints {
    /// Of the store `file`.
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, running: None }
    }

    /// Begins one. Where the system gives no thread, `connection` does it.
    pub(crate) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let file = self.file.clone();
        let thread = std::thread::Builder::new().name("log-checkpoint".to_owned()).spawn(move || {
            let connection = schema::open_reader(&file)?;
            (0..PASSES).try_for_each(|_| pass(&connection))
        });
        match thread {
            Ok(thread) => {
                self.running = Some(thread);
                Ok(())
            }
            Err(_) => pass(connection),
        }
    }

    /// Whether one is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// What became of the one that was under way, if it is done; the rest is up to `connection`, that of the writer.
    pub(crate) fn finish(&mut self, connection: &Connection) -> Option<rusqlite::Result<()>> {
        let thread = self.running.take_if(|thread| thread.is_finished())?;
        Some(outcome(thread).and_then(|()| pass(connection)))
    }

    /// Waits for the one that is under way, whatever becomes of it.
    pub(crate) fn wait(&mut self) {
        if let Some(Err(error)) = self.running.take().map(outcome) {
            tracing::debug!(%error, "the checkpoint that was under way failed");
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.wait();
    }
}

fn outcome(thread: JoinHandle<rusqlite::Result<()>>) -> rusqlite::Result<()> {
    thread.join().unwrap_or_else(|_| {
        tracing::error!("a checkpoint panicked");
        Ok(())
    })
}

/// Copies as much as is committed by now and no reader needs where it is.
fn pass(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Store, log};

    fn lengths(store: &Store) -> (u64, u64) {
        let main = store.options().file();
        let wal = format!("{}-wal", main.display());
        let length = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
        (length(&main), length(wal.as_ref()))
    }

    #[test]
    fn the_write_ahead_log_begins_anew_though_the_writer_goes_on() {
        let mut store = Store::new();
        store.connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(())).unwrap();
        let some = |store: &mut Store| drop(store.append((0..2_000).map(|_| log("a", "some text"))));
        some(&mut store);
        let (small, _) = lengths(&store);
        let mut checkpoints = Checkpoints::new(store.options().file());
        checkpoints.begin(&store.connection).unwrap();
        // Beside it.
        some(&mut store);
        loop {
            match checkpoints.finish(&store.connection) {
                None => std::thread::yield_now(),
                Some(done) => break done.unwrap(),
            }
        }
        assert!(!checkpoints.is_running());
        let (large, wal) = lengths(&store);
        assert!(large > small + 500_000, "{small} {large}");
        some(&mut store);
        assert_eq!(lengths(&store), (large, wal), "it is written from its beginning again");
    }

    #[test]
    fn a_store_that_is_not_there_is_an_error() {
        let store = Store::new();
        let mut checkpoints = Checkpoints::new(store.options().dir.join("nothing"));
        checkpoints.begin(&store.connection).unwrap();
        let outcome = loop {
            match checkpoints.finish(&store.connection) {
                None => std::thread::yield_now(),
                Some(outcome) => break outcome,
            }
        };
        assert!(outcome.is_err());
    }
}
