//! A batch as one transaction.

use core_events::ExecutionStatus;
use rusqlite::{Connection, ErrorCode, params};

use crate::{
    queue::{Batch, RunRow},
    row::{self, sql},
    schema,
};

/// One time is kept per so many records.
const TIMES: u64 = 1_000;

/// Writes `batch`, all or nothing.
pub(super) fn commit(conn: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    match attempt(conn, batch, row::INSERT) {
        // An attempt that failed at its very end may have left what SQLite finds again when the store is opened anew.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            attempt(conn, batch, row::REPLACE)
        }
        result => result,
    }
}

fn attempt(conn: &Connection, batch: &Batch, insert: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let result =
        write(conn, batch, insert).and_then(|()| conn.prepare_cached("COMMIT")?.execute([]).map(drop));
    if result.is_err() && !conn.is_autocommit() {
        // What it says is of no use: the first error tells more.
        drop(conn.execute_batch("ROLLBACK"));
    }
    result
}

fn write(conn: &Connection, batch: &Batch, insert: &str) -> rusqlite::Result<()> {
    let content = &batch.content;
    {
        let mut insert = conn.prepare_cached(insert)?;
        for (record, run) in content.records.iter().zip(&content.owners) {
            row::insert(&mut insert, *run, record)?;
            if let Some(attachment) = &record.attachment {
                conn.prepare_cached("INSERT OR REPLACE INTO outputs(offset, value) VALUES (?1, ?2)")?
                    .execute(params![sql(record.offset), &attachment[..]])?;
            }
            if record.offset % TIMES == 1 {
                conn.prepare_cached("INSERT OR REPLACE INTO times(offset, time) VALUES (?1, ?2)")?
                    .execute(params![sql(record.offset), batch.taken.as_micros()])?;
            }
        }
    }
    for run in &batch.runs {
        put_run(conn, run)?;
    }
    for execution in &batch.executions {
        conn.prepare_cached(
            "INSERT INTO executions(id, run, ended) VALUES (?1, ?2, ?3)
             ON CONFLICT(id) DO UPDATE SET run = excluded.run, ended = excluded.ended",
        )?
        .execute(params![execution.id.as_str(), sql(execution.run), execution.ended.map(sql)])?;
    }
    for producer in &batch.producers {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO producers(run, producer, epoch, seq) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            sql(producer.run),
            &*producer.producer,
            sql(producer.epoch),
            sql(producer.seq)
        ])?;
    }
    if content.records.last().is_none_or(|record| record.offset < batch.last) {
        schema::put_head(conn, batch.last)?;
    }
    Ok(())
}

fn put_run(conn: &Connection, run: &RunRow) -> rusqlite::Result<()> {
    let status = ExecutionStatus::as_str(&run.status);
    if run.was.is_some() && run.ended.is_none() {
        // Touches no index.
        let changed = conn
            .prepare_cached(
                "UPDATE runs SET last = ?2, seq = ?3, status = ?4, bytes = ?5, summary = ?6 WHERE id = ?1",
            )?
            .execute(params![
                sql(run.id),
                sql(run.last),
                sql(run.seq),
                status,
                sql(run.bytes),
                run.summary
            ])?;
        if changed > 0 {
            return Ok(());
        }
    }
    conn.prepare_cached(
        "INSERT INTO runs(id, root, last, seq, ended, ended_at, status, bytes, summary)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT(id) DO UPDATE SET last = excluded.last, seq = excluded.seq, ended = excluded.ended,
             ended_at = excluded.ended_at, status = excluded.status, bytes = excluded.bytes, summary = excluded.summary
         ON CONFLICT(root) DO NOTHING",
    )?
    .execute(params![
        sql(run.id),
        run.root.as_str(),
        sql(run.last),
        sql(run.seq),
        run.ended.map(sql),
        run.ended_at.map(core_events::Timestamp::as_micros),
        status,
        sql(run.bytes),
        run.summary
    ])
    .map(drop)
}
