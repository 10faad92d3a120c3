//! A store that tests write by themselves, without a log above it: what reading and removing rest on is the format alone.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use core_events::{
    CallbackContext, Event, ExecutionId, ExecutionLog, ExecutionState, ExecutionStatus,
    ExecutionStatusChanged, Fact, LogLevel, NodeId, NodeStatus, NodeStatusChanged, Offset, Record, Seq,
    Timestamp, event::Extra, ports::RunSummary,
};
use rusqlite::{Connection, params};

use crate::{
    Durability, StoreOptions,
    reads::Readers,
    row::{self, sql},
    schema,
    stats::content,
};

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

/// `a` is a root run, `a.b` a sub-run of it.
pub(crate) fn context(execution: &str) -> CallbackContext {
    let root = execution.split('.').next().unwrap();
    CallbackContext {
        execution: id(execution),
        parent: (root != execution).then(|| id(root)),
        root: id(root),
        step: 0,
        time: Timestamp::from_micros(1_000_000),
    }
}

pub(crate) fn status(execution: &str, status: ExecutionStatus) -> Fact {
    let event = ExecutionStatusChanged::to(status, Timestamp::from_micros(0));
    Fact::new(context(execution), Event::ExecutionStatusChanged(event))
}

pub(crate) fn begin(execution: &str) -> Fact {
    status(execution, ExecutionStatus::Running)
}

pub(crate) fn end(execution: &str) -> Fact {
    status(execution, ExecutionStatus::Completed)
}

pub(crate) fn output(execution: &str, output: Option<serde_json::Value>, beside: Option<&[u8]>) -> Fact {
    let mut event =
        NodeStatusChanged::to(NodeId::from("n"), NodeStatus::Completed, Timestamp::from_micros(0));
    event.output = output;
    let mut fact = Fact::new(context(execution), Event::NodeStatusChanged(event));
    fact.attachment = beside.map(Bytes::copy_from_slice);
    fact
}

pub(crate) fn log(execution: &str, message: &str) -> Fact {
    let event = ExecutionLog {
        level: LogLevel::Info,
        message: message.to_owned(),
        timestamp: None,
        logger: None,
        node_id: None,
        truncated: None,
        extra: Extra::new(),
    };
    Fact::new(context(execution), Event::ExecutionLog(event))
}

/// What a run's row says.
#[derive(Debug, Default)]
struct Run {
    first: Offset,
    last: Offset,
    seq: Seq,
    bytes: u64,
    ended: Option<Offset>,
    states: BTreeMap<ExecutionId, ExecutionState>,
}

#[derive(Debug)]
pub(crate) struct Store {
    dir: tempfile::TempDir,
    pub(crate) connection: Connection,
    pub(crate) head: Offset,
    /// The clock at which records are taken.
    pub(crate) now: Timestamp,
    runs: BTreeMap<ExecutionId, Run>,
}

// === impl Store ===

impl Store {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let connection = schema::open_writer(&StoreOptions::new(dir.path()).file()).unwrap();
        schema::settle(&connection, Durability::Process).unwrap();
        let now = Timestamp::from_micros(0);
        Self { dir, connection, head: 0, now, runs: BTreeMap::new() }
    }

    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions::new(self.dir.path())
    }

    pub(crate) fn readers(&self) -> Arc<Readers> {
        let options = self.options();
        Readers::open(options.file(), &options, Arc::new(|| panic!("the store is whole")))
    }

    /// Commits `facts`, which may be of several runs.
    pub(crate) fn append(&mut self, facts: impl IntoIterator<Item = Fact>) -> Vec<Arc<Record>> {
        let tx = self.connection.transaction().unwrap();
        let mut records = Vec::new();
        for fact in facts {
            let (root, execution) = (fact.context.root.clone(), fact.context.execution.clone());
            self.head += 1;
            let run = self.runs.entry(root.clone()).or_default();
            run.first = if run.first == 0 { self.head } else { run.first };
            run.seq += 1;
            let (envelope, record) = fact.seal(run.seq, self.head).unwrap();
            run.last = record.offset;
            run.bytes += content(&record);
            let state =
                run.states.entry(execution.clone()).or_insert_with(|| ExecutionState::new(execution.clone()));
            state.apply(&envelope);
            let ended = record.terminal.is_some().then_some(record.offset);
            if execution == root && ended.is_some() {
                run.ended = ended;
            }
            row::insert(&mut tx.prepare_cached(row::INSERT).unwrap(), run.first, &record).unwrap();
            if let Some(value) = &record.attachment {
                let values = params![sql(record.offset), &value[..]];
                tx.execute("INSERT INTO outputs(offset, value) VALUES (?1, ?2)", values).unwrap();
            }
            tx.execute(
                "INSERT INTO executions(id, run, ended) VALUES (?1, ?2, ?3)
                 ON CONFLICT(id) DO UPDATE SET ended = excluded.ended",
                params![execution.as_str(), sql(run.first), ended.map(sql)],
            )
            .unwrap();
            let root_state =
                run.states.get(&root).cloned().unwrap_or_else(|| ExecutionState::new(root.clone()));
            let summary = RunSummary {
                execution_id: root.clone(),
                status: root_state.status.clone(),
                diagram_id: None,
                diagram_name: None,
                started_at: None,
                ended_at: None,
                error: None,
                nodes: BTreeMap::new(),
                failed_nodes: 0,
                events: run.seq,
                source: None,
                pinned: false,
            };
            tx.execute(
                "INSERT INTO runs(id, root, last, seq, ended, ended_at, status, bytes, summary)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT(id) DO UPDATE SET last = excluded.last, seq = excluded.seq, ended = excluded.ended,
                     ended_at = excluded.ended_at, status = excluded.status, bytes = excluded.bytes,
                     summary = excluded.summary",
                params![
                    sql(run.first),
                    root.as_str(),
                    sql(run.last),
                    sql(run.seq),
                    run.ended.map(sql),
                    run.ended.map(|_| self.now.as_micros()),
                    root_state.status.as_str(),
                    sql(run.bytes),
                    serde_json::to_vec(&summary).unwrap(),
                ],
            )
            .unwrap();
            records.push(Arc::new(record));
        }
        tx.commit().unwrap();
        records
    }

    /// Takes records out, as if they had been given up.
    pub(crate) fn lose(&mut self, offset: Offset) {
        self.connection.execute("DELETE FROM events WHERE offset = ?1", [sql(offset)]).unwrap();
    }

    /// The state of an execution, as it was when each of its events was appended.
    pub(crate) fn state(&self, execution: &str) -> &ExecutionState {
        &self.runs[&context(execution).root].states[&id(execution)]
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}
