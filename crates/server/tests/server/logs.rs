//! Log lines of runs that say the same things at the same time.

use std::sync::Arc;

use core_events::{
    Cursor, Envelope, Event, ExecutionId,
    ports::{DiagramSource, Executions, MonitoringPath, StartExecution},
};
use server::{CaptureLayer, Config};
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{ENDLESS, Stream, config, run, start};

const NODES: usize = 3;
const LINES: usize = 20;
const RUNS: usize = 10;

/// Nodes side by side that all say the same.
fn diagram() -> String {
    let mut text = String::from("version: light\nnodes:\n  - {label: Start, type: start}\n");
    let code = format!("for i in $(seq {LINES}); do echo the same words; done");
    for node in 0..NODES {
        text.push_str(&format!(
            "  - {{label: N{node}, type: code_job, props: {{language: bash, code: \"{code}\"}}}}\n"
        ));
    }
    text.push_str("connections:\n");
    for node in 0..NODES {
        text.push_str(&format!("  - {{from: Start, to: N{node}}}\n"));
    }
    text
}

async fn begin(executions: &dyn Executions, path: MonitoringPath) -> ExecutionId {
    let diagram = DiagramSource { text: diagram(), name: "same".to_owned(), base_dir: None };
    let request = StartExecution { diagram, inputs: serde_json::Map::new(), timeout: None, path: Some(path) };
    executions.start(request).await.unwrap().execution
}

async fn ten_runs(path: MonitoringPath) {
    let server = start(Config { max_parallel_nodes: NODES, ..config() }).await;
    let executions = server.executions();
    let starting = (0..RUNS).map(|_| {
        let executions = Arc::clone(&executions);
        tokio::spawn(async move { begin(&*executions, path).await })
    });
    for started in starting.collect::<Vec<_>>() {
        let id = started.await.unwrap();
        let mut stream = Stream::open(server.local_addr(), &format!("/sse/unified/executions/{id}")).await;
        stream.until("STREAM_END").await;
        let (mut ids, mut lines, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for line in stream.text.lines() {
            ids.extend(line.strip_prefix("id: ").map(|id| id.parse::<Cursor>().unwrap().offset));
            let Some(json) = line.strip_prefix("data: ") else { continue };
            let Ok(envelope) = Envelope::decode(json.as_bytes()) else { continue };
            assert!(envelope.execution_id == id || !json.contains("\"seq\""), "foreign: {json}");
            match envelope.event {
                Event::ExecutionLog(log) => {
                    assert_eq!(log.message, "the same words");
                    let node = log.node_id.unwrap();
                    assert!(!ended.contains(&node), "a line of {node} after its end");
                    lines.push(node);
                }
                Event::NodeStatusChanged(change) if change.status.is_ended() => ended.push(change.node_id),
                _ => {}
            }
        }
        assert_eq!(lines.len(), NODES * LINES, "none is lost, none comes twice");
        for node in &ended {
            let own = lines.iter().filter(|line| *line == node).count();
            assert!(own == LINES || own == 0, "{node} has {own} lines");
        }
        assert!(ids.is_sorted());
    }
    server.stop().await;
}

#[cfg(feature = "unified")]
#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_keep_their_lines_apart_on_the_unified_path() {
    ten_runs(MonitoringPath::Unified).await;
}

#[cfg(feature = "legacy")]
#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_keep_their_lines_apart_on_the_legacy_path() {
    ten_runs(MonitoringPath::Legacy).await;
}

#[tokio::test]
async fn what_code_logs_in_the_span_of_a_node_is_in_the_log_of_that_node() {
    let subscriber = tracing_subscriber::registry().with(CaptureLayer::new(tracing::Level::INFO));
    let _installed = tracing::subscriber::set_default(subscriber);
    let server = start(config()).await;
    let id = run(server.local_addr(), ENDLESS).await;
    let mut stream = Stream::open(server.local_addr(), &format!("/sse/unified/executions/{id}")).await;
    stream.until("begun").await;
    tracing::info!(target: "library", "of nobody");
    tracing::info_span!("node", execution = %id, node = "node_1").in_scope(|| {
        tracing::info!(target: "router", "of what carries it");
        tracing::warn!(target: "library", attempt = 2, "slow");
    });
    stream.until("slow attempt=2").await;
    assert!(
        !stream.text.contains("of nobody") && !stream.text.contains("of what carries it"),
        "{}",
        stream.text
    );
    let line = stream.text.lines().find(|line| line.contains("slow attempt=2")).unwrap();
    let envelope = Envelope::decode(line.strip_prefix("data: ").unwrap().as_bytes()).unwrap();
    let Event::ExecutionLog(log) = envelope.event else { panic!("{line}") };
    assert_eq!((log.node_id, log.logger.as_deref()), (Some("node_1".into()), Some("library")));
    server.stop().await;
}
