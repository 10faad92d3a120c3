//! What the nodes of each type do. One file per type.

mod code_job;
mod condition;
mod endpoint;
mod start;

use std::{path::Path, sync::Arc};

use diagram::{Node, NodeIndex, NodeKind};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::{
    inputs::Inputs,
    process::{Groups, Guardian},
    reporter::NodeLog,
    run::Outcome,
    schedule::{Exit, Schedule},
};

pub(crate) use self::condition::Conditions;

/// What a run of a node may use. It borrows from the run; what waits must take its own.
pub(crate) struct Execution<'a> {
    pub(crate) node: &'a Node,
    pub(crate) index: NodeIndex,
    pub(crate) iteration: u32,
    pub(crate) inputs: Inputs,
    pub(crate) schedule: &'a Schedule,
    pub(crate) conditions: &'a mut Conditions,
    pub(crate) variables: &'a mut Arc<Map<String, Value>>,
    pub(crate) base_dir: &'a Arc<Path>,
    pub(crate) guardian: &'a Arc<Guardian>,
    pub(crate) groups: &'a Groups,
    pub(crate) log: NodeLog,
}

/// A run of a node.
pub(crate) enum Work {
    /// It needed no waiting.
    Done(Outcome),
    /// Dropping it stops the node.
    Waits(BoxFuture<'static, Outcome>),
}

pub(crate) fn begin(execution: Execution<'_>) -> Work {
    match &execution.node.kind {
        NodeKind::Start(start) => Work::Done(Ok((start::output(start, execution.variables), Exit::Default))),
        NodeKind::Endpoint(endpoint) => endpoint::begin(endpoint, &execution),
        NodeKind::Condition(condition) => Work::Done(condition::decide(condition, execution)),
        NodeKind::CodeJob(job) => code_job::begin(job, execution),
        other => Work::Done(Err(format!("node type `{}` can't be run yet", other.type_name()))),
    }
}
