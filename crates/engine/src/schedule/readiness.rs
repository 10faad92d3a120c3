//! Whether a node that has a value may run.

use diagram::{Edge, EdgeIndex, NodeIndex};

use super::{Schedule, Witness, branch, table::Table};

/// Scratch space of the search inside a component, kept so that a search costs only what it visits.
#[derive(Debug)]
pub(super) struct Search {
    /// The number of the last search that saw each node.
    seen: Table<NodeIndex, u64>,
    number: u64,
    open: Vec<NodeIndex>,
}

// === impl Search ===

impl Search {
    pub(super) fn new(nodes: usize) -> Self {
        Self { seen: Table::filled(nodes), number: 0, open: Vec::new() }
    }

    fn begin(&mut self) {
        self.number += 1;
        self.open.clear();
    }

    /// Remembers to look at `node`, once per search.
    fn add(&mut self, node: NodeIndex) {
        if self.seen[node] != self.number {
            self.seen[node] = self.number;
            self.open.push(node);
        }
    }
}

// === impl Schedule ===

impl Schedule {
    /// Whether `node`, which has a value, is ready; if it isn't, it is looked at again when its witness goes.
    pub(super) fn examine(&mut self, node: NodeIndex) -> bool {
        let witness = self.witness(node);
        let Some(witness) = witness else { return true };
        if self.nodes[node].witness != Some(witness) {
            self.nodes[node].witness = Some(witness);
            match witness {
                Witness::Node(other) => self.nodes[other].watchers.push(node),
                Witness::Component(component) => self.life[component].watchers.push(node),
            }
        }
        false
    }

    /// The incoming edges of `node` that have no value and count.
    pub(super) fn missing(&self, node: NodeIndex) -> impl Iterator<Item = &Edge> {
        let edges = self.diagram.incoming(node).iter();
        edges.filter_map(|&index| self.diagram.edge(index).filter(|edge| self.is_missing(index, edge)))
    }

    fn is_missing(&self, index: EdgeIndex, edge: &Edge) -> bool {
        let decided_against =
            self.nodes[edge.source].decision.is_some_and(|decision| edge.source_handle != branch(decision));
        // What comes from the node itself can only come after it ran.
        self.waiting[index].is_empty() && !decided_against && edge.source != edge.target
    }

    /// Something active that can still reach a missing edge of `node` without passing through `node`.
    pub(super) fn witness(&mut self, node: NodeIndex) -> Option<Witness> {
        let own = self.components.of_node(node);
        let mut search = std::mem::replace(&mut self.search, Search::new(0));
        search.begin();
        let mut witness = None;
        for edge in self.missing(node) {
            let component = self.components.of_node(edge.source);
            if component == own {
                search.add(edge.source);
            } else if !self.life[component].dead {
                // No way from another component into this one leads through this one.
                witness = Some(Witness::Component(component));
                break;
            }
        }
        if witness.is_none() {
            witness = self.search_component(node, &mut search);
        }
        self.search = search;
        witness
    }

    /// Goes backward from the nodes of `search` inside the component of `node`, around `node`.
    fn search_component(&self, node: NodeIndex, search: &mut Search) -> Option<Witness> {
        let own = self.components.of_node(node);
        while let Some(other) = search.open.pop() {
            if self.nodes[other].is_active() {
                return Some(Witness::Node(other));
            }
            for edge in self.diagram.incoming(other).iter().filter_map(|&index| self.diagram.edge(index)) {
                let component = self.components.of_node(edge.source);
                if component != own {
                    if !self.life[component].dead {
                        return Some(Witness::Component(component));
                    }
                } else if edge.source != node {
                    search.add(edge.source);
                }
            }
        }
        None
    }
}
