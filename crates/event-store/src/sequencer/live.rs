//! A run that goes on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use core_events::{
    Envelope, Event, ExecutionId, ExecutionState, ExecutionStatus, NodeId, NodeStatus, Offset, Record, Seq,
    Timestamp,
    ports::{ProducerBatch, RunSummary},
};
use indexmap::IndexMap;
use serde::Serialize;

use super::Turn;
use crate::queue::{ExecutionRow, ProducerRow, RunRow};

/// A root run, its sub-runs with it.
#[derive(Debug)]
pub(crate) struct LiveRun {
    pub(super) turn: Turn,
    /// The offset of its first record, and its id in the store.
    pub(super) id: u64,
    pub(super) last: Offset,
    pub(super) seq: Seq,
    pub(super) ended: Option<Offset>,
    pub(super) ended_at: Option<Timestamp>,
    /// Bytes of its records in the store.
    pub(super) bytes: u64,
    pub(super) executions: IndexMap<ExecutionId, LiveExecution>,
    /// How many nodes of the root have each status: counting them anew for every commit would cost by their number.
    counts: BTreeMap<NodeStatus, usize>,
    /// (epoch, seq) of the latest batch of each producer.
    pub(super) producers: HashMap<Arc<str>, (u64, u64)>,
    /// What the store doesn't have yet.
    changed: Changed,
    /// The status that the store has, or will have with the batch that was taken last.
    stored: Option<ExecutionStatus>,
}

#[derive(Debug)]
pub(crate) struct LiveExecution {
    /// Shared with readers while they copy it.
    pub(super) state: Arc<ExecutionState>,
    /// Its first record; 0 if an earlier process wrote that.
    pub(super) first: Offset,
    pub(super) ended: Option<Offset>,
}

#[derive(Debug, Default)]
struct Changed {
    any: bool,
    executions: Vec<ExecutionId>,
    producers: Vec<Arc<str>>,
}

/// A [`RunSummary`] that borrows.
#[derive(Serialize)]
struct Summary<'a> {
    execution_id: &'a ExecutionId,
    status: &'a ExecutionStatus,
    diagram_id: &'a Option<String>,
    diagram_name: &'a Option<String>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    error: &'a Option<String>,
    nodes: &'a BTreeMap<NodeStatus, usize>,
    failed_nodes: usize,
    events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: &'a Option<String>,
}

// === impl LiveRun ===

impl LiveRun {
    /// A run whose first record gets the position `id`.
    pub(super) fn new(root: &ExecutionId, id: u64) -> Self {
        let mut run = Self {
            turn: Turn::default(),
            id,
            last: 0,
            seq: 0,
            ended: None,
            ended_at: None,
            bytes: 0,
            executions: IndexMap::new(),
            counts: BTreeMap::new(),
            producers: HashMap::new(),
            changed: Changed::default(),
            stored: None,
        };
        run.execution(root, id);
        run
    }

    /// The execution `id`; it begins with `first` if it is new.
    pub(super) fn execution(&mut self, id: &ExecutionId, first: Offset) -> &mut LiveExecution {
        self.executions.entry(id.clone()).or_insert_with(|| {
            self.changed.executions.push(id.clone());
            LiveExecution { state: Arc::new(ExecutionState::new(id.clone())), first, ended: None }
        })
    }

    /// Folds a record in. Returns whether there is something new for the store for the first time since [`take`](Self::take).
    pub(super) fn apply(&mut self, envelope: &Envelope, record: &Record, now: Timestamp) -> bool {
        self.last = record.offset;
        self.seq = record.seq;
        let bytes = record.json.len() + record.attachment.as_ref().map_or(0, bytes::Bytes::len);
        self.bytes += bytes as u64;
        self.fold(envelope, record.offset);
        if record.terminal.is_some() {
            self.execution(&record.execution, record.offset).ended = Some(record.offset);
            self.changed.executions.push(record.execution.clone());
            if record.execution == record.root {
                self.ended = Some(record.offset);
                self.ended_at = Some(now);
            }
        }
        !std::mem::replace(&mut self.changed.any, true)
    }

