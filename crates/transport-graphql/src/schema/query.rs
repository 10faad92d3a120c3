//! Queries.

use std::sync::Arc;

use async_graphql::{Object, Result};
use core_events::{
    ExecutionId, ExecutionStatus,
    ports::{ListQuery, LookupError, RunSummary},
};
use serde_json::Value;

use super::{
    Ports, Status, coded,
    executions::{ExecutionFilterInput, ExecutionStateType},
    json, lookup,
};

/// The longest list.
const MAX_LIMIT: usize = 1_000;

/// Runs that a list looks at, at most.
const MAX_SCANNED: usize = 10_000;

/// Runs that a list looks at in one go.
const PAGE: usize = 500;

/// Queries.
#[derive(Debug)]
pub(crate) struct Query(pub(super) Arc<Ports>);

/// Queries.
#[Object(rename_args = "snake_case")]
impl Query {
    /// One execution; null if there is none.
    async fn get_execution(&self, execution_id: String) -> Result<Option<ExecutionStateType>> {
        match ExecutionId::parse(&execution_id) {
            Ok(id) => ExecutionStateType::find(&self.0, &id).await,
            // No execution has such an id.
            Err(_) => Ok(None),
        }
    }

    /// Root runs, newest first: at most `limit` (100 unless told, 1000 at most) behind the first `offset`.
    #[graphql(complexity = "list_cost(limit, child_complexity)")]
    async fn list_executions(
        &self,
        filter: Option<ExecutionFilterInput>,
        limit: Option<f64>,
        offset: Option<f64>,
    ) -> Result<Vec<ExecutionStateType>> {
        let limit = limit.map_or(Ok(100), |n| whole("limit", n, MAX_LIMIT))?;
        let offset = offset.map_or(Ok(0), |n| whole("offset", n, MAX_SCANNED))?;
        let found = self.find_runs(&filter.unwrap_or_default(), offset, limit).await?;
        Ok(found.into_iter().map(|run| ExecutionStateType::of_summary(&self.0, run)).collect())
    }

    /// The nodes of an execution in the order in which they first appeared.
    async fn get_execution_order(&self, execution_id: String) -> Result<Value> {
        let id = match ExecutionId::parse(&execution_id) {
            Ok(id) => id,
            Err(error) => return Ok(json::no_execution_order(&execution_id, &error.to_string())),
        };
        match self.0.executions.get(&id).await {
            Ok(snapshot) => Ok(json::execution_order(&snapshot.state)),
            Err(error @ (LookupError::Unknown(_) | LookupError::Deleted(_))) => {
                Ok(json::no_execution_order(&execution_id, &error.to_string()))
            }
            Err(error) => Err(lookup(&error)),
        }
    }

    /// How the process is.
    async fn health_check(&self) -> Value {
        json::health(&self.0.system.health(), self.0.system.info().version)
    }

    /// What the process is.
    async fn get_system_info(&self) -> Value {
        json::system_info(&self.0.system.info())
    }

    /// The newest run that a terminal shows; an empty object if there is none.
    async fn get_active_cli_session(&self) -> Value {
        json::cli_session(self.0.cli_sessions.active().as_ref())
    }

    /// One diagram of the base directory, with its text and its model.
    async fn get_diagram(&self, diagram_id: String) -> Result<Value> {
        use core_events::ports::DiagramError;
        self.0.diagrams.get(&diagram_id).await.map(|file| json::diagram(&file)).map_err(|error| {
            let code = match error {
                DiagramError::Unknown(_) => "NOT_FOUND",
                DiagramError::Unreadable { .. } => "UNAVAILABLE",
            };
            coded(code, error.to_string())
        })
    }

    /// The diagrams of the base directory, by id: at most `limit` (100 unless told) behind the first `offset`.
    #[graphql(complexity = "10")]
    async fn list_diagrams(&self, limit: Option<f64>, offset: Option<f64>) -> Result<Vec<Value>> {
        let limit = limit.map_or(Ok(100), |n| whole("limit", n, MAX_LIMIT))?;
        let offset = offset.map_or(Ok(0), |n| whole("offset", n, usize::MAX))?;
        let all = self.0.diagrams.list().await.map_err(|error| coded("UNAVAILABLE", error.to_string()))?;
        Ok(all.iter().skip(offset).take(limit).map(json::diagram_entry).collect())
    }
}

impl Query {
    /// Pages through the newest runs: the port knows a status and a place to go on from, and nothing else to filter by.
    async fn find_runs(
        &self,
        filter: &ExecutionFilterInput,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<RunSummary>> {
        let wanted = |run: &RunSummary| {
            filter.diagram_id.as_ref().is_none_or(|id| run.diagram_id.as_deref() == Some(id.as_str()))
                && filter.started_after.is_none_or(|bound| run.started_at.is_some_and(|at| at > bound.0))
                && filter.started_before.is_none_or(|bound| run.started_at.is_some_and(|at| at < bound.0))
        };
        let status = filter.status.map(Status::as_str).map(ExecutionStatus::from);
        let (mut found, mut skipped, mut scanned) = (Vec::new(), 0, 0);
        let mut before = None;
        while found.len() < limit {
            let query =
                ListQuery { status: status.clone(), before: before.take(), limit: PAGE, unfinished: false };
            let page = self.0.executions.list(&query).await;
            let page = page.map_err(|error| coded("UNAVAILABLE", error.to_string()))?;
            let is_last = page.len() < PAGE;
            scanned += page.len();
            before = page.last().map(|run| run.execution_id.clone());
            for run in page.into_iter().filter(wanted) {
                if skipped < offset {
                    skipped += 1;
                } else if found.len() < limit {
                    found.push(run);
                }
            }
            if is_last {
                break;
            }
            if scanned >= MAX_SCANNED && found.len() < limit {
                let text =
                    format!("a list looks at no more than {MAX_SCANNED} runs; ask for a status or a time");
                return Err(coded("TOO_MANY", text));
            }
        }
        Ok(found)
    }
}

/// A long list of much costs more than a short one: each run may have to be folded.
fn list_cost(limit: Option<f64>, each: usize) -> usize {
    let limit = limit.map_or(100, |limit| limit.clamp(0.0, MAX_LIMIT as f64) as usize);
    limit.div_ceil(10).max(1).saturating_mul(each)
}

/// The original has numbers here that may have fractions; a fraction of a run there is not.
fn whole(name: &str, number: f64, max: usize) -> Result<usize> {
    if number.fract() == 0.0 && number >= 0.0 && number <= max as f64 {
        Ok(number as usize)
    } else {
        Err(coded("BAD_USER_INPUT", format!("`{name}` is a whole number from 0 to {max}")))
    }
}
