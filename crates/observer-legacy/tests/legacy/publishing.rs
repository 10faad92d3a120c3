//! Every message of the legacy web path (T2).

use std::sync::Arc;

use core_events::{
    limits,
    ports::{EventLog, ExecutionObserver, ReadRange, Scope},
};
use observer_legacy::EventPublishingObserver;
use router::{MemoryLog, MemoryLogOptions, Router, RouterOptions};
use serde_json::{Value, json};

use crate::calls::{RUN, aborted, at, begin, complete, end, everything, failure, id, log};

pub(crate) struct Web {
    log: Arc<MemoryLog>,
    pub(crate) observer: EventPublishingObserver,
}

impl Web {
    pub(crate) fn new() -> Self {
        let log = Arc::new(MemoryLog::new(MemoryLogOptions::default()));
        let router = Router::new(Arc::clone(&log) as _, RouterOptions::default());
        Self { log, observer: EventPublishingObserver::new(Arc::new(router)) }
    }

    pub(crate) async fn messages(&self, execution: &str) -> Vec<String> {
        read(&*self.log, execution).await
    }
}

/// The events of a run.
pub(crate) async fn read(log: &dyn EventLog, execution: &str) -> Vec<String> {
    let range = ReadRange {
        scope: Scope::Run(id(execution)),
        after: 0,
        up_to: log.head(),
        max_records: usize::MAX,
        max_bytes: usize::MAX,
    };
    let records = log.read(range).await.unwrap().records;
    records.iter().map(|record| String::from_utf8(record.json.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn every_callback_in_t2() {
    let web = Web::new();
    everything(&web.observer, RUN).await;
    end(&web.observer, RUN).await;
    assert_eq!(web.observer.lost(), 0);
    insta::assert_snapshot!(web.messages(RUN).await.join("\n"));
}

#[tokio::test]
async fn failure_and_abort_in_t2() {
    let web = Web::new();
    begin(&web.observer, "failed").await;
    web.observer.on_execution_error(&at("failed", 2), &failure()).await;
    begin(&web.observer, "aborted").await;
    web.observer.on_execution_aborted(&at("aborted", 2), &aborted()).await;
    let messages = [web.messages("failed").await, web.messages("aborted").await].concat();
    insta::assert_snapshot!(messages.join("\n"));
}

#[tokio::test]
async fn i15_a_large_output_is_shown_by_its_beginning() {
    let web = Web::new();
    begin(&web.observer, RUN).await;
    let output = json!("é".repeat(limits::MAX_INLINE_OUTPUT_BYTES));
    web.observer.on_node_complete(&at(RUN, 2), &complete("a", output)).await;
    assert_eq!(web.observer.lost(), 0);
    let data = &serde_json::from_str::<Value>(&web.messages(RUN).await[1]).unwrap()["data"];
    assert_eq!(data["output"], Value::Null);
    assert_eq!(data["output_preview"].as_str().unwrap().len(), limits::OUTPUT_PREVIEW_BYTES);
    assert_eq!(data.get("output_ref"), None, "the place would be one in the log, which this is not");
}

#[tokio::test]
async fn i12_what_the_router_refuses_is_counted() {
    let web = Web::new();
    begin(&web.observer, RUN).await;
    end(&web.observer, RUN).await;
    web.observer.on_execution_error(&at(RUN, 3), &failure()).await;
    assert_eq!(web.observer.lost(), 3);
    log(&web.observer, RUN, "no message of this path").await;
    assert_eq!(web.observer.lost(), 3);
}
