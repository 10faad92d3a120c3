//! Outputs that are still growing (I8).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use core_events::{
    CallbackContext, Envelope, Event, EventType, ExecutionId, Filter, NodeId, NodeProgress, NodeStatus,
    Offset, Progress, Record, event::Extra, limits, ports::Scope,
};

/// Text kept of one node; what comes before it is cut.
const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// Text in one event. Leaves room in an event for the worst that JSON makes of it, six bytes of one.
const PART_BYTES: usize = 32 * 1024;

/// The texts of the nodes that are at work.
#[derive(Debug)]
pub(crate) struct Texts {
    max_nodes: usize,
    /// By id, which ascends with their beginning.
    texts: BTreeMap<u64, Text>,
    by_node: HashMap<(ExecutionId, NodeId), u64>,
    by_root: HashMap<ExecutionId, BTreeSet<u64>>,
    next: u64,
}

#[derive(Debug)]
struct Text {
    context: CallbackContext,
    node: NodeId,
    /// The log's head when it began: a reader that is not there yet does not know of this run of the node.
    since: Offset,
    /// Bytes that were cut in front.
    cut: u64,
    text: String,
}

/// A part of a text: which, from where, to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    id: u64,
    from: u64,
    to: u64,
}

/// How far a reader has got in each text.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    positions: BTreeMap<u64, u64>,
}

// === impl Texts ===

impl Texts {
    pub(crate) fn new(max_nodes: usize) -> Self {
        Self { max_nodes, texts: BTreeMap::new(), by_node: HashMap::new(), by_root: HashMap::new(), next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Adds to a node's text; `head` is the log's head.
    pub(crate) fn push(&mut self, cx: &CallbackContext, progress: &Progress, head: Offset) {
        let key = (cx.execution.clone(), progress.node.clone());
        let id = match self.by_node.get(&key) {
            Some(id) => *id,
            None => self.begin(key, cx, head),
        };
        let Some(text) = self.texts.get_mut(&id) else { return };
        text.context.time = cx.time;
        text.text.push_str(&progress.text);
        if text.text.len() > MAX_TEXT_BYTES {
            // More than is needed, so that not every further token moves a megabyte.
            let cut = text.text.ceil_char_boundary(text.text.len() - MAX_TEXT_BYTES / 4 * 3);
            text.text.drain(..cut);
            text.cut += cut as u64;
        }
    }

    fn begin(&mut self, key: (ExecutionId, NodeId), cx: &CallbackContext, head: Offset) -> u64 {
        while self.texts.len() >= self.max_nodes.max(1) {
            let Some((id, text)) = self.texts.pop_first() else { break };
            self.unlink(id, &text);
        }
        self.next += 1;
        let (context, node) = (cx.clone(), key.1.clone());
        self.texts.insert(self.next, Text { context, node, since: head, cut: 0, text: String::new() });
        self.by_node.insert(key, self.next);
        self.by_root.entry(cx.root.clone()).or_default().insert(self.next);
        self.next
    }

    fn unlink(&mut self, id: u64, text: &Text) {
        self.by_node.remove(&(text.context.execution.clone(), text.node.clone()));
        if let Some(ids) = self.by_root.get_mut(&text.context.root) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_root.remove(&text.context.root);
            }
        }
    }

    /// Forgets the texts that `record` makes part of the log, or ends.
    pub(crate) fn committed(&mut self, record: &Record) {
        if self.texts.is_empty() {
            return;
        }
        if record.terminal.is_some() {
            let ids = self.by_root.get(&record.root).cloned().unwrap_or_default();
            for id in ids {
                let of = |text: &Text| text.context.execution == record.execution;
                if record.execution == record.root || self.texts.get(&id).is_some_and(of) {
                    self.forget(id);
                }
            }
        } else if let Some(node) = &record.node
            && record.event_type == EventType::NodeStatusChanged
            && let Some(id) = self.by_node.get(&(record.execution.clone(), node.clone())).copied()
            && node_status(record).is_some_and(|status| status.is_ended() || status == NodeStatus::Running)
        {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(text) = self.texts.remove(&id) {
            self.unlink(id, &text);
        }
    }

    /// The next part of any text in `scope` that passes `filter` and that a reader at `position` has not seen, with the
    /// text's JSON event.
    pub(crate) fn next(
        &self,
        (scope, filter, position): (&Scope, &Filter, Offset),
        seen: &mut Seen,
    ) -> Option<(Part, impl FnOnce() -> Bytes + use<>)> {
        seen.positions.retain(|id, _| self.texts.contains_key(id));
        let (of_run, of_all) = match scope {
            Scope::Run(root) => (self.by_root.get(root), None),
            Scope::All => (None, Some(self.texts.keys())),
        };
        let ids = of_run.into_iter().flatten().chain(of_all.into_iter().flatten());
        for id in ids {
            let Some(text) = self.texts.get(id) else { continue };
            let passes =
                filter.matches_parts(&text.context.execution, &EventType::NodeProgress, Some(&text.node));
            if !passes || text.since > position {
                continue;
            }
            let from = seen.positions.get(id).copied().unwrap_or(0).max(text.cut);
            let rest = usize::try_from(from - text.cut).ok().and_then(|from| text.text.get(from..));
            let part = limits::head(rest.unwrap_or_default(), PART_BYTES);
            if part.is_empty() {
                continue;
            }
            let to = from + part.len() as u64;
            seen.positions.insert(*id, to);
            let event = NodeProgress {
                node_id: text.node.clone(),
                text: part.to_owned(),
                position: from,
                timestamp: Some(text.context.time),
                extra: Extra::new(),
            };
            let cx = text.context.clone();
            return Some((Part { id: *id, from, to }, move || envelope(cx, event).encode()));
        }
        None
    }
}

fn envelope(cx: CallbackContext, event: NodeProgress) -> Envelope {
    Envelope {
        event: Event::NodeProgress(event),
        root_execution_id: (cx.root != cx.execution).then_some(cx.root),
        execution_id: cx.execution,
        timestamp: Some(cx.time),
        seq: None,
        parent_execution_id: cx.parent,
        extra: serde_json::Map::new(),
    }
}

/// The status in a NODE_STATUS_CHANGED. Read from its JSON, since a record does not carry it and may come from anywhere;
/// only for nodes that have a text.
fn node_status(record: &Record) -> Option<NodeStatus> {
    #[derive(serde::Deserialize)]
    struct Peek {
        data: Data,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        status: NodeStatus,
    }
    serde_json::from_slice::<Peek>(&record.json).ok().map(|peek| peek.data.status)
}
