//! The node types: their configuration, and how it is read from properties.

mod code_job;
mod condition;
mod endpoint;
mod fields;
mod start;

pub use code_job::{CodeJobNode, CodeSource, DEFAULT_TIMEOUT, Language};
pub use condition::{ConditionKind, ConditionNode};
pub use endpoint::EndpointNode;
pub use start::{StartNode, TriggerMode};

pub(crate) use fields::Fields;

use crate::{graph::Handle, model::Names};

/// A node's type and configuration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeKind {
    /// Begins a run.
    Start(StartNode),
    /// Ends a path and keeps its result.
    Endpoint(EndpointNode),
    /// Runs a program.
    CodeJob(CodeJobNode),
    /// Chooses between two branches.
    Condition(ConditionNode),
}

/// Every type that files of the format use, whether supported or not.
pub(crate) const KNOWN_TYPES: [&str; 18] = [
    "start",
    "endpoint",
    "code_job",
    "condition",
    "person_job",
    "api_job",
    "db",
    "user_response",
    "hook",
    "template_job",
    "json_schema_validator",
    "typescript_ast",
    "sub_diagram",
    "integrated_api",
    "ir_builder",
    "diff_patch",
    "notion",
    "person_batch_job",
];

/// The types of nodes that can run, as files name them.
pub const SUPPORTED_TYPES: [&str; 4] = ["start", "endpoint", "code_job", "condition"];

impl NodeKind {
    /// The type as files and events name it.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Endpoint(_) => "endpoint",
            Self::CodeJob(_) => "code_job",
            Self::Condition(_) => "condition",
        }
    }
}

/// Reads the configuration of a node of one of the [`SUPPORTED_TYPES`]; none for another type. Faults are reported,
/// and what they spoil is left at its default.
pub(crate) fn read(type_name: &str, fields: &mut Fields<'_>, names: &Names<'_>) -> Option<NodeKind> {
    Some(match type_name {
        "start" => NodeKind::Start(start::read(fields)),
        "endpoint" => NodeKind::Endpoint(endpoint::read(fields)),
        "code_job" => NodeKind::CodeJob(code_job::read(fields)),
        "condition" => NodeKind::Condition(condition::read(fields, names)),
        _ => return None,
    })
}

/// The entrances of nodes of this type; all of them for a type we don't know.
pub(crate) fn inputs(type_name: &str) -> &'static [Handle] {
    match type_name {
        "start" => &[],
        "person_job" | "person_batch_job" => &[Handle::First, Handle::Default],
        _ => &[Handle::Default],
    }
}

/// The exits of nodes of this type.
pub(crate) fn outputs(type_name: &str) -> &'static [Handle] {
    match type_name {
        "endpoint" => &[],
        "condition" => &[Handle::CondTrue, Handle::CondFalse],
        _ => &[Handle::Default],
    }
}
