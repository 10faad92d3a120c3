//! The store as the writer has it: opened, opened again, replaced.

use std::{io, time::Duration};

use core_events::{Epoch, Offset, Timestamp};
use rusqlite::{Connection, ffi};

use crate::{
    faults,
    options::Durability,
    schema::{self, SchemaError},
    session::{Files, Session, Suspicion},
};

/// How long it waits for a lock of another process while it is being opened.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to open a store.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    pub(crate) files: Files,
    pub(crate) durability: Durability,
    /// The present life of the machine.
    pub(crate) boot: Option<String>,
    /// How long a commit waits for a lock of another process.
    pub(crate) patience: Duration,
}

/// A store with its session.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) conn: Connection,
    pub(crate) session: Session,
    pub(crate) epoch: Epoch,
    pub(crate) head: Offset,
}

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Files(#[from] io::Error),
}

// === impl Opener ===

impl Opener {
    /// Opens what is there, or makes it, and begins a session. A store that is damaged is moved aside, and a new one made.
    /// `load` reads from it what is needed.
    pub(crate) fn open<T>(
        &self,
        now: Timestamp,
        load: impl Fn(&Opened) -> rusqlite::Result<T>,
    ) -> Result<(Opened, T), StoreError> {
        let suspicion = self.files.suspicion();
        if suspicion != Suspicion::Gone {
            match self.attempt(suspicion, &load) {
                Err(StoreError::Schema(SchemaError::Sqlite(error))) if faults::is_damage(&error) => {
                    tracing::error!(problem = %faults::words(&error), "the store is damaged");
                }
                result => return result,
            }
        }
        tracing::error!("the store is moved aside; the log begins anew");
        self.files.move_aside(now)?;
        self.attempt(Suspicion::None, &load)
    }

    fn attempt<T>(
        &self,
        suspicion: Suspicion,
        load: impl Fn(&Opened) -> rusqlite::Result<T>,
    ) -> Result<(Opened, T), StoreError> {
        self.files.touch()?;
        let mut conn = schema::open_writer(&self.files.main)?;
        conn.busy_timeout(PATIENCE).map_err(SchemaError::from)?;
        let begin = || -> rusqlite::Result<(Opened, T)> {
            if suspicion == Suspicion::Shorter {
                check(&conn)?;
            }
            let (session, epoch, head) =
                Session::begin(&mut conn, &self.files, self.boot.as_deref(), self.durability)?;
            self.settle(&conn)?;
            let opened = Opened { conn, session, epoch, head };
            let loaded = load(&opened)?;
            Ok((opened, loaded))
        };
        Ok(begin().map_err(SchemaError::from)?)
    }

    /// Opens the store of `session` again.
    pub(crate) fn reopen(&self, session: &Session) -> Result<Connection, StoreError> {
        if session.suspicion(&self.files) == Suspicion::Gone {
            return Err(damage().into());
        }
        let conn = schema::open_writer(&self.files.main)?;
        if !session.is_of(&conn).map_err(SchemaError::from)? {
            return Err(damage().into());
        }
        self.settle(&conn).map_err(SchemaError::from)?;
        Ok(conn)
    }

    /// Moves aside what is there, and makes a new store that goes on behind `head`.
    pub(crate) fn replace(&self, now: Timestamp, head: Offset) -> Result<Opened, StoreError> {
        self.files.move_aside(now)?;
        let begin = |opened: &Opened| schema::put_head(&opened.conn, head);
        let (mut opened, ()) = self.attempt(Suspicion::None, begin)?;
        opened.head = head;
        Ok(opened)
    }

    /// Looks whether what is there is sound, on a connection that has nothing of it in memory.
    pub(crate) fn inspect(&self) -> rusqlite::Result<()> {
        check(&schema::open_reader(&self.files.main)?)
    }

    fn settle(&self, conn: &Connection) -> rusqlite::Result<()> {
        schema::settle(conn, self.durability)?;
        conn.busy_timeout(self.patience)
    }
}

fn check(conn: &Connection) -> rusqlite::Result<()> {
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(corrupt()) }
}

fn corrupt() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), None)
}

fn damage() -> SchemaError {
    SchemaError::Sqlite(corrupt())
}

// === impl StoreError ===

impl StoreError {
    /// Whether the store is damaged, or another one is in its place.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Schema(SchemaError::Sqlite(error)) => faults::is_damage(error),
            Self::Schema(_) => true,
            Self::Files(_) => false,
        }
    }

    pub(crate) fn kind(&self) -> core_events::ports::LogProblemKind {
        use core_events::ports::LogProblemKind;
        match self {
            Self::Schema(SchemaError::Sqlite(error)) => faults::classify(error),
            Self::Schema(_) => LogProblemKind::Corrupt,
            Self::Files(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogProblemKind::Full,
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    LogProblemKind::ReadOnly
                }
                _ => LogProblemKind::Io,
            },
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Schema(SchemaError::Sqlite(error)) => faults::words(error),
            Self::Schema(error) => error.to_string(),
            Self::Files(error) => error.to_string(),
        }
    }
}
