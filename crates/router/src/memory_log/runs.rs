//! What is known of every run, whatever became of its records.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use core_events::{
    Envelope, EventType, ExecutionId, ExecutionState, Fact, NodeId, Offset, Record, Seq,
    ports::{AppendError, ExecutionInfo, ListQuery, LookupError, ProducerBatch, RemoveError, RunSummary},
};
use indexmap::IndexMap;

/// So many removed executions are told from unknown ones.
const REMEMBERED: usize = 10_000;

/// The folds of all runs (I2), and the rules of appending to them (I1, I9).
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: HashMap<ExecutionId, Run>,
    /// The root of every execution.
    roots: HashMap<ExecutionId, ExecutionId>,
    /// Runs by the position of their first record.
    begun: BTreeMap<Offset, ExecutionId>,
    /// In the order in which they finished.
    finished: VecDeque<ExecutionId>,
    /// Bytes of the states of all of these.
    finished_bytes: usize,
    removed: HashMap<ExecutionId, Removed>,
    /// In the order in which they were removed.
    removed_order: VecDeque<ExecutionId>,
}

#[derive(Debug)]
struct Run {
    first: Offset,
    last: Offset,
    seq: Seq,
    ended: Option<Offset>,
    /// About what the states keep in memory: the events that made the nodes what they are.
    bytes: usize,
    /// The root and its sub-runs.
    executions: IndexMap<ExecutionId, Execution>,
    pinned: bool,
    /// (epoch, seq) of the latest batch of each producer.
    producers: HashMap<Arc<str>, (u64, u64)>,
}

#[derive(Debug)]
struct Execution {
    state: ExecutionState,
    ended: Option<Offset>,
    /// The size of the last event of each node: what its state is made of.
    sizes: HashMap<NodeId, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Removed {
    first: Offset,
    last: Offset,
}

// === impl Runs ===

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether `facts` may be appended; returns the last `seq` of their run.
    pub(super) fn check(&self, facts: &[Fact], batch: Option<&ProducerBatch>) -> Result<Seq, AppendError> {
        let root = &facts.first().ok_or(AppendError::Mixed)?.context.root;
        if self.removed.contains_key(root) {
            return Err(AppendError::Ended(root.clone()));
        }
        let run = self.runs.get(root);
        if let Some(batch) = batch {
            batch.follows(run.and_then(|run| run.producers.get(&batch.producer)).copied())?;
        }
        let mut ended_here: Vec<&ExecutionId> = Vec::new();
        for fact in facts {
            let execution = &fact.context.execution;
            if &fact.context.root != root || self.roots.get(execution).is_some_and(|known| known != root) {
                return Err(AppendError::Mixed);
            }
            let ended_before = |id: &ExecutionId| {
                run.and_then(|run| run.executions.get(id)).is_some_and(|execution| execution.ended.is_some())
            };
            for id in [root, execution] {
                if ended_here.contains(&id) || ended_before(id) {
                    return Err(AppendError::Ended(id.clone()));
                }
            }
            if fact.event.terminal_status().is_some() {
                ended_here.push(execution);
            }
        }
        Ok(run.map_or(0, |run| run.seq))
    }

    pub(super) fn apply(&mut self, envelope: &Envelope, record: &Record) {
        let root = &record.root;
        let run = self.runs.entry(root.clone()).or_insert_with(|| {
            self.begun.insert(record.offset, root.clone());
            Run {
                first: record.offset,
                last: 0,
                seq: 0,
                ended: None,
                bytes: 0,
                executions: IndexMap::new(),
                pinned: false,
                producers: HashMap::new(),
            }
        });
        run.last = record.offset;
        run.seq = record.seq;
        let execution = run.executions.entry(record.execution.clone()).or_insert_with(|| {
            self.roots.insert(record.execution.clone(), root.clone());
            Execution {
                state: ExecutionState::new(record.execution.clone()),
                ended: None,
                sizes: HashMap::new(),
            }
        });
        execution.state.apply(envelope);
        if let (EventType::NodeStatusChanged, Some(node)) = (&record.event_type, &record.node) {
            let before = execution.sizes.insert(node.clone(), record.json.len()).unwrap_or(0);
            run.bytes = (run.bytes + record.json.len()).saturating_sub(before);
        }
        if record.terminal.is_some() {
            execution.ended = Some(record.offset);
            if &record.execution == root {
                run.ended = Some(record.offset);
                self.finished.push_back(root.clone());
                self.finished_bytes += run.bytes;
            }
        }
    }

    /// That `batch` was appended to the run of `root`.
    pub(super) fn note(&mut self, root: &ExecutionId, batch: &ProducerBatch) {
        if let Some(run) = self.runs.get_mut(root) {
            run.producers.insert(Arc::clone(&batch.producer), (batch.epoch, batch.seq));
        }
    }

    pub(super) fn pin(&mut self, id: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        let root = self.get(id)?.0.clone();
        if let Some(run) = self.runs.get_mut(&root) {
            run.pinned = pinned;
        }
        Ok(())
    }

