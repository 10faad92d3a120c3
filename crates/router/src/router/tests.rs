use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use core_events::{
    EndReason, Epoch, EventType, ExecutionStatus, Filter, GapReason, NodeStatus, Progress,
    ports::{
        Budget, Delivery, EventLog, LookupError, MessageRouter, Start, StreamSource, SubscribeError,
        SubscribeRequest, Subscribed,
    },
};

use super::*;
use crate::{
    MemoryLog, MemoryLogOptions,
    testing::{
        ALL, Offsets, Woken, begin, context, drain, end, id, log, next, node, open, poll, request, short,
    },
};

fn router(log: MemoryLogOptions, options: RouterOptions) -> (Arc<MemoryLog>, Router) {
    let log = Arc::new(MemoryLog::new(log));
    let router = Router::new(Arc::clone(&log) as Arc<dyn EventLog>, options);
    (log, router)
}

fn plain() -> Router {
    router(MemoryLogOptions::default(), RouterOptions::default()).1
}

/// A tail and views that hold next to nothing, so that everything is read from the log.
fn forgetful() -> RouterOptions {
    RouterOptions { tail_records: 1, view_bytes: 1, ..RouterOptions::default() }
}

async fn publish(router: &Router, facts: Vec<Fact>) {
    router.publish(facts).await.unwrap();
}

#[tokio::test]
async fn history_and_live_have_no_seam() {
    for options in [RouterOptions::default(), forgetful()] {
        let (_, router) = router(MemoryLogOptions::default(), options);
        publish(&router, vec![begin("a"), log("a", "1")]).await;
        publish(&router, vec![begin("b")]).await;
        publish(&router, vec![log("a", "2")]).await;
        let mut reader = open(&router, request(Some("a"), Start::Beginning)).await;
        assert_eq!(drain(&mut *reader), ["1", "2", "4"]);
        publish(&router, vec![log("a", "3"), end("a")]).await;
        assert_eq!(drain(&mut *reader), ["5", "6", ".Completed@6"]);
        assert_eq!(drain(&mut *reader), [""; 0], "nothing follows the end");
    }
}

#[tokio::test]
async fn a_stream_of_all_runs_goes_on() {
    let router = plain();
    publish(&router, vec![begin("a")]).await;
    let mut all = open(&router, request(None, Start::Beginning)).await;
    let mut now = open(&router, request(None, Start::Now)).await;
    assert_eq!(now.start().offset, 1);
    publish(&router, vec![end("a")]).await;
    publish(&router, vec![begin("b")]).await;
    assert_eq!(drain(&mut *all), ["1", "2", "3"]);
    assert_eq!(drain(&mut *now), ["2", "3"]);
}

#[tokio::test]
async fn every_start_is_one_call() {
    let (log_, router) = router(MemoryLogOptions::default(), RouterOptions::default());
    publish(&router, vec![begin("a"), log("a", "1"), log("a", "2")]).await;
    let epoch = log_.epoch();
    let foreign = Epoch::parse("other").unwrap().at(2);
    for (start, expected) in [
        (Start::Beginning, vec!["1", "2", "3"]),
        (Start::Now, vec![]),
        (Start::After(epoch.at(0)), vec!["1", "2", "3"]),
        (Start::After(epoch.at(2)), vec!["3"]),
        (Start::After(epoch.at(9)), vec!["!9..0", "1", "2", "3"]),
        (Start::After(foreign.clone()), vec!["!2..0", "1", "2", "3"]),
    ] {
        let mut reader = open(&router, request(Some("a"), start.clone())).await;
        assert_eq!(drain(&mut *reader), expected, "{start:?}");
    }
    publish(&router, vec![end("a")]).await;
    for start in [Start::Now, Start::After(epoch.at(4))] {
        let subscribed = router.subscribe(request(Some("a"), start)).await.unwrap();
        assert!(matches!(subscribed, Subscribed::Finished));
    }
    let mut all = open(&router, request(None, Start::After(foreign))).await;
    let Some(Delivery::Gap(gap)) = next(&mut *all) else { panic!("a gap is first") };
    assert_eq!((gap.reason, gap.to.offset, gap.reset), (GapReason::ForeignEpoch, 4, true));
    assert_eq!(drain(&mut *all), [""; 0]);
}
