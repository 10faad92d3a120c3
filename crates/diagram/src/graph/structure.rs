//! What must hold of nodes and edges together.

use super::{Edge, EdgeIndex, Handle, Node, NodeIndex};
use crate::{
    diagnostic::{Diagnostic, Location, Report},
    nodes::{ConditionKind, NodeKind},
};

/// What the rules need to know of a node; known even of nodes whose configuration is faulty.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) label: String,
    pub(super) role: Role,
    pub(super) location: Location,
}

/// The part a node plays in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Start,
    Endpoint,
    Condition,
    Other,
}

// === impl Role ===

impl Role {
    pub(super) const fn of(kind: &NodeKind) -> Self {
        match kind {
            NodeKind::Start(_) => Self::Start,
            NodeKind::Endpoint(_) => Self::Endpoint,
            NodeKind::Condition(_) => Self::Condition,
            NodeKind::CodeJob(_) => Self::Other,
        }
    }
}

/// Nodes by themselves: there are some, and conditions refer to nodes that exist.
pub(super) fn check_nodes(outlines: &[Outline], nodes: &[Node], report: &mut Report) {
    if outlines.is_empty() && !report.has_errors() {
        report.push(
            Diagnostic::error(Location::START, "the diagram has no nodes")
                .help("list at least one under `nodes:`, for instance `- {label: Start, type: start}`"),
        );
    }
    for node in nodes {
        if let NodeKind::Condition(condition) = &node.kind
            && let ConditionKind::CheckNodesExecuted { nodes: watched } = &condition.kind
        {
            for index in watched.iter().filter(|index| index.index() >= outlines.len()) {
                report.push(Diagnostic::error(
                    node.location,
                    format!("condition `{}` watches node {}, which isn't there", node.label, index.index()),
                ));
            }
        }
    }
}

/// Each edge by itself: both ends exist, and both nodes have such an exit or entrance.
pub(super) fn check_edges(outlines: &[Outline], edges: &[Edge], report: &mut Report) {
    for edge in edges {
        let (Some(source), Some(target)) =
            (outlines.get(edge.source.index()), outlines.get(edge.target.index()))
        else {
            report.push(Diagnostic::error(
                edge.location,
                format!("`{}` connects a node that isn't there", edge.id),
            ));
            continue;
        };
        if target.role == Role::Start {
            report.push(
                Diagnostic::error(
                    edge.location,
                    format!("a connection ends at the start node `{}`", target.label),
                )
                .help("a start node begins a run; connect to the node after it"),
            );
        }
        let label = &source.label;
        let handle = edge.source_handle;
        match source.role {
            Role::Endpoint => report.push(
                Diagnostic::error(edge.location, format!("a connection leaves the endpoint `{label}`"))
                    .help("an endpoint ends a path; connect the node before it"),
            ),
            Role::Condition if !matches!(handle, Handle::CondTrue | Handle::CondFalse) => report.push(
                Diagnostic::error(
                    edge.location,
                    format!("a connection leaves the condition `{label}` without saying by which branch"),
                )
                .help(format!("write `{label}[condtrue]` or `{label}[condfalse]`")),
            ),
            Role::Start | Role::Other if handle != Handle::Default => report.push(
                Diagnostic::error(edge.location, format!("`{label}` has no output `{handle}`"))
                    .help(format!("its only output is `default`: write `{label}`")),
            ),
            Role::Start | Role::Other | Role::Condition => {}
        }
    }
}

/// Where a run begins.
pub(super) fn entries(outlines: &[Outline], incoming: &[Vec<EdgeIndex>]) -> Vec<NodeIndex> {
    let positions = |wanted: &dyn Fn(&Outline, &[EdgeIndex]) -> bool| -> Vec<NodeIndex> {
        let all = outlines.iter().zip(incoming).enumerate();
        all.filter(|(_, (outline, incoming))| wanted(outline, incoming))
            .map(|(i, _)| NodeIndex::new(i))
            .collect()
    };
    let starts = positions(&|outline, _| outline.role == Role::Start);
    if starts.is_empty() { positions(&|_, incoming| incoming.is_empty()) } else { starts }
}

/// There are nodes, but nowhere to begin.
pub(super) fn refuse_no_entry(outlines: &[Outline], report: &mut Report) {
    if let Some(first) = outlines.first() {
        report.push(
            Diagnostic::error(first.location, "no run can begin: every node waits for another one")
                .help("add a node of type `start` and connect it to the node that comes first"),
        );
    }
}

/// What a run can't reach, and branches that lead nowhere.
pub(super) fn warn_of_gaps(
    outlines: &[Outline],
    edges: &[Edge],
    outgoing: &[Vec<EdgeIndex>],
    entries: &[NodeIndex],
    report: &mut Report,
) {
    let leaving =
        |node: usize| outgoing.get(node).into_iter().flatten().filter_map(|edge| edges.get(edge.index()));

    let mut reached = vec![false; outlines.len()];
    let mut waiting: Vec<usize> = entries.iter().map(|entry| entry.index()).collect();
    while let Some(node) = waiting.pop() {
        match reached.get_mut(node) {
            Some(reached) if !*reached => *reached = true,
            _ => continue,
        }
        waiting.extend(leaving(node).map(|edge| edge.target.index()));
    }
    for (i, (outline, reached)) in outlines.iter().zip(reached).enumerate() {
        let Outline { label, role, location } = outline;
        if !reached {
            report.push(
                Diagnostic::warning(*location, format!("no run can reach `{label}`"))
                    .help("connect it to a node that runs; as it is, it will be skipped"),
            );
        }
        if *role == Role::Condition {
            for branch in [Handle::CondTrue, Handle::CondFalse] {
                if !leaving(i).any(|edge| edge.source_handle == branch) {
                    report.push(
                        Diagnostic::warning(
                            *location,
                            format!("nothing is connected to the `{branch}` branch of `{label}`"),
                        )
                        .help("the path ends there when the condition decides so"),
                    );
                }
            }
        }
    }
}
