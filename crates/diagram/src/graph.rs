//! The executable graph: typed nodes, edges, adjacency.

use core_events::{NodeId, NodeType};

use crate::{
    diagnostic::{Diagnostic, Location},
    nodes::NodeKind,
};

mod builder;
mod handle;
mod structure;

pub use builder::{EdgeDraft, GraphBuilder, NodeDraft};
pub use handle::{ContentType, Handle};

/// A checked diagram, ready to run. It doesn't change any more.
///
/// Nodes and edges keep the order of the file. Made by [`crate::compile`], or by a [`GraphBuilder`].
#[derive(Debug, Clone)]
pub struct ExecutableDiagram {
    id: Option<String>,
    name: Option<String>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    incoming: Vec<Vec<EdgeIndex>>,
    outgoing: Vec<Vec<EdgeIndex>>,
    entries: Vec<NodeIndex>,
    warnings: Vec<Diagnostic>,
}

/// Which node of a diagram: its position in [`ExecutableDiagram::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(u32);

/// Which edge of a diagram: its position in [`ExecutableDiagram::edges`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeIndex(u32);

/// One node with its configuration.
#[derive(Debug, Clone)]
pub struct Node {
    /// `node_<n>`, n its position in the file's list.
    pub id: NodeId,
    /// What people call it; the id when the file gives no label.
    pub label: String,
    /// The type as events carry it; follows from `kind`.
    pub node_type: NodeType,
    /// What an error of this node means for the run.
    pub on_error: OnError,
    /// The typed configuration.
    pub kind: NodeKind,
    /// Where the file has it.
    pub location: Location,
}

/// What an error of a node means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Not said: the run goes on, and counts the node as failed.
    #[default]
    Unset,
    /// The run goes on, and doesn't count the node as failed.
    Continue,
    /// The run fails.
    Fail,
}

/// One connection between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// `arrow_<n>`, n the connection's position in the file's list, unless the file names it.
    pub id: String,
    /// Where the value comes from.
    pub source: NodeIndex,
    /// By which exit it leaves.
    pub source_handle: Handle,
    /// Where it goes.
    pub target: NodeIndex,
    /// By which entrance it comes.
    pub target_handle: Handle,
    /// The name under which the target receives the value, if the file gives one.
    pub label: Option<String>,
    /// What the file says about the value.
    pub content_type: ContentType,
    /// Where the file has the connection.
    pub location: Location,
}

// === impl ExecutableDiagram ===

impl ExecutableDiagram {
    /// Starts an empty graph; see [`GraphBuilder`].
    #[must_use]
    pub fn builder() -> GraphBuilder {
        GraphBuilder::new()
    }

    /// The id from the file's metadata.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The name from the file's metadata, else that of the file.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// All nodes, in the order of the file. At least one.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All edges, in the order of the file.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The node at `index`; none for the index of another diagram that has more nodes.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> Option<&Node> {
        self.nodes.get(index.index())
    }

    /// The edge at `index`; none for the index of another diagram that has more edges.
    #[must_use]
    pub fn edge(&self, index: EdgeIndex) -> Option<&Edge> {
        self.edges.get(index.index())
    }

    /// The edges that end at a node, in the order of the file.
    #[must_use]
    pub fn incoming(&self, node: NodeIndex) -> &[EdgeIndex] {
        self.incoming.get(node.index()).map_or(&[], Vec::as_slice)
    }

    /// The edges that leave a node, in the order of the file.
    #[must_use]
    pub fn outgoing(&self, node: NodeIndex) -> &[EdgeIndex] {
        self.outgoing.get(node.index()).map_or(&[], Vec::as_slice)
    }

    /// Where a run begins: the start nodes; without any, the nodes that no edge ends at. At least one.
    #[must_use]
    pub fn entries(&self) -> &[NodeIndex] {
        &self.entries
    }

    /// What was odd but not wrong, by place.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

// === impl NodeIndex, EdgeIndex ===

macro_rules! index {
    ($name:ident) => {
        impl $name {
            /// The index of position `position`, which is below 2³².
            #[must_use]
            pub fn new(position: usize) -> Self {
                Self(u32::try_from(position).unwrap_or(u32::MAX))
            }

            /// The position, from 0.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(NodeIndex);
index!(EdgeIndex);

// === impl Edge ===

impl Edge {
    /// The name under which the target receives the value: the label, else the name of the target's handle.
    #[must_use]
    pub fn input_name(&self) -> &str {
        self.label.as_deref().unwrap_or(self.target_handle.as_str())
    }
}
