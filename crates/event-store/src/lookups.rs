//! Finding and listing what the store has. All of it is committed.

use bytes::Bytes;
use core_events::{
    ExecutionId, Offset, Seq, inline_output,
    ports::{ExecutionInfo, ListQuery, LookupError, RunSummary},
};
use rusqlite::{Connection, OptionalExtension, Row, types::Type};

use crate::row::{self, sql, unsql};

/// What the store knows of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there.
    Kept(Kept),
    /// It was removed.
    Removed,
    /// Nobody ever saw it, or it was removed so long ago that this is forgotten.
    Unknown,
}

/// An execution that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The number of its run.
    pub(crate) run: i64,
    /// Where it is.
    pub(crate) info: ExecutionInfo,
    /// Where its run ended, if it did.
    pub(crate) over: Option<Offset>,
}

// === impl Found ===

impl Found {
    /// The place of `execution`, if it is there.
    pub(crate) fn kept(self, execution: &ExecutionId) -> Result<Kept, LookupError> {
        match self {
            Self::Kept(kept) => Ok(kept),
            Self::Removed => Err(LookupError::Deleted(execution.clone())),
            Self::Unknown => Err(LookupError::Unknown(execution.clone())),
        }
    }
}

/// Finds an execution.
pub(crate) fn find(connection: &Connection, execution: &ExecutionId) -> rusqlite::Result<Found> {
    let mut statement = connection.prepare_cached(
        "SELECT e.run, r.root, e.ended, r.ended FROM executions e JOIN runs r ON r.id = e.run WHERE e.id = ?1",
    )?;
    let found = statement.query_row([execution.as_str()], |row| {
        let (own, whole): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        let root = row::execution_id(1, row.get_ref(1)?)?;
        let info = ExecutionInfo { root, ended: own.or(whole).map(unsql) };
        Ok(Found::Kept(Kept { run: row.get(0)?, info, over: whole.map(unsql) }))
    });
    if let Some(found) = found.optional()? {
        return Ok(found);
    }
    let removed = removed(connection, execution)?;
    Ok(removed.map_or(Found::Unknown, |_| Found::Removed))
}

/// First and last position of the run that a removed execution belonged to.
pub(crate) fn removed(
    connection: &Connection,
    execution: &ExecutionId,
) -> rusqlite::Result<Option<(Offset, Offset)>> {
    let mut statement = connection.prepare_cached("SELECT first, last FROM removed WHERE id = ?1")?;
    let range = statement.query_row([execution.as_str()], |row| Ok((unsql(row.get(0)?), unsql(row.get(1)?))));
    range.optional()
}

/// Root runs, newest first: the numbers of runs ascend with their beginnings.
pub(crate) fn list(connection: &Connection, query: &ListQuery) -> rusqlite::Result<Vec<RunSummary>> {
    let snapshot = connection.unchecked_transaction()?;
    let before = match &query.before {
        None => i64::MAX,
        Some(id) => {
            // A run that was removed still says where to go on; behind an unknown one there is nothing.
            let mut run = snapshot.prepare_cached("SELECT id FROM runs WHERE root = ?1")?;
            match run.query_row([id.as_str()], |row| row.get(0)).optional()? {
                Some(run) => run,
                None => removed(&snapshot, id)?.map_or(0, |(first, _)| sql(first)),
            }
        }
    };
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let status = query.status.as_ref().map(core_events::ExecutionStatus::as_str);
    let sql = match query.unfinished {
        false => {
            "SELECT summary, pinned FROM runs WHERE id < ?1 AND (?2 IS NULL OR status = ?2)
             ORDER BY id DESC LIMIT ?3"
        }
        true => {
            "SELECT summary, pinned FROM runs WHERE id < ?1 AND (?2 IS NULL OR status = ?2) AND ended IS NULL
             ORDER BY id DESC LIMIT ?3"
        }
    };
    let mut statement = snapshot.prepare_cached(sql)?;
    let rows = statement.query_map((before, status, limit), summary)?;
    rows.collect()
}

/// The output of the event `seq` of the run that `execution` belongs to, if it lies up to `head`.
pub(crate) fn output(
    connection: &Connection,
    execution: &ExecutionId,
    seq: Seq,
    head: Offset,
) -> rusqlite::Result<Result<Option<Bytes>, LookupError>> {
    let snapshot = connection.unchecked_transaction()?;
    let run = match find(&snapshot, execution)?.kept(execution) {
        Ok(kept) => kept.run,
        Err(error) => return Ok(Err(error)),
    };
    let mut statement = snapshot.prepare_cached(
        "SELECT e.json, o.value FROM events e LEFT JOIN outputs o ON o.offset = e.offset
         WHERE e.run = ?1 AND e.seq = ?2 AND e.offset <= ?3",
    )?;
    let output =
        statement.query_row((run, sql(seq), sql(head)), |row| match row.get_ref(1)?.as_blob_or_null()? {
            Some(beside) => Ok(Some(Bytes::copy_from_slice(beside))),
            None => Ok(inline_output(row.get_ref(0)?.as_blob()?).map(Bytes::copy_from_slice)),
        });
    Ok(Ok(output.optional()?.flatten()))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    let json = row.get_ref(0)?.as_blob()?;
    let summary: RunSummary = serde_json::from_slice(json)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error)))?;
    Ok(RunSummary { pinned: row.get(1)?, ..summary })
}
