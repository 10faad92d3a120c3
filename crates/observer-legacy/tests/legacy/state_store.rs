//! The facts of a legacy run in the log.

use std::sync::Arc;

use core_events::{
    ExecutionStatus, NodeStatus,
    ports::{EventLog, ExecutionObserver},
};
use observer_legacy::StateStoreObserver;
use router::{MemoryLog, MemoryLogOptions};
use serde_json::Value;

use crate::{
    calls::{RUN, aborted, at, end, everything, failure, id},
    publishing::read,
};

#[tokio::test]
async fn i1_every_fact_of_a_legacy_run_is_in_the_log_once() {
    let log = Arc::new(MemoryLog::new(MemoryLogOptions::default()));
    let observer = StateStoreObserver::new(Arc::clone(&log) as _);
    everything(&observer, RUN).await;
    observer.on_execution_error(&at(RUN, 15), &failure()).await;
    assert_eq!(observer.lost(), 0);
    let events: Vec<Value> =
        read(&*log, RUN).await.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    let told: Vec<String> = events
        .iter()
        .map(|event| {
            let data = &event["data"];
            let node = data["node_id"].as_str().unwrap_or("-");
            let what = ["status", "message", "prompt", "response", "error"]
                .iter()
                .find_map(|key| data[key].as_str());
            format!("{} {} {node} {}", event["seq"], event["type"].as_str().unwrap(), what.unwrap())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    let (state, _) = log.state(&id(RUN)).await.unwrap();
    assert_eq!(state.status, ExecutionStatus::Failed);
    let node = |name: &str| state.nodes.iter().find(|(id, _)| id.as_str() == name).unwrap().1.status.clone();
    assert_eq!(
        [node("a"), node("d"), node("f")],
        [NodeStatus::Completed, NodeStatus::Aborted, NodeStatus::Skipped]
    );
}

#[tokio::test]
async fn i12_what_the_log_refuses_is_counted() {
    let log = Arc::new(MemoryLog::new(MemoryLogOptions::default()));
    let observer = StateStoreObserver::new(Arc::clone(&log) as _);
    everything(&observer, RUN).await;
    end(&observer, RUN).await;
    observer.on_execution_aborted(&at(RUN, 16), &aborted()).await;
    assert_eq!(observer.lost(), 3);
}
