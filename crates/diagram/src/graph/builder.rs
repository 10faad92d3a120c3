//! Builds a graph node by node, and checks it.

use core_events::{NodeId, NodeType};

use super::{
    ContentType, Edge, EdgeIndex, ExecutableDiagram, Handle, Node, NodeIndex, OnError,
    structure::{self, Outline, Role},
};
use crate::{
    diagnostic::{Diagnostics, Location, Report},
    nodes::NodeKind,
};

/// Builds an [`ExecutableDiagram`]. [`crate::compile`] uses it for files; programs use it for graphs without a file.
///
/// ```
/// use diagram::{ConditionNode, EdgeDraft, EndpointNode, ExecutableDiagram, Handle, NodeDraft, NodeKind, StartNode};
///
/// let mut builder = ExecutableDiagram::builder();
/// let start = builder.node(NodeDraft::new("Start", NodeKind::Start(StartNode::default())));
/// let check = builder.node(NodeDraft::new("Check", NodeKind::Condition(ConditionNode::custom("x > 3"))));
/// let end = builder.node(NodeDraft::new("End", NodeKind::Endpoint(EndpointNode::default())));
/// builder.edge(EdgeDraft { label: Some("x".to_owned()), ..EdgeDraft::new(start, check) });
/// builder.edge(EdgeDraft::new(check, end).leaving_by(Handle::CondTrue));
/// let diagram = builder.build()?;
/// assert_eq!(diagram.entries(), [start]);
/// assert_eq!(diagram.warnings().len(), 1, "the condition has no false branch");
/// # Ok::<(), diagram::Diagnostics>(())
/// ```
#[derive(Debug)]
pub struct GraphBuilder {
    id: Option<String>,
    name: Option<String>,
    outlines: Vec<Outline>,
    /// As long as `outlines`; shorter only when [`GraphBuilder::placeholder`] took a place, and then the build fails.
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    report: Report,
    partial: bool,
}

/// A node to be added to a [`GraphBuilder`].
#[derive(Debug, Clone)]
pub struct NodeDraft {
    /// What people call it.
    pub label: String,
    /// Its type and configuration.
    pub kind: NodeKind,
    /// What an error of it means for the run.
    pub on_error: OnError,
    /// Its place in a file, for diagnostics.
    pub location: Location,
}

/// An edge to be added to a [`GraphBuilder`].
#[derive(Debug, Clone)]
pub struct EdgeDraft {
    /// Its id; `arrow_<n>`, n its position, when not given.
    pub id: Option<String>,
    /// Where the value comes from.
    pub source: NodeIndex,
    /// By which exit it leaves.
    pub source_handle: Handle,
    /// Where it goes.
    pub target: NodeIndex,
    /// By which entrance it comes.
    pub target_handle: Handle,
    /// The name under which the target receives the value.
    pub label: Option<String>,
    /// What is said about the value.
    pub content_type: ContentType,
    /// Its place in a file, for diagnostics.
    pub location: Location,
}

// === impl GraphBuilder ===

impl GraphBuilder {
    pub(super) fn new() -> Self {
        Self::with_report(Report::new("diagram"), false)
    }

    /// Goes on with the faults that reading the file found. `partial`: nodes or edges of the file are missing because
    /// of them, so that what only their absence causes isn't reported.
    pub(crate) const fn with_report(report: Report, partial: bool) -> Self {
        Self {
            id: None,
            name: None,
            outlines: Vec::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            report,
            partial,
        }
    }

    /// Sets the diagram's id and name.
    pub fn identify(&mut self, id: Option<String>, name: Option<String>) {
        self.id = id;
        self.name = name;
    }

    /// Adds a node; its id is `node_<n>`, n its position.
    pub fn node(&mut self, draft: NodeDraft) -> NodeIndex {
        let index = NodeIndex::new(self.outlines.len());
        let NodeDraft { label, kind, on_error, location } = draft;
        self.outlines.push(Outline { label: label.clone(), role: Role::of(&kind), location });
        self.nodes.push(Node {
            id: NodeId::new(format!("node_{}", index.index())),
            label,
            node_type: NodeType::from(kind.type_name()),
            on_error,
            kind,
            location,
        });
        index
    }

    /// Takes the place of a node that can't be built and whose fault is already reported, so that the edges around it
    /// are still checked.
    pub(crate) fn placeholder(&mut self, label: String, location: Location) {
        self.outlines.push(Outline { label, role: Role::Other, location });
    }

    /// Adds an edge. Its ends are checked by [`GraphBuilder::build`].
    pub fn edge(&mut self, draft: EdgeDraft) -> EdgeIndex {
        let index = EdgeIndex::new(self.edges.len());
        self.edges.push(Edge {
            id: draft.id.unwrap_or_else(|| format!("arrow_{}", index.index())),
            source: draft.source,
            source_handle: draft.source_handle,
            target: draft.target,
            target_handle: draft.target_handle,
            label: draft.label,
            content_type: draft.content_type,
            location: draft.location,
        });
        index
    }

    pub(crate) const fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    /// Checks the whole and freezes it.
    ///
    /// # Errors
    ///
    /// Without nodes; when an edge or a condition names a node that isn't there, ends at a start node, leaves an
    /// endpoint, or leaves by an exit that its source lacks; when a run could begin nowhere. Warns about nodes that no
    /// run can reach and conditions that lack a branch, once there are no errors left.
    pub fn build(self) -> Result<ExecutableDiagram, Diagnostics> {
        let Self { id, name, outlines, nodes, edges, mut report, partial } = self;
        structure::check_nodes(&outlines, &nodes, &mut report);
        structure::check_edges(&outlines, &edges, &mut report);

        let mut incoming = vec![Vec::new(); outlines.len()];
        let mut outgoing = vec![Vec::new(); outlines.len()];
        for (i, edge) in edges.iter().enumerate() {
            if let (Some(from), Some(to)) =
                (outgoing.get_mut(edge.source.index()), incoming.get_mut(edge.target.index()))
            {
                from.push(EdgeIndex::new(i));
                to.push(EdgeIndex::new(i));
            }
        }
        let entries = structure::entries(&outlines, &incoming);
        if entries.is_empty() && !partial {
            structure::refuse_no_entry(&outlines, &mut report);
        }
        if !report.has_errors() {
            structure::warn_of_gaps(&outlines, &edges, &outgoing, &entries, &mut report);
        }
        let warnings = report.finish()?;
        Ok(ExecutableDiagram { id, name, nodes, edges, incoming, outgoing, entries, warnings })
    }
}

// === impl NodeDraft, EdgeDraft ===

impl NodeDraft {
    /// A node that says nothing about errors and has no place in a file.
    pub fn new(label: impl Into<String>, kind: NodeKind) -> Self {
        Self { label: label.into(), kind, on_error: OnError::Unset, location: Location::NOWHERE }
    }
}

impl EdgeDraft {
    /// An edge without label from and to the default handles.
    #[must_use]
    pub const fn new(source: NodeIndex, target: NodeIndex) -> Self {
        Self {
            id: None,
            source,
            source_handle: Handle::Default,
            target,
            target_handle: Handle::Default,
            label: None,
            content_type: ContentType::RawText,
            location: Location::NOWHERE,
        }
    }

    /// The same edge leaving by `handle`.
    #[must_use]
    pub fn leaving_by(self, handle: Handle) -> Self {
        Self { source_handle: handle, ..self }
    }
}
