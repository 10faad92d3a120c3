//! A record as a row, and back.

use bytes::Bytes;
use core_events::{EventType, ExecutionId, ExecutionStatus, NodeId, Record, Timestamp};
use rusqlite::{
    Row, Statement, params,
    types::{ToSqlOutput, Type, ValueRef},
};

/// What [`record`] reads, in its order.
pub(crate) const COLUMNS: &str = "offset, seq, step, execution, type, node, time, terminal, json";

macro_rules! insert {
    ($verb:literal) => {
        concat!(
            $verb,
            " INTO events(offset, run, seq, step, execution, type, node, time, terminal, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        )
    };
}

/// What [`insert`] takes.
pub(crate) const INSERT: &str = insert!("INSERT");

/// The same, over a row that may be there.
pub(crate) const REPLACE: &str = insert!("INSERT OR REPLACE");

/// A position or a count as SQLite has it.
pub(crate) fn sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A position or a count as SQLite has it, back.
pub(crate) fn unsql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Inserts `record` of the run `run`; `statement` is that of [`INSERT`] or [`REPLACE`].
pub(crate) fn insert(statement: &mut Statement<'_>, run: u64, record: &Record) -> rusqlite::Result<()> {
    statement
        .execute(params![
            sql(record.offset),
            sql(run),
            sql(record.seq),
            sql(record.step),
            (record.execution != record.root).then(|| record.execution.as_str()),
            type_to_sql(&record.event_type),
            record.node.as_ref().map(NodeId::as_str),
            record.time.as_micros(),
            record.terminal.as_ref().map(ExecutionStatus::as_str),
            &record.json[..],
        ])
        .map(drop)
}

/// The record of a row of [`COLUMNS`], which belongs to the run of `root`.
pub(crate) fn record(
    row: &Row<'_>,
    root: &ExecutionId,
    attachment: Option<Bytes>,
) -> rusqlite::Result<Record> {
    let execution = match row.get_ref(3)? {
        ValueRef::Null => root.clone(),
        value => execution_id(3, value)?,
    };
    let text = |index: usize| -> rusqlite::Result<Option<&str>> {
        row.get_ref(index)?.as_str_or_null().map_err(|error| conversion(index, error))
    };
    Ok(Record {
        offset: unsql(row.get(0)?),
        seq: unsql(row.get(1)?),
        step: unsql(row.get(2)?),
        root: root.clone(),
        execution,
        event_type: type_from_sql(4, row.get_ref(4)?)?,
        node: text(5)?.map(NodeId::from),
        time: Timestamp::from_micros(row.get(6)?),
        terminal: text(7)?.map(ExecutionStatus::from),
        json: Bytes::copy_from_slice(row.get_ref(8)?.as_bytes().map_err(|error| conversion(8, error))?),
        attachment,
    })
}

/// The id in column `index`.
pub(crate) fn execution_id(index: usize, value: ValueRef<'_>) -> rusqlite::Result<ExecutionId> {
    let text = value.as_str().map_err(|error| conversion(index, error))?;
    ExecutionId::parse(text).map_err(|error| conversion(index, error))
}

fn type_to_sql(event_type: &EventType) -> ToSqlOutput<'_> {
    let code = match event_type {
        EventType::ExecutionStatusChanged => 1_i64,
        EventType::NodeStatusChanged => 2,
        EventType::ExecutionError => 3,
        EventType::ExecutionLog => 4,
        EventType::InteractivePrompt => 5,
        EventType::InteractiveResponse => 6,
        EventType::NodeProgress => 7,
        EventType::Other(name) => return ToSqlOutput::Borrowed(ValueRef::Text(name.as_bytes())),
    };
    ToSqlOutput::from(code)
}

fn type_from_sql(index: usize, value: ValueRef<'_>) -> rusqlite::Result<EventType> {
    match value {
        ValueRef::Integer(1) => Ok(EventType::ExecutionStatusChanged),
        ValueRef::Integer(2) => Ok(EventType::NodeStatusChanged),
        ValueRef::Integer(3) => Ok(EventType::ExecutionError),
        ValueRef::Integer(4) => Ok(EventType::ExecutionLog),
        ValueRef::Integer(5) => Ok(EventType::InteractivePrompt),
        ValueRef::Integer(6) => Ok(EventType::InteractiveResponse),
        ValueRef::Integer(7) => Ok(EventType::NodeProgress),
        value => Ok(EventType::from(value.as_str().map_err(|error| conversion(index, error))?)),
    }
}

fn conversion(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Null, Box::new(error))
}
