//! Counts what outside engines send.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use core_events::{
    Envelope, ExecutionId,
    ports::{AppendError, Ingest, IngestError, Ingested, OpenError, OpenRun, OpenedRun, ProducerBatch},
};

/// What became of batches.
#[derive(Debug, Default)]
pub(crate) struct IngestCounts {
    accepted: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
    events: AtomicU64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// It was appended.
    Accepted,
    /// It had been appended before.
    Repeated,
    /// Something is wrong with it.
    Refused,
    /// The log did not take it at that time.
    Unavailable,
}

/// An [`Ingest`] whose batches are counted.
#[derive(Debug)]
pub(crate) struct MeteredIngest {
    inner: Arc<dyn Ingest>,
    counts: Arc<IngestCounts>,
}

// === impl IngestCounts ===

impl IngestCounts {
    pub(super) fn batches(&self, outcome: Outcome) -> u64 {
        self.of(outcome).load(Ordering::Relaxed)
    }

    pub(super) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    fn of(&self, outcome: Outcome) -> &AtomicU64 {
        match outcome {
            Outcome::Accepted => &self.accepted,
            Outcome::Repeated => &self.repeated,
            Outcome::Refused => &self.refused,
            Outcome::Unavailable => &self.unavailable,
        }
    }

    fn count(&self, appended: &Result<Ingested, IngestError>) {
        let outcome = match appended {
            Ok(ingested) => {
                self.events.fetch_add(u64::try_from(ingested.events).unwrap_or(u64::MAX), Ordering::Relaxed);
                Outcome::Accepted
            }
            Err(IngestError::Log(AppendError::Repeated { .. })) => Outcome::Repeated,
            Err(
                IngestError::Log(AppendError::Busy | AppendError::Unavailable(_)) | IngestError::Stopping,
            ) => Outcome::Unavailable,
            Err(_) => Outcome::Refused,
        };
        self.of(outcome).fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Outcome ===

impl Outcome {
    pub(super) const ALL: [Self; 4] = [Self::Accepted, Self::Repeated, Self::Refused, Self::Unavailable];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

// === impl MeteredIngest ===

impl MeteredIngest {
    /// Counts into `counts` what goes to `inner`.
    pub(crate) fn new(inner: Arc<dyn Ingest>, counts: Arc<IngestCounts>) -> Self {
        Self { inner, counts }
    }
}

#[async_trait]
impl Ingest for MeteredIngest {
    async fn open(&self, run: OpenRun) -> Result<OpenedRun, OpenError> {
        self.inner.open(run).await
    }

    async fn append(
        &self,
        execution: &ExecutionId,
        events: Vec<Envelope>,
        batch: Option<ProducerBatch>,
    ) -> Result<Ingested, IngestError> {
        let appended = self.inner.append(execution, events, batch).await;
        self.counts.count(&appended);
        appended
    }
}
