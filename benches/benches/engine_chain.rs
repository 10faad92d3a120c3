//! What the engine costs per node: a chain of conditions that all hold, with an observer that does nothing.
//!
//! The baseline evaluates the same expression as often, in a bare loop: the difference is scheduling, inputs, outputs
//! with their JSON, and three callbacks' worth of reporting. Time per element is time per node.

use std::{hint::black_box, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use core_events::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId, ExecutionStart,
    LogLine, NodeComplete, NodeError, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse, StatusChange,
    ports::{ExecutionObserver, SystemClock},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diagram::{
    ConditionNode, EdgeDraft, EndpointNode, ExecutableDiagram, Handle, NodeDraft, NodeKind, StartNode,
};
use engine::{AbortSignal, Engine, EngineOptions, Expression, RunRequest};
use serde_json::{Map, Value, json};

const EXPRESSION: &str = "default.count > 3 and default.name == 'chain'";

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl ExecutionObserver for Nobody {
    async fn on_execution_start(&self, _: &CallbackContext, _: &ExecutionStart) {}
    async fn on_node_start(&self, _: &CallbackContext, _: &NodeStart) {}
    async fn on_node_complete(&self, _: &CallbackContext, _: &NodeComplete) {}
    async fn on_node_error(&self, _: &CallbackContext, _: &NodeError) {}
    async fn on_execution_complete(&self, _: &CallbackContext, _: &ExecutionComplete) {}
    async fn on_execution_error(&self, _: &CallbackContext, _: &ExecutionFailure) {}
    async fn on_node_skipped(&self, _: &CallbackContext, _: &NodeSkipped) {}
    async fn on_status_changed(&self, _: &CallbackContext, _: &StatusChange) {}
    async fn on_execution_aborted(&self, _: &CallbackContext, _: &ExecutionAborted) {}
    async fn on_interactive_prompt(&self, _: &CallbackContext, _: &Prompt) {}
    async fn on_interactive_response(&self, _: &CallbackContext, _: &PromptResponse) {}
    async fn on_log(&self, _: &CallbackContext, _: &LogLine) {}
    async fn on_progress(&self, _: &CallbackContext, _: &Progress) {}
}

/// A start node, `nodes` conditions, an endpoint.
fn chain(nodes: u64) -> Result<Arc<ExecutableDiagram>, diagram::Diagnostics> {
    let mut builder = ExecutableDiagram::builder();
    let mut last = builder.node(NodeDraft::new("Start", NodeKind::Start(StartNode::default())));
    let mut exit = Handle::Default;
    for i in 0..nodes {
        let kind = NodeKind::Condition(ConditionNode::custom(EXPRESSION));
        let node = builder.node(NodeDraft::new(format!("Check {i}"), kind));
        builder.edge(EdgeDraft::new(last, node).leaving_by(exit));
        (last, exit) = (node, Handle::CondTrue);
    }
    let end = builder.node(NodeDraft::new("End", NodeKind::Endpoint(EndpointNode::default())));
    builder.edge(EdgeDraft::new(last, end).leaving_by(exit));
    builder.build().map(Arc::new)
}

fn variables() -> Map<String, Value> {
    Map::from_iter([("count".to_owned(), json!(4)), ("name".to_owned(), json!("chain"))])
}

fn request(diagram: &Arc<ExecutableDiagram>) -> RunRequest {
    let execution = ExecutionId::random();
    RunRequest {
        root: execution.clone(),
        execution,
        parent: None,
        diagram: Arc::clone(diagram),
        variables: variables(),
        base_dir: PathBuf::from("."),
        timeout: None,
        abort: AbortSignal::never(),
        observer: Arc::new(Nobody),
        clock: Arc::new(SystemClock),
    }
}

#[expect(clippy::expect_used, reason = "a bench that can't be set up has nothing to measure")]
fn engine_chain(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let engine = Engine::new(EngineOptions::default());
    let expression = Expression::parse(EXPRESSION).expect("an expression");
    let inputs = json!({"default": variables()});

    let mut group = criterion.benchmark_group("engine_chain");
    for nodes in [1_000, 10_000] {
        let diagram = chain(nodes).expect("a diagram");
        group.throughput(Throughput::Elements(nodes));
        group.bench_with_input(BenchmarkId::new("baseline", nodes), &nodes, |bencher, &nodes| {
            bencher.iter(|| {
                for _ in 0..nodes {
                    let held = expression.evaluate(&|name| black_box(&inputs).get(name));
                    assert_eq!(black_box(held), Ok(true));
                }
            });
        });
        group.bench_with_input(BenchmarkId::new("engine", nodes), &diagram, |bencher, diagram| {
            bencher.to_async(&runtime).iter(|| async {
                let outcome = engine.run(request(diagram)).await;
                assert_eq!(outcome.status.as_str(), "COMPLETED");
                outcome
            });
        });
    }
    group.finish();
}

criterion_group!(benches, engine_chain);
criterion_main!(benches);
