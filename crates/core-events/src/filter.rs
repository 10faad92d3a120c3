//! Which records a reader wants.

use std::collections::BTreeSet;

use crate::{EventType, ExecutionId, NodeId, Record};

/// A conjunction: a record passes if it is in every set that is given. An empty filter passes all.
///
/// Ordered sets, so that equal filters are equal and share a view (I3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Only these types.
    pub types: Option<BTreeSet<EventType>>,
    /// Only events about these nodes.
    pub nodes: Option<BTreeSet<NodeId>>,
    /// Only events of these executions.
    pub executions: Option<BTreeSet<ExecutionId>>,
}

impl Filter {
    /// Whether `record` passes.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        self.matches_parts(&record.execution, &record.event_type, record.node.as_ref())
    }

    /// Whether an event of this execution, type and node passes.
    #[must_use]
    pub fn matches_parts(
        &self,
        execution: &ExecutionId,
        event_type: &EventType,
        node: Option<&NodeId>,
    ) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(event_type))
            && self.nodes.as_ref().is_none_or(|nodes| node.is_some_and(|node| nodes.contains(node)))
            && self.executions.as_ref().is_none_or(|executions| executions.contains(execution))
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.types.is_none() && self.nodes.is_none() && self.executions.is_none()
    }
}
