//! The one reducer (I2): state is a fold over events.

use std::collections::BTreeMap;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Envelope, Event, ExecutionId, ExecutionStatus, NodeId, NodeStatus, NodeStatusChanged, NodeType, Seq,
    Timestamp, TokenUsage,
};

/// What is known of one execution after a prefix of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionState {
    /// Which.
    pub execution_id: ExecutionId,
    /// The execution that started it, on sub-runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_execution_id: Option<ExecutionId>,
    /// The execution at the top, on sub-runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_execution_id: Option<ExecutionId>,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// The diagram's own id.
    pub diagram_id: Option<String>,
    /// The diagram's name.
    pub diagram_name: Option<String>,
    /// Who runs it, if it is not this installation: `ingest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// Why it ended as it did: `timeout`, or the words of whoever aborted.
    pub reason: Option<String>,
    /// The nodes that ever FAILED and do not say `on_error: continue`, in the order of their first failure.
    pub failed_nodes: IndexSet<NodeId>,
    /// Its nodes, in the order in which they first appeared.
    pub nodes: IndexMap<NodeId, NodeState>,
    /// Tokens used by all its nodes.
    pub token_usage: TokenUsage,
    /// Log lines.
    pub log_lines: u64,
    /// The `seq` of the last event folded in.
    pub last_seq: Option<Seq>,
}

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    /// Where it stands.
    pub status: NodeStatus,
    /// Its type.
    pub node_type: Option<NodeType>,
    /// Its label.
    pub label: Option<String>,
    /// How often it ran, the present run included.
    pub iterations: u32,
    /// When its latest run began.
    pub started_at: Option<Timestamp>,
    /// When its latest run ended.
    pub ended_at: Option<Timestamp>,
    /// Why its latest run failed.
    pub error: Option<String>,
    /// Why it last failed, whatever its later runs did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What its latest run produced.
    pub output: Option<Value>,
    /// The beginning of an output that is stored beside the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_preview: Option<String>,
    /// Where that output is to be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_ref: Option<String>,
    /// Tokens used by all its runs.
    pub token_usage: Option<TokenUsage>,
    /// Log lines of all its runs.
    pub log_lines: u64,
}

// === impl ExecutionState ===

impl ExecutionState {
    /// Nothing known yet.
    #[must_use]
    pub fn new(execution_id: ExecutionId) -> Self {
        Self {
            execution_id,
            parent_execution_id: None,
            root_execution_id: None,
            status: ExecutionStatus::Pending,
            diagram_id: None,
            diagram_name: None,
            source: None,
            started_at: None,
            ended_at: None,
            error: None,
            reason: None,
            failed_nodes: IndexSet::new(),
            nodes: IndexMap::new(),
            token_usage: TokenUsage::default(),
            log_lines: 0,
            last_seq: None,
        }
    }

    /// The state after `events`; those of other executions are passed over.
    pub fn fold<'a>(execution_id: ExecutionId, events: impl IntoIterator<Item = &'a Envelope>) -> Self {
        let mut state = Self::new(execution_id);
        for event in events {
            state.apply(event);
        }
        state
    }

    /// Folds one event in. Returns whether it counted: an event of another execution, one that was folded in already
    /// (by `seq`), and one after the terminal event do not (I9).
    pub fn apply(&mut self, envelope: &Envelope) -> bool {
        let seen = envelope.seq.is_some() && envelope.seq <= self.last_seq;
        if envelope.execution_id != self.execution_id || seen || self.status.is_terminal() {
            return false;
        }
        self.last_seq = envelope.seq.or(self.last_seq);
        if self.parent_execution_id.is_none() {
            self.parent_execution_id.clone_from(&envelope.parent_execution_id);
            self.root_execution_id.clone_from(&envelope.root_execution_id);
        }
        match &envelope.event {
            Event::ExecutionStatusChanged(event) => {
                let time = event.timestamp.or(envelope.timestamp);
                if event.status == ExecutionStatus::Running && self.started_at.is_none() {
                    self.started_at = time;
                }
                if event.status.is_terminal() {
                    self.ended_at = time;
                }
                if event.diagram_id.is_some() {
                    self.diagram_id.clone_from(&event.diagram_id);
                }
                if event.diagram_name.is_some() {
                    self.diagram_name.clone_from(&event.diagram_name);
                }
                if event.source.is_some() {
                    self.source.clone_from(&event.source);
                }
                self.status = event.status.clone();
                self.reason.clone_from(&event.reason);
            }
            Event::NodeStatusChanged(event) => self.apply_node(event, envelope.timestamp),
            Event::ExecutionError(event) => self.error = Some(event.error.clone()),
            Event::ExecutionLog(event) => {
                self.log_lines += 1;
                if let Some(id) = &event.node_id {
                    self.node(id).log_lines += 1;
                }
            }
            Event::InteractivePrompt(_)
            | Event::InteractiveResponse(_)
            | Event::NodeProgress(_)
            | Event::Unknown(_) => {}
        }
        true
    }

    /// How many nodes have each status, by the status' name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for node in self.nodes.values() {
            *counts.entry(node.status.as_str()).or_default() += 1;
        }
        counts
    }

    fn node(&mut self, id: &NodeId) -> &mut NodeState {
        self.nodes.entry(id.clone()).or_insert_with(NodeState::new)
    }

    fn apply_node(&mut self, event: &NodeStatusChanged, time: Option<Timestamp>) {
        let time = event.timestamp.or(time);
        if event.status == NodeStatus::Failed && event.on_error.as_deref() != Some("continue") {
            self.failed_nodes.insert(event.node_id.clone());
        }
        if let Some(usage) = &event.token_usage {
            self.token_usage = add(self.token_usage, *usage);
        }
        let node = self.node(&event.node_id);
        if event.node_type.is_some() {
            node.node_type.clone_from(&event.node_type);
        }
        if event.label.is_some() {
            node.label.clone_from(&event.label);
        }
        if event.status == NodeStatus::Failed {
            node.last_error.clone_from(&event.error);
        }
        if event.status == NodeStatus::Running {
            // A new run of the node: what the last one left behind is no longer its state.
            node.iterations = event.iteration.unwrap_or(node.iterations.saturating_add(1));
            node.started_at = time;
            node.ended_at = None;
            node.error = None;
            node.output = None;
            node.output_preview = None;
            node.output_ref = None;
        } else if event.status.is_ended() {
            node.started_at = event.started_at.or(node.started_at);
            node.ended_at = event.ended_at.or(time);
            node.error.clone_from(&event.error);
            node.output.clone_from(&event.output);
            node.output_preview.clone_from(&event.output_preview);
            node.output_ref.clone_from(&event.output_ref);
        }
        if let Some(usage) = &event.token_usage {
            node.token_usage = Some(add(node.token_usage.unwrap_or_default(), *usage));
        }
        node.status = event.status.clone();
    }
}

impl NodeState {
    fn new() -> Self {
        Self {
            status: NodeStatus::Pending,
            node_type: None,
            label: None,
            iterations: 0,
            started_at: None,
            ended_at: None,
            error: None,
            last_error: None,
            output: None,
            output_preview: None,
            output_ref: None,
            token_usage: None,
            log_lines: 0,
        }
    }
}

fn add(a: TokenUsage, b: TokenUsage) -> TokenUsage {
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    TokenUsage {
        input: a.input.saturating_add(b.input),
        output: a.output.saturating_add(b.output),
        cached: sum(a.cached, b.cached),
        total: sum(a.total, b.total),
    }
}
