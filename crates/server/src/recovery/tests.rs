use std::sync::Arc;

use core_events::{
    Envelope, Event, ExecutionStart, ExecutionStatus, ExecutionStatusChanged, NodeError, NodeId, Timestamp,
    ports::SystemClock,
};
use router::MemoryLog;

use super::*;

fn context(execution: &ExecutionId, step: u64) -> CallbackContext {
    CallbackContext {
        execution: execution.clone(),
        parent: None,
        root: execution.clone(),
        step,
        time: Timestamp::now(),
    }
}

fn node(id: &str, iteration: u32) -> NodeStart {
    NodeStart {
        node: NodeRef {
            id: NodeId::new(id),
            node_type: NodeType::new("code_job"),
            label: format!("The {id}"),
        },
        iteration,
    }
}

/// A run that has begun, and in which one node failed and two are at work, one of them for the second time.
async fn under_way(log: &MemoryLog) -> ExecutionId {
    let id = ExecutionId::random();
    let start = ExecutionStart { diagram_id: None, diagram_name: Some("a diagram".to_owned()) };
    let failed = |iteration| NodeError {
        node: node("failed", iteration).node,
        iteration,
        error: "it failed".to_owned(),
        tolerated: false,
        started_at: Timestamp::now(),
    };
    let again = |iteration| NodeError { tolerated: true, node: node("again", 1).node, ..failed(iteration) };
    for fact in [
        facts::execution_start(&context(&id, 1), &start),
        facts::node_start(&context(&id, 2), &node("failed", 1)),
        facts::node_error(&context(&id, 3), &failed(1)),
        facts::node_start(&context(&id, 4), &node("again", 1)),
        facts::node_error(&context(&id, 5), &again(1)),
        facts::node_start(&context(&id, 6), &node("again", 2)),
        facts::node_start(&context(&id, 7), &node("once", 1)),
    ] {
        log.append(vec![fact].into()).await.unwrap();
    }
    id
}

async fn records(log: &MemoryLog, id: &ExecutionId) -> Vec<(u64, Envelope)> {
    let scope = Scope::Run(id.clone());
    let range =
        ReadRange { scope, after: 0, up_to: log.head(), max_records: usize::MAX, max_bytes: usize::MAX };
    let batch = log.read(range).await.unwrap();
    batch.records.iter().map(|record| (record.step, Envelope::decode(&record.json).unwrap())).collect()
}

#[tokio::test]
async fn i9_an_interrupted_run_is_aborted_with_the_nodes_that_were_at_work() {
    let log = MemoryLog::default();
    let id = under_way(&log).await;
    assert_eq!(close_interrupted(&log, &SystemClock).await, Ok(1));

    let records = records(&log, &id).await;
    let [.., (8, first), (8, second), (8, last)] = &records[..] else { panic!("{records:?}") };
    for (envelope, id, iteration) in [(first, "again", 2), (second, "once", 1)] {
        let Event::NodeStatusChanged(event) = &envelope.event else { panic!("{envelope:?}") };
        assert_eq!((event.node_id.as_str(), &event.status), (id, &NodeStatus::Aborted));
        assert_eq!(event.iteration, Some(iteration));
        assert_eq!(event.label.as_deref(), Some(&*format!("The {id}")));
        assert_eq!(event.node_type.as_ref().map(NodeType::as_str), Some("code_job"));
        assert_eq!(event.reason.as_deref(), Some(INTERRUPTED));
    }
    let Event::ExecutionStatusChanged(event) = &last.event else { panic!("{last:?}") };
    assert_eq!((&event.status, event.reason.as_deref()), (&ExecutionStatus::Aborted, Some(INTERRUPTED)));
    assert_eq!(event.failed_nodes, Some(vec![NodeId::new("failed")]));
    let (state, _) = log.state(&id).await.unwrap();
    assert!(state.nodes.values().all(|node| node.status.is_ended()), "{state:?}");
}

#[tokio::test]
async fn every_run_is_ended_once_and_those_of_outside_engines_stay_open() {
    let log = Arc::new(MemoryLog::default());
    let mut own = Vec::new();
    for at in 0..AT_ONCE * 2 + 3 {
        own.push(under_way(&log).await);
        if at % 50 == 0 {
            let id = ExecutionId::parse(&format!("theirs-{at}")).unwrap();
            let mut event = ExecutionStatusChanged::to(ExecutionStatus::Pending, Timestamp::now());
            event.source = Some("ingest".to_owned());
            let fact = Fact::new(context(&id, 1), Event::ExecutionStatusChanged(event));
            log.append(vec![fact].into()).await.unwrap();
        }
    }
    assert_eq!(close_interrupted(&*log, &SystemClock).await, Ok(own.len()));
    for id in &own {
        let (step, last) = records(&log, id).await.pop().unwrap();
        assert_eq!((step, last.event.terminal_status()), (8, Some(&ExecutionStatus::Aborted)));
    }
    let open = log.list(&ListQuery { unfinished: true, limit: 100, ..ListQuery::default() }).await.unwrap();
    assert_eq!(open.len(), 3);
    let head = log.head();
    assert_eq!(close_interrupted(&*log, &SystemClock).await, Ok(0));
    assert_eq!(log.head(), head);
}

#[tokio::test]
async fn the_last_step_is_found_however_far_back_it_lies() {
    let log = MemoryLog::default();
    let old = under_way(&log).await;
    for _ in 0..200 {
        under_way(&log).await;
    }
    assert_eq!(last_step(&log, &old, log.head()).await, Ok(7));
    assert_eq!(last_step(&log, &ExecutionId::random(), log.head()).await, Ok(0));
}
