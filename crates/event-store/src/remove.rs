//! Removing runs, and pinning them.
//!
//! A run is removed as a whole, in one commit: from then on it is deleted for everybody. Its events stay in the file until
//! [`purge`] has taken them out, bit by bit between other commits; no reader sees them any more, since their run is gone.

use core_events::{
    ExecutionId, Offset,
    ports::{LookupError, RemoveError},
};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::{lookups, row::unsql, schema, stats::Counters};

/// So many removed executions are told from unknown ones.
const REMEMBERED: i64 = 100_000;

/// Removes a finished root run. `head` is that of the log.
pub(crate) fn run(
    connection: &mut Connection,
    root: &ExecutionId,
    head: Offset,
    counters: &Counters,
) -> rusqlite::Result<Result<(), RemoveError>> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let kept = match lookups::find(&tx, root)?.kept(root) {
        Ok(kept) => kept,
        Err(error) => return Ok(Err(error.into())),
    };
    if kept.info.root != *root {
        let error = RemoveError::NotARoot { execution: root.clone(), root: kept.info.root };
        return Ok(Err(error));
    }
    if kept.over.is_none() {
        return Ok(Err(RemoveError::Running(root.clone())));
    }
    let doomed = doom(&tx, kept.run, head)?;
    tx.commit()?;
    counters.removed(&doomed);
    Ok(Ok(()))
}

/// Excepts the run that `id` belongs to from retention, or no longer.
pub(crate) fn pin(
    connection: &mut Connection,
    id: &ExecutionId,
    pinned: bool,
    counters: &Counters,
) -> rusqlite::Result<Result<(), LookupError>> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let run = match lookups::find(&tx, id)?.kept(id) {
        Ok(kept) => kept.run,
        Err(error) => return Ok(Err(error)),
    };
    let sql = "UPDATE runs SET pinned = ?2 WHERE id = ?1 AND pinned <> ?2";
    let changed = tx.prepare_cached(sql)?.execute(params![run, pinned])? > 0;
    tx.commit()?;
    if changed {
        counters.pinned(pinned);
    }
    Ok(Ok(()))
}

/// What was known of a run that is removed.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub(crate) status: String,
    pub(crate) pinned: bool,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Removes the run as part of `tx`; `head` is that of the log, which must not go back with it.
pub(crate) fn doom(tx: &Transaction<'_>, run: i64, head: Offset) -> rusqlite::Result<Doomed> {
    let mut statement = tx.prepare_cached("SELECT status, pinned, seq, bytes FROM runs WHERE id = ?1")?;
    let doomed = statement.query_row([run], |row| {
        Ok(Doomed {
            status: row.get(0)?,
            pinned: row.get(1)?,
            records: unsql(row.get(2)?),
            bytes: unsql(row.get(3)?),
        })
    })?;
    schema::put_head(tx, head)?;
    for sql in [
        "INSERT OR REPLACE INTO removed(id, first, last)
         SELECT e.id, r.id, r.last FROM executions e JOIN runs r ON r.id = e.run WHERE e.run = ?1",
        "DELETE FROM executions WHERE run = ?1",
        "DELETE FROM producers WHERE run = ?1",
        "DELETE FROM runs WHERE id = ?1",
        "INSERT INTO doomed(run) VALUES (?1)",
    ] {
        tx.prepare_cached(sql)?.execute([run])?;
    }
    tx.prepare_cached("DELETE FROM removed WHERE n <= (SELECT max(n) FROM removed) - ?1")?
        .execute([REMEMBERED])?;
    Ok(doomed)
}

/// Takes up to `limit` events of removed runs out of the file, a run's oldest first. Returns how many; `None` if there is nothing to do.
pub(crate) fn purge(connection: &mut Connection, limit: u32) -> rusqlite::Result<Option<usize>> {
    let first = "SELECT run FROM doomed ORDER BY run LIMIT 1";
    let Some(run) = connection.prepare_cached(first)?.query_row([], |row| row.get::<_, i64>(0)).optional()?
    else {
        return Ok(None);
    };
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.prepare_cached(
        "DELETE FROM outputs WHERE offset IN (SELECT offset FROM events WHERE run = ?1 ORDER BY seq LIMIT ?2)",
    )?
    .execute((run, limit))?;
    let purged = tx
        .prepare_cached(
            "DELETE FROM events WHERE offset IN (SELECT offset FROM events WHERE run = ?1 ORDER BY seq LIMIT ?2)",
        )?
        .execute((run, limit))?;
    if u32::try_from(purged).is_ok_and(|purged| purged < limit) {
        tx.prepare_cached("DELETE FROM doomed WHERE run = ?1")?.execute([run])?;
        // Times of what lies in front of everything that is left are of no use.
        tx.prepare_cached("DELETE FROM times WHERE offset < (SELECT min(offset) FROM events)")?.execute([])?;
    }
    tx.commit()?;
    Ok(Some(purged))
}
