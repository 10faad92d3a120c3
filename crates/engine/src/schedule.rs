//! Which node may run when, and which never will.
//!
//! A node is *active* when it runs, when a value waits for it on an incoming edge, or when it is an entry that hasn't
//! started. A node that has a value is *ready* when none of its empty incoming edges has a source that another active
//! node can still reach without passing through the node itself; an edge that its condition decided against doesn't
//! count until that condition runs again. A node that never ran is *skipped* as soon as no active node can reach it.
//!
//! Searching the graph at every step would make long runs quadratic. Instead:
//!
//! - Reachability is kept per strongly connected component. A component is *live* while it has an active node or an
//!   edge from a live component. Activity only spreads along edges, so a component that died stays dead, and all deaths
//!   of a run together cost O(nodes + edges).
//! - A node without empty incoming edges is ready at once.
//! - A node that is blocked remembers one witness, a live component or an active node of its own component, and is
//!   looked at again when that witness goes, when a value arrives, or when a condition decides against one of its edges.

mod components;
mod readiness;
#[cfg(test)]
mod reference;
mod table;

use std::{collections::VecDeque, sync::Arc};

use diagram::{Edge, EdgeIndex, ExecutableDiagram, Handle, NodeIndex, NodeKind};
use serde_json::Value;

use self::{
    components::{Component, Components},
    table::Table,
};

/// The state of one run's graph.
#[derive(Debug)]
pub(crate) struct Schedule {
    diagram: Arc<ExecutableDiagram>,
    /// How many values may wait on one edge.
    capacity: usize,
    nodes: Table<NodeIndex, NodeState>,
    /// The values that wait on each edge, oldest first.
    waiting: Table<EdgeIndex, VecDeque<Arc<Value>>>,
    components: Components,
    life: Table<Component, Life>,
    /// Ready nodes, the longest ready first.
    ready: VecDeque<NodeIndex>,
    /// Nodes whose readiness may have changed.
    dirty: Vec<NodeIndex>,
    /// Components that may have died.
    fading: Vec<Component>,
    /// Nodes that no longer can run and whose skipping nobody has taken yet.
    skipped: Vec<NodeIndex>,
    /// How often an edge that didn't count began to count again: only then a ready node may cease to be ready.
    reopened: u64,
    search: readiness::Search,
}

#[derive(Debug, Default)]
struct NodeState {
    /// How often it started.
    started: u32,
    /// How often it ended.
    ended: u32,
    running: bool,
    /// An entry that hasn't started.
    pending_entry: bool,
    /// How many values wait on its incoming edges.
    held: usize,
    /// In `ready`, and the value of `reopened` when it came there.
    queued: Option<u64>,
    /// A condition's last decision, until it runs again.
    decision: Option<bool>,
    /// Where it was last entered as a watcher and not woken since.
    witness: Option<Witness>,
    /// The nodes that have this one as their witness.
    watchers: Vec<NodeIndex>,
}

/// Why a node is blocked: something that can still reach one of its empty edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Witness {
    Node(NodeIndex),
    Component(Component),
}

#[derive(Debug, Default)]
struct Life {
    /// How many of its nodes are active.
    active: usize,
    /// How many edges it has from other components that are live.
    inflow: usize,
    dead: bool,
    /// The nodes that have this component as their witness.
    watchers: Vec<NodeIndex>,
}

/// A node that starts.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) node: NodeIndex,
    /// Which run of it, from 1.
    pub(crate) iteration: u32,
    /// The values that it consumes: one of each edge that has one, in the order of the edges.
    pub(crate) values: Vec<(EdgeIndex, Arc<Value>)>,
}

/// The exit by which a node's output leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Default,
    /// A condition's decision.
    Branch(bool),
}

/// Too many values wait on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow {
    pub(crate) edge: EdgeIndex,
}

/// A node that has a value and can't run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) node: NodeIndex,
    /// The sources of its edges that still lack a value and may get one.
    pub(crate) waits_for: Vec<NodeIndex>,
}

// === impl Schedule ===

impl Schedule {
    /// Where every run begins: the entries are ready; what they can't reach is skipped.
    pub(crate) fn new(diagram: Arc<ExecutableDiagram>, capacity: usize) -> Self {
        let components = Components::of(&diagram);
        let mut schedule = Self {
            capacity,
            nodes: Table::filled(diagram.nodes().len()),
            waiting: Table::filled(diagram.edges().len()),
            life: Table::filled(components.len()),
            components,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            fading: Vec::new(),
            skipped: Vec::new(),
            reopened: 0,
            search: readiness::Search::new(diagram.nodes().len()),
            diagram,
        };
        let diagram = Arc::clone(&schedule.diagram);
        for &entry in diagram.entries() {
            schedule.nodes[entry].pending_entry = true;
            schedule.nodes[entry].queued = Some(0);
            schedule.life[schedule.components.of_node(entry)].active += 1;
            schedule.ready.push_back(entry);
        }
        for edge in diagram.edges() {
            let (from, to) = schedule.components.of_edge(edge);
            if from != to {
                schedule.life[to].inflow += 1;
            }
        }
        // Everything counts as live at first; what no entry reaches dies here.
        schedule.fading.extend(schedule.components.all());
        schedule.settle();
        schedule
    }

    /// The next node to start, if one is ready, with the values that it consumes.
    pub(crate) fn start_next(&mut self) -> Option<Started> {
        while let Some(node) = self.ready.pop_front() {
            let since = self.nodes[node].queued.take();
            if since != Some(self.reopened) && !self.nodes[node].pending_entry && !self.examine(node) {
                continue;
            }
            return Some(self.start(node));
        }
        None
    }

