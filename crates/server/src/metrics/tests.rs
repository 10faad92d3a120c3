use std::collections::BTreeMap;

use axum::body::Body;
use core_events::{
    CallbackContext, EndReason, Envelope, ExecutionId, Fact, Progress, Timestamp,
    ports::{
        AppendError, Appended, GapCounts, Histogram, Ingest, IngestError, Ingested, LogProblem,
        LogProblemKind, LogStats, OpenError, OpenRun, OpenedRun, ProducerBatch, RouterStats, StoreStats,
        StreamSource, SubscribeError, SubscribeRequest, Subscribed,
    },
};
use http::Request;
use tower::ServiceExt;

use super::*;
use crate::testing::ToldLog;

/// A router that only has figures.
#[derive(Debug)]
struct ToldRouter(RouterStats);

#[async_trait::async_trait]
impl StreamSource for ToldRouter {
    async fn subscribe(&self, _: SubscribeRequest) -> Result<Subscribed, SubscribeError> {
        Err(SubscribeError::TooMany(0))
    }
}

#[async_trait::async_trait]
impl MessageRouter for ToldRouter {
    async fn publish(&self, _: Vec<Fact>) -> Result<Appended, AppendError> {
        Err(AppendError::Busy)
    }

    fn publish_progress(&self, _: &CallbackContext, _: &Progress) {}

    fn close(&self, _: EndReason) {}

    fn stats(&self) -> RouterStats {
        self.0.clone()
    }
}

fn log() -> ToldLog {
    let runs = [("COMPLETED", 5), ("FAILED", 2), ("RUNNING", 3), ("LIMBO", 1), ("LIMBO \"2\"", 1)];
    let store = StoreStats {
        file_bytes: 40_960,
        wal_bytes: 8_192,
        free_bytes: 4_096,
        queue_bytes: 300,
        queue_limit: 1_000,
        commits: 11,
        commit_time: Histogram { buckets: vec![(100, 4), (1_000, 5), (2_500, 0)], count: 11, sum: 1_012_345 },
        unstored: 6,
        lost: 2,
        reads: 9,
        pages_read: 81,
        page_bytes: 4_096,
    };
    let log = ToldLog::default();
    *log.problem.lock() = Some(LogProblem {
        kind: LogProblemKind::Full,
        detail: "database or disk is full".to_owned(),
        since: Timestamp::from_micros(0),
        waiting: 4,
        lost: 2,
    });
    *log.stats.lock() = LogStats {
        runs: 12,
        runs_by_status: BTreeMap::from(runs.map(|(status, count)| (status.to_owned(), count))),
        pinned: 1,
        records: 70,
        bytes: 34_000,
        appended: 100,
        pruned: 30,
        oldest: None,
        store: Some(store),
    };
    log
}

fn sources() -> Sources {
    let stats = RouterStats {
        subscriptions: 21,
        watched_executions: 2,
        views: 3,
        view_bytes: 22_000,
        tail_records: 60,
        tail_bytes: 33_000,
        published: 90,
        publish_errors: 1,
        delivered: 1_234,
        delivered_bytes: 567_890,
        gaps: GapCounts { evicted: 5, foreign_epoch: 2, future_cursor: 1 },
        lag_max: 40,
        lag_sum: 55,
    };
    Sources {
        log: Arc::new(log()),
        router: Arc::new(ToldRouter(stats)),
        connections: OpenConnections::default(),
        sockets: Connections::default(),
        ingest: Arc::default(),
    }
}

async fn scrape(sources: Sources) -> (http::response::Parts, String) {
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let (head, body) = routes(sources).oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (head, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_figure_has_its_family() {
    let (head, text) = scrape(sources()).await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.headers[header::CONTENT_TYPE], CONTENT_TYPE);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_log_without_files_has_no_families_about_files() {
    let log = ToldLog::default();
    let (_, text) = scrape(Sources { log: Arc::new(log), ..sources() }).await;
    assert!(text.contains("\ndipeo_log_degraded{kind=\"full\"} 0\n"), "{text}");
    assert!(!text.contains("dipeo_store"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

/// Answers a batch by the length of it.
#[derive(Debug)]
struct ToldIngest;

#[async_trait::async_trait]
impl Ingest for ToldIngest {
    async fn open(&self, _: OpenRun) -> Result<OpenedRun, OpenError> {
        Err(OpenError::TooMany(0))
    }

    async fn append(
        &self,
        execution: &ExecutionId,
        events: Vec<Envelope>,
        batch: Option<ProducerBatch>,
    ) -> Result<Ingested, IngestError> {
        match batch.map(|batch| batch.seq) {
            Some(0) => Err(IngestError::Log(AppendError::Repeated { seq: 0 })),
            Some(1) => Err(IngestError::Log(AppendError::Busy)),
            Some(_) => Err(IngestError::NotOpened(execution.clone())),
            None => {
                Ok(Ingested { events: events.len(), last_seq: 1, cursor: core_events::Epoch::random().at(1) })
            }
        }
    }
}

#[tokio::test]
async fn batches_count_by_what_became_of_them() {
    let counts = Arc::new(IngestCounts::default());
    let ingest = MeteredIngest::new(Arc::new(ToldIngest), Arc::clone(&counts));
    let execution = ExecutionId::random();
    let event = br#"{"type":"STEP","execution_id":"a","data":{}}"#;
    let event = Envelope::decode(event).unwrap();
    let batch = |seq| ProducerBatch { producer: "p".into(), epoch: 0, seq };
    for events in [3, 2] {
        ingest.append(&execution, vec![event.clone(); events], None).await.unwrap();
    }
    for seq in [0, 0, 0, 1, 1, 1, 1, 2] {
        ingest.append(&execution, vec![event.clone()], Some(batch(seq))).await.unwrap_err();
    }
    let (_, text) = scrape(Sources { ingest: counts, ..sources() }).await;
    for line in [
        "dipeo_ingest_batches_total{outcome=\"accepted\"} 2",
        "dipeo_ingest_batches_total{outcome=\"repeated\"} 3",
        "dipeo_ingest_batches_total{outcome=\"unavailable\"} 4",
        "dipeo_ingest_batches_total{outcome=\"refused\"} 1",
        "dipeo_ingest_events_total 5",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is not in {text}");
    }
}
