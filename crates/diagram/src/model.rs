//! What every syntax is turned into: declared nodes and the connections between them.

use std::{collections::HashMap, sync::Arc};

use crate::{
    diagnostic::{Diagnostic, Location, Report},
    graph::{ContentType, Handle, NodeIndex},
    yaml::Mapping,
};

/// A diagram as its file declares it: syntax understood, references resolved, types not yet looked at.
#[derive(Debug, Clone)]
pub struct Diagram {
    pub(crate) file: Arc<str>,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) nodes: Vec<NodeDeclaration>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// One declared node.
#[derive(Debug, Clone)]
pub(crate) struct NodeDeclaration {
    pub(crate) label: String,
    /// None when the file gives none that can be used, which has been reported.
    pub(crate) type_name: Option<TypeName>,
    pub(crate) properties: Mapping,
    pub(crate) location: Location,
}

/// A type as the file names it, in lower case.
#[derive(Debug, Clone)]
pub(crate) struct TypeName {
    pub(crate) text: String,
    pub(crate) at: Location,
}

/// One declared connection; both ends exist.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) source: usize,
    pub(crate) source_handle: Handle,
    pub(crate) target: usize,
    pub(crate) target_handle: Handle,
    pub(crate) label: Option<String>,
    pub(crate) content_type: ContentType,
    pub(crate) location: Location,
}

/// The names of a diagram's nodes.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    nodes: &'a [NodeDeclaration],
    by_label: HashMap<&'a str, Vec<usize>>,
}

// === impl Diagram ===

impl Diagram {
    /// A diagram of which nothing could be read.
    pub(crate) fn empty(file: &str) -> Self {
        Self {
            file: file.into(),
            id: None,
            name: None,
            nodes: Vec::new(),
            connections: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The file, as the caller named it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The labels of the nodes, in the order of the file.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.label.as_str())
    }

    /// What reading found odd but not wrong. [`crate::compile`] repeats it among its own.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

// === impl Names ===

impl<'a> Names<'a> {
    pub(crate) fn new(nodes: &'a [NodeDeclaration]) -> Self {
        let mut by_label: HashMap<&str, Vec<usize>> = HashMap::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            by_label.entry(&node.label).or_default().push(i);
        }
        Self { nodes, by_label }
    }

    /// The nodes with this label.
    pub(crate) fn labelled(&self, label: &str) -> &[usize] {
        self.by_label.get(label).map_or(&[], Vec::as_slice)
    }

    /// The position that an id `node_<n>` names.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        let position = id.strip_prefix("node_")?.parse().ok()?;
        (position < self.nodes.len()).then_some(position)
    }

    /// The label most like `label`.
    pub(crate) fn nearest(&self, label: &str, report: &mut Report) -> Option<&'a str> {
        report.nearest(label, self.nodes.iter().map(|node| node.label.as_str()))
    }

    /// The only one of `positions`, which have this label; several are reported.
    pub(crate) fn only(
        &self,
        label: &str,
        positions: &[usize],
        at: Location,
        report: &mut Report,
    ) -> Option<usize> {
        if let [only] = positions {
            return Some(*only);
        }
        let places: Vec<String> = positions
            .iter()
            .take(5)
            .filter_map(|i| self.nodes.get(*i))
            .map(|node| node.location.to_string())
            .collect();
        report.push(
            Diagnostic::error(at, format!("`{label}` is the label of {} nodes", positions.len()))
                .help(format!("rename all but one of those at {}", places.join(", "))),
        );
        None
    }

    /// The node that a condition watches: named by label, id, or position.
    pub(crate) fn watched(&self, name: &str, at: Location, report: &mut Report) -> Option<NodeIndex> {
        let name = name.trim();
        let labelled = self.labelled(name);
        if !labelled.is_empty() {
            return self.only(name, labelled, at, report).map(NodeIndex::new);
        }
        let position = name.parse().ok().filter(|position| *position < self.nodes.len());
        if let Some(position) = position.or_else(|| self.position(name)) {
            return Some(NodeIndex::new(position));
        }
        let help = match self.nearest(name, report) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name nodes by label, by id (`node_0`), or by position (0)".to_owned(),
        };
        report.push(Diagnostic::error(at, format!("there is no node `{name}`")).help(help));
        None
    }
}