    /// `node`, which runs, ends; `value` leaves by `exit`.
    ///
    /// # Errors
    ///
    /// [`Overflow`] when an edge can't take it; then the schedule is of no further use.
    pub(crate) fn end(&mut self, node: NodeIndex, exit: Exit, value: &Arc<Value>) -> Result<(), Overflow> {
        let diagram = Arc::clone(&self.diagram);
        if let Exit::Branch(decision) = exit {
            self.nodes[node].decision = Some(decision);
        }
        // New activity first, or a component that goes on would seem to die.
        for &index in diagram.outgoing(node) {
            let Some(edge) = diagram.edge(index) else { continue };
            let taken = match exit {
                Exit::Default => edge.source_handle == Handle::Default,
                Exit::Branch(decision) => edge.source_handle == branch(decision),
            };
            if taken {
                self.put(index, edge, Arc::clone(value))?;
            }
            self.dirty.push(edge.target);
        }
        let state = &mut self.nodes[node];
        state.running = false;
        state.ended = state.ended.saturating_add(1);
        if state.is_active() {
            self.dirty.push(node);
        } else {
            let watchers = std::mem::take(&mut state.watchers);
            self.wake(watchers);
            let component = self.components.of_node(node);
            self.life[component].active -= 1;
            self.fading.push(component);
        }
        self.settle();
        Ok(())
    }

    /// The nodes that no longer can run, in the order of the diagram; each is told once.
    pub(crate) fn take_skipped(&mut self) -> Vec<NodeIndex> {
        let mut skipped = std::mem::take(&mut self.skipped);
        skipped.sort_unstable();
        skipped
    }

    /// The nodes that never started and are not skipped yet, because the run ends before it is decided.
    pub(crate) fn never_started(&self) -> Vec<NodeIndex> {
        let all = (0..self.diagram.nodes().len()).map(NodeIndex::new);
        all.filter(|&node| self.nodes[node].started == 0 && !self.life[self.components.of_node(node)].dead)
            .collect()
    }

    /// How often `node` ended.
    pub(crate) fn times_ended(&self, node: NodeIndex) -> u32 {
        self.nodes[node].ended
    }

    /// The nodes that have a value and can't run. When nothing runs and nothing is ready, they never will.
    pub(crate) fn blocked(&self) -> Vec<Blocked> {
        let all = (0..self.diagram.nodes().len()).map(NodeIndex::new);
        all.filter(|&node| self.nodes[node].is_waiting())
            .map(|node| Blocked { node, waits_for: self.waits_for(node) })
            .collect()
    }

    fn waits_for(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut sources: Vec<NodeIndex> = self
            .missing(node)
            .map(|edge| edge.source)
            .filter(|&source| !self.life[self.components.of_node(source)].dead)
            .collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    fn start(&mut self, node: NodeIndex) -> Started {
        let mut values = Vec::new();
        for &index in self.diagram.incoming(node) {
            if let Some(value) = self.waiting[index].pop_front() {
                values.push((index, value));
            }
        }
        let state = &mut self.nodes[node];
        state.held -= values.len();
        state.pending_entry = false;
        state.running = true;
        state.started = state.started.saturating_add(1);
        if state.decision.take().is_some() {
            self.reopened += 1;
        }
        Started { node, iteration: state.started, values }
    }

    fn put(&mut self, index: EdgeIndex, edge: &Edge, value: Arc<Value>) -> Result<(), Overflow> {
        let queue = &mut self.waiting[index];
        if queue.len() >= self.capacity {
            return Err(Overflow { edge: index });
        }
        queue.push_back(value);
        let target = &mut self.nodes[edge.target];
        if !target.is_active() {
            self.life[self.components.of_node(edge.target)].active += 1;
        }
        target.held += 1;
        Ok(())
    }

    /// Has nodes looked at again whose witness went.
    fn wake(&mut self, watchers: Vec<NodeIndex>) {
        for &node in &watchers {
            self.nodes[node].witness = None;
        }
        self.dirty.extend(watchers);
    }

    /// Lets die what no longer can come to life, then looks again at every node that this or the step before touched.
    fn settle(&mut self) {
        let diagram = Arc::clone(&self.diagram);
        while let Some(component) = self.fading.pop() {
            let life = &mut self.life[component];
            if life.dead || life.active > 0 || life.inflow > 0 {
                continue;
            }
            life.dead = true;
            let watchers = std::mem::take(&mut life.watchers);
            self.wake(watchers);
            for &node in self.components.members(component) {
                if self.nodes[node].started == 0 {
                    self.skipped.push(node);
                }
                for edge in diagram.outgoing(node).iter().filter_map(|&index| diagram.edge(index)) {
                    let target = self.components.of_node(edge.target);
                    if target != component {
                        self.life[target].inflow -= 1;
                        self.fading.push(target);
                    }
                }
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for node in dirty.drain(..) {
            if self.nodes[node].is_waiting() && self.examine(node) {
                self.nodes[node].queued = Some(self.reopened);
                self.ready.push_back(node);
            }
        }
        self.dirty = dirty;
    }
}

// === impl NodeState ===

impl NodeState {
    const fn is_active(&self) -> bool {
        self.running || self.held > 0 || self.pending_entry
    }

    /// Has a value, and neither runs nor is known to be ready.
    const fn is_waiting(&self) -> bool {
        self.held > 0 && !self.running && self.queued.is_none()
    }
}

const fn branch(decision: bool) -> Handle {
    if decision { Handle::CondTrue } else { Handle::CondFalse }
}

/// Whether a node of this kind leaves by a branch.
pub(crate) const fn branches(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Condition(_))
}

#[cfg(test)]
mod tests;
