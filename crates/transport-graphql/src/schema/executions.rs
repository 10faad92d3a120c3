//! An execution as an object.

use std::sync::Arc;

use async_graphql::{ID, InputObject, Object, Result, SimpleObject};
use core_events::{
    ExecutionId, ExecutionState, NodeState, TokenUsage,
    ports::{LookupError, RunSummary},
};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{Ports, Status, lookup, scalars::DateTime};

/// Which executions to list.
#[derive(InputObject, Debug, Default)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct ExecutionFilterInput {
    /// Only runs of this diagram.
    pub(crate) diagram_id: Option<ID>,
    /// Only runs that began later.
    pub(crate) started_after: Option<DateTime>,
    /// Only runs that began earlier.
    pub(crate) started_before: Option<DateTime>,
    /// Only runs with this status.
    pub(crate) status: Option<Status>,
}

/// Tokens that language models took and gave.
#[derive(SimpleObject, Debug)]
#[graphql(name = "LLMUsageType", rename_fields = "snake_case")]
pub(crate) struct LlmUsageType {
    /// Tokens of the prompts.
    input: f64,
    /// Tokens of the answers.
    output: f64,
    /// Tokens of the prompts that the service had in its cache.
    cached: Option<f64>,
    /// All tokens, as the service counts them.
    total: Option<f64>,
}

/// One execution. Of a list, what its summary does not have is looked up only where it is selected.
#[derive(Debug)]
pub(crate) struct ExecutionStateType {
    ports: Arc<Ports>,
    summary: RunSummary,
    state: OnceCell<Arc<ExecutionState>>,
}

// === impl LlmUsageType ===

impl LlmUsageType {
    fn of(usage: &TokenUsage) -> Option<Self> {
        let number = |n: u64| n as f64;
        (*usage != TokenUsage::default()).then(|| Self {
            input: number(usage.input),
            output: number(usage.output),
            cached: usage.cached.map(number),
            total: usage.total.map(number),
        })
    }
}

// === impl ExecutionStateType ===

impl ExecutionStateType {
    /// The execution, or `None` if there is none.
    pub(crate) async fn find(ports: &Arc<Ports>, id: &ExecutionId) -> Result<Option<Self>> {
        match ports.executions.get(id).await {
            Ok(snapshot) => Ok(Some(Self::of_state(ports, snapshot.state))),
            Err(LookupError::Unknown(_) | LookupError::Deleted(_)) => Ok(None),
            Err(error) => Err(lookup(&error)),
        }
    }

    pub(crate) fn of_summary(ports: &Arc<Ports>, summary: RunSummary) -> Self {
        Self { ports: Arc::clone(ports), summary, state: OnceCell::new() }
    }

    fn of_state(ports: &Arc<Ports>, state: ExecutionState) -> Self {
        let nodes = state.counts().into_iter().map(|(status, n)| (status.to_owned(), n)).collect();
        let summary = RunSummary {
            execution_id: state.execution_id.clone(),
            status: state.status.clone(),
            diagram_id: state.diagram_id.clone(),
            diagram_name: state.diagram_name.clone(),
            started_at: state.started_at,
            ended_at: state.ended_at,
            error: state.error.clone(),
            nodes,
            failed_nodes: state.failed_nodes.len(),
            events: state.last_seq.unwrap_or_default(),
            source: None,
            pinned: false,
        };
        Self { ports: Arc::clone(ports), summary, state: OnceCell::new_with(Some(Arc::new(state))) }
    }

    async fn state(&self) -> Result<&ExecutionState> {
        let load = async || {
            let snapshot = self.ports.executions.get(&self.summary.execution_id).await;
            snapshot.map(|snapshot| Arc::new(snapshot.state)).map_err(|error| lookup(&error))
        };
        self.state.get_or_try_init(load).await.map(|state| &**state)
    }

    async fn per_node(&self, value: impl Fn(&NodeState) -> Option<Value>) -> Result<Value> {
        let nodes = &self.state().await?.nodes;
        let entries = nodes.iter().filter_map(|(id, node)| Some((id.to_string(), value(node)?)));
        Ok(Value::Object(entries.collect::<Map<_, _>>()))
    }
}

/// An execution.
#[Object(rename_fields = "snake_case")]
impl ExecutionStateType {
    /// Its id.
    async fn id(&self) -> ID {
        ID(self.summary.execution_id.to_string())
    }

    /// Where it stands.
    async fn status(&self) -> Status {
        Status::from(&self.summary.status)
    }

    /// The diagram's id.
    async fn diagram_id(&self) -> Option<ID> {
        self.summary.diagram_id.clone().map(ID)
    }

    /// When it began.
    async fn started_at(&self) -> Option<String> {
        self.summary.started_at.map(|time| time.to_string())
    }

    /// When it ended.
    async fn ended_at(&self) -> Option<String> {
        self.summary.ended_at.map(|time| time.to_string())
    }

    /// Why it failed.
    async fn error(&self) -> Option<&str> {
        self.summary.error.as_deref()
    }

    /// Tokens used by all its nodes, if any were.
    async fn llm_usage(&self) -> Result<Option<LlmUsageType>> {
        Ok(LlmUsageType::of(&self.state().await?.token_usage))
    }

    /// Whether it is under way.
    async fn is_active(&self) -> Option<bool> {
        Some(!self.summary.status.is_terminal())
    }

    /// Nodes that ran, in the order in which they first appeared.
    async fn executed_nodes(&self) -> Result<Vec<String>> {
        let nodes = &self.state().await?.nodes;
        Ok(nodes.iter().filter(|(_, node)| node.iterations > 0).map(|(id, _)| id.to_string()).collect())
    }

    /// The nodes, by id.
    async fn node_states(&self) -> Result<Value> {
        self.per_node(|node| serde_json::to_value(node).ok()).await
    }

    /// What the nodes produced, by id.
    async fn node_outputs(&self) -> Result<Value> {
        self.per_node(|node| node.output.clone()).await
    }

    /// Its variables. Always null: they are not kept.
    async fn variables(&self) -> Option<Value> {
        None
    }

    /// How often each node ran, by id.
    async fn exec_counts(&self) -> Result<Value> {
        self.per_node(|node| (node.iterations > 0).then(|| node.iterations.into())).await
    }

    /// Measurements. Always null: none are taken.
    async fn metrics(&self) -> Option<Value> {
        None
    }
}
