//! Facts in few words, for the tests of this crate.

use std::sync::Arc;

use core_events::{
    CallbackContext, Envelope, Event, ExecutionId, ExecutionLog, ExecutionStatus, ExecutionStatusChanged,
    Fact, LogLevel, NodeId, NodeStatus, NodeStatusChanged, Timestamp,
    event::Extra,
    ports::{EventLog, ReadRange, Scope},
};
use router::{MemoryLog, MemoryLogOptions};

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

pub(crate) fn log(records: usize) -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(MemoryLogOptions { records, ..MemoryLogOptions::default() }))
}

/// `a` is a root run, `a.b` a sub-run of it.
pub(crate) fn context(execution: &str, second: i64) -> CallbackContext {
    let root = execution.split('.').next().unwrap();
    CallbackContext {
        execution: id(execution),
        parent: (root != execution).then(|| id(root)),
        root: id(root),
        step: 0,
        time: Timestamp::from_micros(second * 1_000_000),
    }
}

pub(crate) fn status(execution: &str, second: i64, status: ExecutionStatus) -> Fact {
    let cx = context(execution, second);
    let event = ExecutionStatusChanged::to(status, cx.time);
    Fact::new(cx, Event::ExecutionStatusChanged(event))
}

pub(crate) fn begin(execution: &str) -> Fact {
    status(execution, 0, ExecutionStatus::Running)
}

pub(crate) fn end(execution: &str, second: i64) -> Fact {
    status(execution, second, ExecutionStatus::Completed)
}

pub(crate) fn node(execution: &str, node: &str, second: i64, status: NodeStatus) -> Fact {
    let cx = context(execution, second);
    let event = NodeStatusChanged::to(NodeId::from(node), status, cx.time);
    Fact::new(cx, Event::NodeStatusChanged(event))
}

pub(crate) fn line(execution: &str, message: &str) -> Fact {
    let event = ExecutionLog {
        level: LogLevel::Info,
        message: message.to_owned(),
        timestamp: None,
        logger: None,
        node_id: None,
        truncated: None,
        extra: Extra::new(),
    };
    Fact::new(context(execution, 1), Event::ExecutionLog(event))
}

pub(crate) async fn append(log: &dyn EventLog, facts: Vec<Fact>) {
    for fact in facts {
        log.append(vec![fact].into()).await.unwrap();
    }
}

/// All events of a run, as the log has them.
pub(crate) async fn stored(log: &dyn EventLog, root: &str) -> Vec<Envelope> {
    let range = ReadRange {
        scope: Scope::Run(id(root)),
        after: 0,
        up_to: log.head(),
        max_records: usize::MAX,
        max_bytes: usize::MAX,
    };
    let batch = log.read(range).await.unwrap();
    batch.records.iter().map(|record| Envelope::decode(&record.json).unwrap()).collect()
}
