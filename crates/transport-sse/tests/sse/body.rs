use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use core_events::{
    End, EndReason, Gap, GapReason,
    ports::{Delivery, StreamSource, SubscribeRequest, Subscribed},
};
use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::Instant;
use transport_sse::{SseBody, SseEncoder, WINDOW_EVENTS};

use crate::fake::{FakeSource, StoppedClock, at, block, id};

async fn open(source: &FakeSource) -> SseBody {
    let request = SubscribeRequest {
        execution: Some(id("exec_1")),
        start: core_events::ports::Start::Beginning,
        filter: core_events::Filter::default(),
        encoder: Arc::new(SseEncoder),
    };
    let Subscribed::Open(subscription) = source.subscribe(request).await.unwrap() else {
        panic!("the source is open");
    };
    SseBody::new(subscription, Some(id("exec_1")), Duration::from_millis(1500), Arc::new(StoppedClock))
}

async fn next(body: &mut SseBody) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

fn end(reason: EndReason, offset: u64) -> Delivery {
    Delivery::End(End { reason, cursor: at(offset) })
}

#[tokio::test(start_paused = true)]
async fn a_whole_stream_byte_by_byte() {
    let source = FakeSource::default();
    let gap = Gap { from: at(0), to: at(4), reason: GapReason::Evicted, reset: false };
    source.script.push(Delivery::Gap(gap));
    source.script.push(block(5..=6));
    source.script.push(Delivery::Ephemeral(Bytes::from_static(b"data: {\"type\":\"NODE_PROGRESS\"}\n\n")));
    source.script.push(Delivery::Id(at(9)));
    let script = Arc::clone(&source.script);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(11)).await;
        script.push(block(10..=10));
        script.push(end(EndReason::Completed, 10));
    });
    let bytes = open(&source).await.collect().await.unwrap().to_bytes();
    insta::assert_snapshot!(std::str::from_utf8(&bytes).unwrap());
    assert_eq!(source.script.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_after_ten_seconds_without_a_frame_and_not_before() {
    let source = FakeSource::default();
    let mut body = open(&source).await;
    next(&mut body).await;
    let begin = Instant::now();
    assert!(next(&mut body).await.starts_with(b"data: {\"type\":\"HEARTBEAT\""));
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
    next(&mut body).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(20));
    // Any frame begins the ten seconds anew.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(body.frame().now_or_never().is_none());
        source.script.push(Delivery::Id(at(1)));
        assert_eq!(next(&mut body).await, "id: ab-1\n\n");
    }
    let begin = Instant::now();
    assert!(next(&mut body).await.starts_with(b"data: {\"type\":\"HEARTBEAT\""));
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn i4_no_more_than_the_window_is_outstanding() {
    let source = FakeSource::default();
    source.script.push(block(1..=250));
    let mut body = open(&source).await;
    let mut held = vec![next(&mut body).await];
    for _ in 0..WINDOW_EVENTS {
        held.push(next(&mut body).await);
    }
    // Neither an event nor a heartbeat, however long the client takes.
    assert!(tokio::time::timeout(Duration::from_secs(60), body.frame()).await.is_err());
    held.clear();
    for _ in 0..WINDOW_EVENTS {
        held.push(next(&mut body).await);
    }
    assert!(body.frame().now_or_never().is_none());
    let waiting = tokio::spawn(async move { next(&mut body).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    // The transport's dropping of the bytes is what wakes the stream.
    held.clear();
    assert_eq!(waiting.await.unwrap(), "id: ab-201\ndata: {\"seq\":201}\n\n");
    assert!(source.script.budgets().iter().all(|budget| (1..=WINDOW_EVENTS).contains(&budget.events)));
}

#[tokio::test(start_paused = true)]
async fn a_new_event_wakes_the_stream() {
    let source = FakeSource::default();
    let mut body = open(&source).await;
    next(&mut body).await;
    let waiting = tokio::spawn(async move { next(&mut body).await });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    source.script.push(block(1..=1));
    assert_eq!(waiting.await.unwrap(), "id: ab-1\ndata: {\"seq\":1}\n\n");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn i9_after_the_end_frame_the_body_ends() {
    let source = FakeSource::default();
    let mut body = open(&source).await;
    next(&mut body).await;
    source.script.push(end(EndReason::Shutdown, 4));
    assert_eq!(next(&mut body).await, "id: ab-4\n\n");
    let last = next(&mut body).await;
    assert!(last.starts_with(b"data: {\"type\":\"STREAM_END\""), "{last:?}");
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn i13_dropping_the_body_drops_the_subscription() {
    let source = FakeSource::default();
    let body = open(&source).await;
    assert_eq!(source.script.open.load(Ordering::SeqCst), 1);
    drop(body);
    assert_eq!(source.script.open.load(Ordering::SeqCst), 0);
}
