//! The runs that an earlier process left unfinished.

use core_events::{Envelope, ExecutionId};
use rusqlite::Connection;

use super::live::LiveRun;
use crate::row::{execution_id, unsql};

/// The runs of the store that go on, folded from their events.
pub(super) fn load(conn: &Connection) -> rusqlite::Result<Vec<(ExecutionId, LiveRun)>> {
    let mut open = conn.prepare("SELECT id, root, last, seq, bytes FROM runs WHERE ended IS NULL")?;
    let runs = open.query_map([], |row| {
        let root = execution_id(1, row.get_ref(1)?)?;
        let mut run = LiveRun::new(&root, unsql(row.get(0)?));
        run.last = unsql(row.get(2)?);
        run.seq = unsql(row.get(3)?);
        run.bytes = unsql(row.get(4)?);
        Ok((root, run))
    })?;
    let mut loaded = Vec::new();
    for run in runs {
        let (root, mut run) = run?;
        fold(conn, &mut run)?;
        loaded.push((root, run));
    }
    Ok(loaded)
}

fn fold(conn: &Connection, run: &mut LiveRun) -> rusqlite::Result<()> {
    let key = [crate::row::sql(run.id)];
    let mut events = conn.prepare_cached("SELECT json FROM events WHERE run = ?1 ORDER BY seq")?;
    let mut rows = events.query(key)?;
    while let Some(row) = rows.next()? {
        match Envelope::decode(row.get_ref(0)?.as_bytes().unwrap_or_default()) {
            Ok(envelope) => run.fold(&envelope, 0),
            Err(error) => tracing::error!(%error, "an event in the store can't be read; it is passed over"),
        }
    }
    let mut executions = conn.prepare_cached("SELECT id, ended FROM executions WHERE run = ?1")?;
    let mut rows = executions.query(key)?;
    while let Some(row) = rows.next()? {
        let ended: Option<i64> = row.get(1)?;
        let execution = run.execution(&execution_id(0, row.get_ref(0)?)?, 0);
        execution.first = 0;
        execution.ended = ended.map(unsql);
    }
    let mut producers = conn.prepare_cached("SELECT producer, epoch, seq FROM producers WHERE run = ?1")?;
    let mut rows = producers.query(key)?;
    while let Some(row) = rows.next()? {
        let producer: String = row.get(0)?;
        run.producers.insert(producer.into(), (unsql(row.get(1)?), unsql(row.get(2)?)));
    }
    run.settle();
    Ok(())
}
