//! The definition, word for word and as slow as it sounds, to compare the real schedule with.

use std::collections::{BTreeSet, VecDeque};

use diagram::{EdgeIndex, ExecutableDiagram, NodeIndex};

use super::{Exit, branch};

#[derive(Debug, Clone)]
pub(super) struct Reference<'a> {
    diagram: &'a ExecutableDiagram,
    running: BTreeSet<NodeIndex>,
    started: BTreeSet<NodeIndex>,
    values: Vec<usize>,
    decisions: Vec<Option<bool>>,
    pub(super) skipped: BTreeSet<NodeIndex>,
}

impl<'a> Reference<'a> {
    pub(super) fn new(diagram: &'a ExecutableDiagram) -> Self {
        let mut reference = Self {
            diagram,
            running: BTreeSet::new(),
            started: BTreeSet::new(),
            values: vec![0; diagram.edges().len()],
            decisions: vec![None; diagram.nodes().len()],
            skipped: BTreeSet::new(),
        };
        reference.skip();
        reference
    }

    fn all(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.diagram.nodes().len()).map(NodeIndex::new)
    }

    fn has_value(&self, node: NodeIndex) -> bool {
        self.diagram.incoming(node).iter().any(|edge| self.values[edge.index()] > 0)
    }

    fn is_new_entry(&self, node: NodeIndex) -> bool {
        self.diagram.entries().contains(&node) && !self.started.contains(&node)
    }

    fn is_active(&self, node: NodeIndex) -> bool {
        self.running.contains(&node) || self.has_value(node) || self.is_new_entry(node)
    }

    /// Whether an active node other than `around` reaches `goal` without passing through `around`.
    fn reachable(&self, goal: NodeIndex, around: Option<NodeIndex>) -> bool {
        let mut open: VecDeque<NodeIndex> =
            self.all().filter(|&node| self.is_active(node) && Some(node) != around).collect();
        let mut seen: BTreeSet<NodeIndex> = open.iter().copied().collect();
        while let Some(node) = open.pop_front() {
            if node == goal {
                return true;
            }
            for &edge in self.diagram.outgoing(node) {
                let target = self.diagram.edge(edge).unwrap().target;
                if Some(target) != around && seen.insert(target) {
                    open.push_back(target);
                }
            }
        }
        false
    }

    fn is_ready(&self, node: NodeIndex) -> bool {
        if self.running.contains(&node) {
            return false;
        }
        let blocks = |edge: &EdgeIndex| {
            let found = self.diagram.edge(*edge).unwrap();
            let against =
                self.decisions[found.source.index()].is_some_and(|d| found.source_handle != branch(d));
            self.values[edge.index()] == 0 && !against && self.reachable(found.source, Some(node))
        };
        self.is_new_entry(node) || (self.has_value(node) && !self.diagram.incoming(node).iter().any(blocks))
    }

    pub(super) fn ready(&self) -> BTreeSet<NodeIndex> {
        self.all().filter(|&node| self.is_ready(node)).collect()
    }

    pub(super) fn waiting(&self) -> Vec<NodeIndex> {
        self.all().filter(|&node| self.has_value(node)).collect()
    }

    pub(super) fn start(&mut self, node: NodeIndex) {
        for edge in self.diagram.incoming(node) {
            let values = &mut self.values[edge.index()];
            *values = values.saturating_sub(1);
        }
        self.started.insert(node);
        self.running.insert(node);
        self.decisions[node.index()] = None;
    }

    pub(super) fn end(&mut self, node: NodeIndex, exit: Exit) {
        self.running.remove(&node);
        if let Exit::Branch(decision) = exit {
            self.decisions[node.index()] = Some(decision);
        }
        for &edge in self.diagram.outgoing(node) {
            let handle = self.diagram.edge(edge).unwrap().source_handle;
            if exit == Exit::Default || matches!(exit, Exit::Branch(decision) if handle == branch(decision)) {
                self.values[edge.index()] += 1;
            }
        }
        self.skip();
    }

    fn skip(&mut self) {
        let gone = |&node: &NodeIndex| !self.started.contains(&node) && !self.reachable(node, None);
        let skipped: Vec<NodeIndex> = self.all().filter(gone).collect();
        self.skipped.extend(skipped);
    }
}
