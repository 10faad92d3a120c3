//! The strongly connected components of a graph: the sets of nodes that can all reach each other.

use diagram::{Edge, ExecutableDiagram, NodeIndex};

use super::table::{Key, Table};

/// Which component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Component(usize);

/// All components of a graph.
#[derive(Debug)]
pub(super) struct Components {
    of: Table<NodeIndex, Component>,
    /// The members of the first component, those of the second, …
    members: Vec<NodeIndex>,
    /// Where in `members` each component ends.
    ends: Vec<usize>,
}

/// What Tarjan's algorithm knows of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// When it was found, from 1; 0 before.
    found: usize,
    /// The earliest found node that it is known to reach on the stack.
    low: usize,
    on_stack: bool,
}

// === impl Components ===

impl Components {
    /// Tarjan's algorithm, with a stack of its own: a diagram may be a chain of any length.
    pub(super) fn of(diagram: &ExecutableDiagram) -> Self {
        let count = diagram.nodes().len();
        let mut marks: Table<NodeIndex, Mark> = Table::filled(count);
        let mut of: Table<NodeIndex, Component> = Table::filled(count);
        let mut members = Vec::with_capacity(count);
        let mut ends = Vec::with_capacity(count);
        let mut stack = Vec::new();
        // Each node on the path, and how many of its edges were followed.
        let mut path: Vec<(NodeIndex, usize)> = Vec::new();
        let mut found = 0;
        for root in (0..count).map(NodeIndex::new) {
            if marks[root].found != 0 {
                continue;
            }
            path.push((root, 0));
            while let Some((node, followed)) = path.pop() {
                if followed == 0 {
                    found += 1;
                    marks[node] = Mark { found, low: found, on_stack: true };
                    stack.push(node);
                }
                let next = diagram.outgoing(node).get(followed).and_then(|&index| diagram.edge(index));
                if let Some(edge) = next {
                    path.push((node, followed + 1));
                    let target = marks[edge.target];
                    if target.found == 0 {
                        path.push((edge.target, 0));
                    } else if target.on_stack {
                        marks[node].low = marks[node].low.min(target.found);
                    }
                    continue;
                }
                if let Some(&(parent, _)) = path.last() {
                    marks[parent].low = marks[parent].low.min(marks[node].low);
                }
                if marks[node].low == marks[node].found {
                    let component = Component(ends.len());
                    while let Some(member) = stack.pop() {
                        marks[member].on_stack = false;
                        of[member] = component;
                        members.push(member);
                        if member == node {
                            break;
                        }
                    }
                    ends.push(members.len());
                }
            }
        }
        Self { of, members, ends }
    }

    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Component> + use<> {
        (0..self.ends.len()).map(Component)
    }

    pub(super) fn of_node(&self, node: NodeIndex) -> Component {
        self.of[node]
    }

    /// The components at both ends.
    pub(super) fn of_edge(&self, edge: &Edge) -> (Component, Component) {
        (self.of[edge.source], self.of[edge.target])
    }

    pub(super) fn members(&self, component: Component) -> &[NodeIndex] {
        let start = component.0.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(component.0).copied().unwrap_or(start);
        self.members.get(start..end).unwrap_or_default()
    }
}

// === impl Component ===

impl Key for Component {
    fn position(self) -> usize {
        self.0
    }
}
