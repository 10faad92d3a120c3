//! `condition`: chooses between two branches.
//!
//! - `custom`: an [`Expression`] over the inputs and the execution's variables, which win. Its truth decides.
//! - `check_nodes_executed`: true when each of the nodes it names has run at least once.
//!
//! The output is the map of its inputs, handed on by `condtrue` or `condfalse`. An expression that can't be evaluated
//! fails the node, and its message is handed on by `condfalse`, unless the node says `on_error: fail`.
//!
//! `expose_index_as` names an execution variable that receives how often this node ran before: 0, 1, 2, …

use std::{collections::HashMap, sync::Arc};

use diagram::{ConditionKind, ConditionNode, NodeIndex};
use serde_json::Value;

use super::Execution;
use crate::{
    expression::{Expression, ExpressionError},
    inputs,
    run::Outcome,
    schedule::Exit,
};

/// The parsed expressions of a run, kept from a condition's second run on: most run once, and a long diagram would keep
/// thousands for nothing.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    parsed: HashMap<NodeIndex, Result<Expression, ExpressionError>>,
}

pub(super) fn decide(condition: &ConditionNode, execution: Execution<'_>) -> Outcome {
    let Execution { index, iteration, inputs, schedule, conditions, variables, .. } = execution;
    if let Some(name) = &condition.expose_index_as {
        Arc::make_mut(variables).insert(name.clone(), Value::from(iteration.saturating_sub(1)));
    }
    let decision = match &condition.kind {
        ConditionKind::Custom { expression, .. } => {
            let fresh;
            let parsed = if iteration == 1 {
                fresh = Expression::parse(expression);
                &fresh
            } else {
                conditions.parsed.entry(index).or_insert_with(|| Expression::parse(expression))
            };
            let lookup = |name: &str| variables.get(name).or_else(|| inputs.get(name).map(|value| &**value));
            parsed.as_ref().map_err(ExpressionError::clone).and_then(|parsed| parsed.evaluate(&lookup))
        }
        ConditionKind::CheckNodesExecuted { nodes } => {
            Ok(nodes.iter().all(|&node| schedule.times_ended(node) > 0))
        }
        _ => return Err("this kind of condition can't be evaluated yet".to_owned()),
    };
    match decision {
        Ok(decision) => Ok((Value::Object(inputs::to_map(&inputs)), Exit::Branch(decision))),
        Err(error) => Err(format!("the expression failed at {error}")),
    }
}
