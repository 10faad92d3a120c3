//! Diagrams: from the text of a file to a graph that an engine can run.
//!
//! Two steps. A *syntax* turns text into a [`Diagram`], one model for all formats ([`parse_light`] reads
//! `*.light.yaml`). [`compile`] checks that model and makes an [`ExecutableDiagram`] of it: typed nodes, edges
//! between them, adjacency. [`load_light`] does both and reports the errors of both at once.
//!
//! Nothing here reads or writes files: paths inside a diagram stay text.
//!
//! # Errors
//!
//! Every fault is a [`Diagnostic`] with file, line, column, and what would be right (I15). A file's faults are
//! reported together, sorted by place. Bad input never panics; its size, depth and expansion are bounded
//! ([`MAX_TEXT_BYTES`], [`MAX_DEPTH`]).

mod compile;
mod diagnostic;
mod graph;
mod light;
mod model;
mod nearest;
mod nodes;
mod yaml;

pub use compile::compile;
pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity};
pub use graph::{
    ContentType, Edge, EdgeDraft, EdgeIndex, ExecutableDiagram, GraphBuilder, Handle, Node, NodeDraft,
    NodeIndex, OnError,
};
pub use light::{light_to_json, load_light, parse_light};
pub use model::Diagram;
pub use nodes::{
    CodeJobNode, CodeSource, ConditionKind, ConditionNode, DEFAULT_TIMEOUT, EndpointNode, Language, NodeKind,
    SUPPORTED_TYPES, StartNode, TriggerMode,
};
pub use yaml::{MAX_DEPTH, MAX_TEXT_BYTES};
