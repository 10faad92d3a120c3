//! What observing costs: a chain of 1,000 condition nodes, watched by nobody, by the legacy path, by the unified path, by both.
//! Read them as ratios to `none`.

#![allow(clippy::unwrap_used, reason = "a set-up that fails is a bench that fails")]

use std::{path::PathBuf, sync::Arc};

use core_events::{
    ExecutionId,
    ports::{EventLog, ExecutionObserver, MessageRouter, SystemClock},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diagram::{ConditionNode, EdgeDraft, ExecutableDiagram, Handle, NodeDraft, NodeKind, StartNode};
use engine::{AbortSignal, Engine, EngineOptions, RunRequest};
use observer_unified::UnifiedEventObserver;
use router::{MemoryLog, MemoryLogOptions, Router, RouterOptions};
use server::CompositeObserver;

const NODES: usize = 1_000;

fn chain() -> Arc<ExecutableDiagram> {
    let mut builder = ExecutableDiagram::builder();
    let mut last = builder.node(NodeDraft::new("Start", NodeKind::Start(StartNode::default())));
    for n in 0..NODES {
        let node = builder
            .node(NodeDraft::new(format!("C{n}"), NodeKind::Condition(ConditionNode::custom("1 < 2"))));
        let edge = EdgeDraft::new(last, node);
        builder.edge(if n == 0 { edge } else { edge.leaving_by(Handle::CondTrue) });
        last = node;
    }
    Arc::new(builder.build().unwrap())
}

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(MemoryLogOptions::default()))
}

fn router() -> Arc<dyn MessageRouter> {
    Arc::new(Router::new(log(), RouterOptions::default()))
}

fn unified() -> Vec<Arc<dyn ExecutionObserver>> {
    vec![Arc::new(UnifiedEventObserver::new(router()))]
}

type Observers = fn() -> Vec<Arc<dyn ExecutionObserver>>;

#[cfg(feature = "legacy")]
mod legacy {
    use observer_legacy::{EventPublishingObserver, MonitoringStreamObserver, StateStoreObserver};

    use super::{Arc, ExecutionObserver, Observers, log, router, unified};

    /// The two wire observers of the original.
    fn wire() -> Vec<Arc<dyn ExecutionObserver>> {
        vec![Arc::new(MonitoringStreamObserver::new()), Arc::new(EventPublishingObserver::new(router()))]
    }

    fn legacy() -> Vec<Arc<dyn ExecutionObserver>> {
        let mut observers = wire();
        observers.push(Arc::new(StateStoreObserver::new(log())));
        observers
    }

    fn both() -> Vec<Arc<dyn ExecutionObserver>> {
        let mut observers = unified();
        observers.extend(wire());
        observers
    }

    pub(super) const PATHS: [(&str, Observers); 2] = [("legacy", legacy), ("both", both)];
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let diagram = chain();
    let engine = Engine::new(EngineOptions::default());
    let mut group = criterion.benchmark_group("observing");
    group.throughput(Throughput::Elements(NODES as u64));
    let paths: [(&str, Observers); 2] = [("none", Vec::new), ("unified", unified)];
    let paths = paths.into_iter();
    #[cfg(feature = "legacy")]
    let paths = paths.chain(legacy::PATHS);
    for (name, observers) in paths {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let observer = Arc::new(CompositeObserver::new(observers()));
            bencher.to_async(&runtime).iter(|| {
                let execution = ExecutionId::random();
                engine.run(RunRequest {
                    execution: execution.clone(),
                    parent: None,
                    root: execution,
                    diagram: Arc::clone(&diagram),
                    variables: serde_json::Map::new(),
                    base_dir: PathBuf::from("."),
                    timeout: None,
                    abort: AbortSignal::never(),
                    observer: Arc::clone(&observer) as _,
                    clock: Arc::new(SystemClock),
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
