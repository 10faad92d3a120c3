//! Every message of the legacy SSE path (T1).

use core_events::{
    EventType, Filter, NodeId, limits,
    ports::{ExecutionObserver, Start, Subscribed},
};
use observer_legacy::MonitoringStreamObserver;
use serde_json::{Value, json};

use crate::{
    calls::{RUN, aborted, at, begin, complete, end, everything, failure},
    reader::{open, subscribe, to_the_end},
};

#[tokio::test(start_paused = true)]
async fn every_callback_in_t1() {
    let observer = MonitoringStreamObserver::new();
    everything(&observer, RUN).await;
    end(&observer, RUN).await;
    let (messages, _) = to_the_end(&mut *open(&observer, RUN, Start::Beginning).await).await;
    insta::assert_snapshot!(messages.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn failure_and_abort_in_t1() {
    let observer = MonitoringStreamObserver::new();
    begin(&observer, "failed").await;
    observer.on_execution_error(&at("failed", 2), &failure()).await;
    begin(&observer, "aborted").await;
    observer.on_execution_aborted(&at("aborted", 2), &aborted()).await;
    let mut failed = open(&observer, "failed", Start::Beginning).await;
    let mut aborted = open(&observer, "aborted", Start::Beginning).await;
    let messages = [to_the_end(&mut *failed).await.0, to_the_end(&mut *aborted).await.0].concat();
    insta::assert_snapshot!(messages.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn i15_a_large_output_is_shown_by_its_beginning() {
    let observer = MonitoringStreamObserver::new();
    begin(&observer, RUN).await;
    for output in [
        json!("é".repeat(limits::MAX_INLINE_OUTPUT_BYTES)),
        json!(vec!["x"; limits::MAX_INLINE_OUTPUT_BYTES]),
    ] {
        observer.on_node_complete(&at(RUN, 2), &complete("a", output)).await;
    }
    end(&observer, RUN).await;
    let (messages, _) = to_the_end(&mut *open(&observer, RUN, Start::Beginning).await).await;
    for (message, beginning) in messages[1..3].iter().zip(["éé", "[\"x\",\"x\""]) {
        let data = &serde_json::from_str::<Value>(message).unwrap()["data"];
        assert_eq!(data["output"], Value::Null);
        let preview = data["output_preview"].as_str().unwrap();
        assert!(preview.starts_with(beginning), "{}", &preview[..20]);
        assert_eq!(preview.len(), limits::OUTPUT_PREVIEW_BYTES);
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_is_honoured_before_and_after_the_subscription() {
    let observer = MonitoringStreamObserver::new();
    everything(&observer, RUN).await;
    let filter = Filter {
        types: Some([EventType::NodeStatusChanged].into()),
        nodes: Some([NodeId::from("a")].into()),
        ..Filter::default()
    };
    let Subscribed::Open(mut stream) = subscribe(&observer, RUN, Start::Beginning, filter).await.unwrap()
    else {
        panic!("the run is under way");
    };
    observer.on_node_complete(&at(RUN, 20), &complete("b", json!(1))).await;
    observer.on_node_complete(&at(RUN, 21), &complete("a", json!(2))).await;
    end(&observer, RUN).await;
    let (messages, _) = to_the_end(&mut *stream).await;
    let outputs: Vec<Value> = messages
        .iter()
        .map(|message| serde_json::from_str::<Value>(message).unwrap()["data"]["output"].clone())
        .collect();
    assert_eq!(outputs, [Value::Null, json!({"x": [1, "é"]}), json!(2)]);
}