    /// Folds an event into its execution's state.
    pub(super) fn fold(&mut self, envelope: &Envelope, offset: Offset) {
        // The root is always the first.
        let is_root = self.executions.get_index(0).is_some_and(|(root, _)| root == &envelope.execution_id);
        let node = match &envelope.event {
            Event::NodeStatusChanged(event) if is_root => Some(&event.node_id),
            Event::ExecutionLog(event) if is_root => event.node_id.as_ref(),
            _ => None,
        };
        let state = Arc::make_mut(&mut self.execution(&envelope.execution_id, offset).state);
        let status =
            |state: &ExecutionState, node: &NodeId| state.nodes.get(node).map(|node| node.status.clone());
        let before = node.and_then(|node| status(state, node));
        state.apply(envelope);
        let after = node.and_then(|node| status(state, node));
        if before != after {
            if let Some(count) = before.and_then(|before| self.counts.get_mut(&before)) {
                *count -= 1;
            }
            if let Some(after) = after {
                *self.counts.entry(after).or_default() += 1;
            }
            self.counts.retain(|_, count| *count > 0);
        }
    }

    /// That `batch` was appended.
    pub(super) fn note(&mut self, batch: &ProducerBatch) {
        self.producers.insert(Arc::clone(&batch.producer), (batch.epoch, batch.seq));
        if !self.changed.producers.contains(&batch.producer) {
            self.changed.producers.push(Arc::clone(&batch.producer));
        }
    }

    /// That the store has all of it.
    pub(super) fn settle(&mut self) {
        self.changed = Changed::default();
        self.stored = self.root().map(|state| state.status.clone());
    }

    /// That the store has nothing of it any more.
    pub(super) fn unsettle(&mut self) {
        self.changed = Changed {
            any: true,
            executions: self.executions.keys().cloned().collect(),
            producers: self.producers.keys().cloned().collect(),
        };
        self.stored = None;
    }

    fn root(&self) -> Option<&ExecutionState> {
        self.executions.get_index(0).map(|(_, execution)| &*execution.state)
    }

    /// The row of what is new for the store, and further ones.
    pub(super) fn take(
        &mut self,
        executions: &mut Vec<ExecutionRow>,
        producers: &mut Vec<ProducerRow>,
    ) -> Option<RunRow> {
        let changed = std::mem::take(&mut self.changed);
        for id in changed.executions {
            let ended = self.executions.get(&id)?.ended;
            executions.push(ExecutionRow { id, run: self.id, ended });
        }
        for producer in changed.producers {
            let (epoch, seq) = *self.producers.get(&producer)?;
            producers.push(ProducerRow { run: self.id, producer, epoch, seq });
        }
        let state = self.root()?;
        let status = state.status.clone();
        let row = RunRow {
            id: self.id,
            root: state.execution_id.clone(),
            last: self.last,
            seq: self.seq,
            ended: self.ended,
            ended_at: self.ended_at,
            status: status.clone(),
            was: self.stored.clone(),
            bytes: self.bytes,
            summary: self.summary(state),
        };
        self.stored = Some(status);
        Some(row)
    }

    pub(super) fn read_summary(&self) -> Option<RunSummary> {
        serde_json::from_slice(&self.summary(self.root()?)).ok()
    }

    fn summary(&self, state: &ExecutionState) -> Vec<u8> {
        let summary = Summary {
            execution_id: &state.execution_id,
            status: &state.status,
            diagram_id: &state.diagram_id,
            diagram_name: &state.diagram_name,
            started_at: state.started_at,
            ended_at: state.ended_at,
            error: &state.error,
            nodes: &self.counts,
            failed_nodes: state.failed_nodes.len(),
            events: self.seq,
            source: &state.source,
        };
        // Text keys, and memory: there is no way to fail.
        serde_json::to_vec(&summary).unwrap_or_default()
    }
}