    /// Forgets a finished run.
    pub(super) fn remove(&mut self, id: &ExecutionId) -> Result<(), RemoveError> {
        let (root, run, _) = self.get(id)?;
        if root != id {
            return Err(RemoveError::NotARoot { execution: id.clone(), root: root.clone() });
        }
        if run.ended.is_none() {
            return Err(RemoveError::Running(id.clone()));
        }
        let bytes = run.bytes;
        self.finished.retain(|finished| finished != id);
        self.finished_bytes = self.finished_bytes.saturating_sub(bytes);
        self.forget(id);
        Ok(())
    }

    pub(super) fn by_status(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (root, run) in &self.runs {
            let status = run.executions.get(root).map(|execution| execution.state.status.as_str().to_owned());
            *counts.entry(status.unwrap_or_default()).or_default() += 1;
        }
        counts
    }

    pub(super) fn pinned(&self) -> usize {
        self.runs.values().filter(|run| run.pinned).count()
    }

    /// Removes the runs that finished first, until only `keep` finished ones are left and their states have no more than
    /// `bytes`; the one that finished last stays in any case. Returns their ids.
    pub(super) fn retire(&mut self, keep: usize, bytes: usize) -> Vec<ExecutionId> {
        let mut retired = Vec::new();
        let mut next = 0;
        while self.finished.len() > keep || (self.finished.len() > 1 && self.finished_bytes > bytes) {
            let Some(root) = self.finished.get(next) else { break };
            let run = self.runs.get(root);
            if run.is_some_and(|run| run.pinned) {
                next += 1;
                continue;
            }
            self.finished_bytes = self.finished_bytes.saturating_sub(run.map_or(0, |run| run.bytes));
            retired.extend(self.finished.remove(next));
        }
        for root in &retired {
            self.forget(root);
        }
        retired
    }

    fn forget(&mut self, root: &ExecutionId) {
        let Some(run) = self.runs.remove(root) else { return };
        self.begun.remove(&run.first);
        for id in run.executions.into_keys() {
            self.roots.remove(&id);
            self.removed.insert(id.clone(), Removed { first: run.first, last: run.last });
            self.removed_order.push_back(id);
        }
        while self.removed_order.len() > REMEMBERED {
            if let Some(id) = self.removed_order.pop_front() {
                self.removed.remove(&id);
            }
        }
    }

    /// First and last position of a run that was removed.
    pub(super) fn removed_range(&self, root: &ExecutionId) -> Option<(Offset, Offset)> {
        self.removed.get(root).map(|removed| (removed.first, removed.last))
    }

    pub(super) fn info(&self, id: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        let (root, run, execution) = self.get(id)?;
        Ok(ExecutionInfo { root: root.clone(), ended: execution.ended.or(run.ended) })
    }

    pub(super) fn state(&self, id: &ExecutionId) -> Result<&ExecutionState, LookupError> {
        self.get(id).map(|(_, _, execution)| &execution.state)
    }

    fn get(&self, id: &ExecutionId) -> Result<(&ExecutionId, &Run, &Execution), LookupError> {
        let found = self.roots.get(id).and_then(|root| {
            let run = self.runs.get(root)?;
            Some((root, run, run.executions.get(id)?))
        });
        found.ok_or_else(|| match self.removed.contains_key(id) {
            true => LookupError::Deleted(id.clone()),
            false => LookupError::Unknown(id.clone()),
        })
    }

    /// Newest first. A run that was removed still says where to go on; behind an unknown one there is nothing.
    pub(super) fn list(&self, query: &ListQuery) -> Vec<RunSummary> {
        let before = match &query.before {
            None => Offset::MAX,
            Some(id) => {
                let first = self.runs.get(id).map(|run| run.first);
                first.or_else(|| self.removed.get(id).map(|run| run.first)).unwrap_or(0)
            }
        };
        let runs = self.begun.range(..before).rev();
        runs.filter_map(|(_, root)| summary(root, self.runs.get(root)?))
            .filter(|run| query.status.as_ref().is_none_or(|status| &run.status == status))
            .filter(|run| !query.unfinished || !run.status.is_terminal())
            .take(query.limit)
            .collect()
    }
}

fn summary(root: &ExecutionId, run: &Run) -> Option<RunSummary> {
    let state = &run.executions.get(root)?.state;
    Some(RunSummary {
        execution_id: root.clone(),
        status: state.status.clone(),
        diagram_id: state.diagram_id.clone(),
        diagram_name: state.diagram_name.clone(),
        started_at: state.started_at,
        ended_at: state.ended_at,
        error: state.error.clone(),
        nodes: state.counts().into_iter().map(|(status, count)| (status.to_owned(), count)).collect(),
        failed_nodes: state.failed_nodes.len(),
        events: run.seq,
        source: state.source.clone(),
        pinned: run.pinned,
    })
}
