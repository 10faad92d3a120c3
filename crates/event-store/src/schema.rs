//! The format of the store.

use std::path::Path;

use core_events::Offset;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, config::DbConfig, params, types::FromSql, types::ToSql,
};

use crate::{
    options::Durability,
    row::{sql, unsql},
};

/// "dipe": tells a store from other SQLite files.
const APPLICATION_ID: i64 = 0x6469_7065;

/// Steps from one version of the format to the next; their number is the version that this build writes.
const MIGRATIONS: &[&str] = &[V1];

// `runs.id` is the offset of the run's first record: ascending, and never used again.
// `runs.ended_at` and `times.time` tell when the log took a record, not when it happened: an imported run is new here.
// `events.execution` is NULL for the root; `events.type` is a code, or the text of a type that this build does not know.
// `removed.n` is the order of removal. An event whose run has no row in `runs` is on its way out; `doomed` names such runs.
const V1: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE runs(
    id INTEGER PRIMARY KEY,
    root TEXT NOT NULL UNIQUE,
    last INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ended INTEGER,
    ended_at INTEGER,
    status TEXT NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL,
    summary BLOB NOT NULL
);
CREATE INDEX runs_open ON runs(id) WHERE ended IS NULL;
CREATE INDEX runs_ended ON runs(ended_at, id) WHERE ended IS NOT NULL AND pinned = 0;
CREATE TABLE executions(id TEXT PRIMARY KEY, run INTEGER NOT NULL, ended INTEGER) WITHOUT ROWID;
CREATE INDEX executions_run ON executions(run);
CREATE TABLE events(
    offset INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    step INTEGER NOT NULL,
    execution TEXT,
    type NOT NULL,
    node TEXT,
    time INTEGER NOT NULL,
    terminal TEXT,
    json BLOB NOT NULL
);
CREATE UNIQUE INDEX events_run_seq ON events(run, seq);
CREATE TABLE outputs(offset INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE times(offset INTEGER PRIMARY KEY, time INTEGER NOT NULL);
CREATE TABLE removed(
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
);
CREATE TABLE doomed(run INTEGER PRIMARY KEY);
CREATE TABLE producers(
    run INTEGER NOT NULL,
    producer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY(run, producer)
) WITHOUT ROWID;
";

/// Why the format of a file is none of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    /// A newer build wrote it.
    #[error("the store has format {found}, this build knows formats up to {known}; use a newer build")]
    Newer { found: i64, known: usize },
    /// Another program's.
    #[error("the file is a database of another program; choose another data directory")]
    Foreign,
    /// SQLite says so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens the store at `path` for writing and brings it to the present format. A file that is missing is created.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, SchemaError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let mut conn = Connection::open_with_flags(path, flags)?;
    prepare(&conn)?;
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let blank = version == 0 && application == 0 && tables == 0;
    if !blank && application != APPLICATION_ID {
        return Err(SchemaError::Foreign);
    }
    let from = usize::try_from(version).unwrap_or(usize::MAX);
    if from > MIGRATIONS.len() {
        return Err(SchemaError::Newer { found: version, known: MIGRATIONS.len() });
    }
    if blank {
        // Takes effect only before the first table is made.
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // A checkpoint has its time between bursts; the writer chooses it.
    conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    // Until the session is written: losing that to a power failure would make a broken store look closed well.
    conn.pragma_update(None, "synchronous", "FULL")?;
    if from < MIGRATIONS.len() {
        let tx = conn.transaction()?;
        for step in MIGRATIONS.iter().skip(from) {
            tx.execute_batch(step)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
        tx.commit()?;
    }
    Ok(conn)
}

/// From here on commits are as durable as was chosen.
pub(crate) fn settle(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let level = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    conn.pragma_update(None, "synchronous", level)
}

/// Opens the store at `path` for reading.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    // Not read-only: a reader of a WAL may have to repair its index.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let conn = Connection::open_with_flags(path, flags)?;
    prepare(&conn)?;
    conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    // A checkpoint on close would write into a store that is being moved aside, and hide that one did not end well.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "temp_store", "MEMORY")
}

pub(crate) fn meta<T: FromSql>(conn: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

pub(crate) fn put_meta(conn: &Connection, key: &str, value: impl ToSql) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])
        .map(drop)
}

/// The head: that of the rows, or what was put when rows at the end were removed.
pub(crate) fn head(conn: &Connection) -> rusqlite::Result<Offset> {
    let rows: Option<i64> = conn.query_row("SELECT max(offset) FROM events", [], |row| row.get(0))?;
    let kept: Option<i64> = meta(conn, "head")?;
    Ok(unsql(rows.max(kept).unwrap_or(0)))
}

/// Keeps `head` for the time when the rows up to it are gone. It must be done before they are, in their transaction.
pub(crate) fn put_head(conn: &Connection, head: Offset) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta(key, value) VALUES ('head', ?1) ON CONFLICT(key) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute([sql(head)])
    .map(drop)
}
