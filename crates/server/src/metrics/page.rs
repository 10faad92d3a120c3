//! The families: their names, what they mean, and where in the figures they are.

use std::{collections::BTreeMap, fmt};

use core_events::{
    ExecutionStatus,
    ports::{GapCounts, Histogram, LogProblem, LogProblemKind, LogStats, RouterStats, StoreStats},
};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use super::ingest::{IngestCounts, Outcome};

/// The families of one scrape, in a fixed order.
#[derive(Debug)]
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

const PROBLEMS: [(LogProblemKind, &str); 6] = [
    (LogProblemKind::Stalled, "stalled"),
    (LogProblemKind::Full, "full"),
    (LogProblemKind::ReadOnly, "read_only"),
    (LogProblemKind::Locked, "locked"),
    (LogProblemKind::Corrupt, "corrupt"),
    (LogProblemKind::Io, "io"),
];

// === impl Page ===

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    pub(super) fn log(&mut self, stats: &LogStats, problem: Option<&LogProblem>) -> fmt::Result {
        self.counter("log_appended_events", "Events appended since the start.", None, stats.appended)?;
        self.counter("log_pruned_events", "Events removed since the start.", None, stats.pruned)?;
        self.gauge("log_events", "Events held.", None, stats.records)?;
        self.gauge("log_events", "Bytes of the events held.", Some(&Unit::Bytes), stats.bytes)?;
        let kinds = PROBLEMS
            .map(|(kind, label)| (label, usize::from(problem.is_some_and(|problem| problem.kind == kind))));
        self.gauges("log_degraded", "Whether the log can't store, by what keeps it from it.", "kind", kinds)?;
        let waiting = problem.map_or(0, |problem| problem.waiting);
        self.gauge("log_waiting_events", "Events that wait because the log can't store.", None, waiting)?;
        self.gauges("runs", "Root runs held, by status.", "status", runs(&stats.runs_by_status))?;
        self.gauge("runs_pinned", "Root runs that are excepted from retention.", None, stats.pinned)?;
        stats.store.as_ref().map_or(Ok(()), |store| self.store(store))
    }

    fn store(&mut self, stats: &StoreStats) -> fmt::Result {
        let commits = &stats.commit_time;
        self.durations("log_commit_duration", "How long commits took.", commits)?;
        self.gauge("log_queue", "Bytes that wait for a commit.", Some(&Unit::Bytes), stats.queue_bytes)?;
        self.gauge(
            "log_queue_limit",
            "Bytes that may wait for a commit.",
            Some(&Unit::Bytes),
            stats.queue_limit,
        )?;
        let told = "Events shown before they were stored, since the start.";
        self.counter("log_unstored_events", told, None, stats.unstored)?;
        let lost = "Events given up, since the start: the log could not store for too long.";
        self.counter("log_lost_events", lost, None, stats.lost)?;
        let main = "Bytes of the store's main file.";
        self.gauge("store_main_file", main, Some(&Unit::Bytes), stats.file_bytes)?;
        let wal = "Bytes of the store's write-ahead log.";
        self.gauge("store_wal_file", wal, Some(&Unit::Bytes), stats.wal_bytes)?;
        let free = "Bytes of the main file that are free for new events.";
        self.gauge("store_free", free, Some(&Unit::Bytes), stats.free_bytes)?;
        self.counter("store_reads", "Reads since the start.", None, stats.reads)?;
        let pages = "Pages that reads took from the file since the start.";
        self.counter("store_read_pages", pages, None, stats.pages_read)?;
        self.gauge("store_page", "Bytes of a page.", Some(&Unit::Bytes), stats.page_bytes)
    }

    pub(super) fn router(&mut self, stats: &RouterStats) -> fmt::Result {
        self.gauge("readers", "Open subscriptions.", None, stats.subscriptions)?;
        self.gauge("watched_executions", "Executions with a reader.", None, stats.watched_executions)?;
        let views = "Combinations of scope, filter and encoder that readers share.";
        self.gauge("views", views, None, stats.views)?;
        self.gauge("views", "Bytes of events that are encoded.", Some(&Unit::Bytes), stats.view_bytes)?;
        self.gauge("tail_events", "Events in memory for readers.", None, stats.tail_records)?;
        self.gauge(
            "tail",
            "Bytes of the events in memory for readers.",
            Some(&Unit::Bytes),
            stats.tail_bytes,
        )?;
        self.counter("published_events", "Events that runs published.", None, stats.published)?;
        self.counter("publish_errors", "Publishes that the log refused.", None, stats.publish_errors)?;
        let lag =
            "How far readers are behind, in positions of the log: the farthest of them, and all together.";
        self.gauges("reader_lag", lag, "of", [("max", stats.lag_max), ("sum", stats.lag_sum)])?;
        self.counter("deliveries", "Events handed to readers.", None, stats.delivered)?;
        let bytes = "Bytes of the events handed to readers.";
        self.counter("delivered", bytes, Some(&Unit::Bytes), stats.delivered_bytes)?;
        let GapCounts { evicted, foreign_epoch, future_cursor } = stats.gaps;
        let gaps = [("evicted", evicted), ("foreign_epoch", foreign_epoch), ("future_cursor", future_cursor)];
        self.counters("gaps", "Gaps told to readers, by what happened.", "reason", gaps)
    }

    pub(super) fn ingest(&mut self, counts: &IngestCounts) -> fmt::Result {
        let batches = Outcome::ALL.map(|outcome| (outcome.label(), counts.batches(outcome)));
        self.counters(
            "ingest_batches",
            "Batches of outside engines, by what became of them.",
            "outcome",
            batches,
        )?;
        self.counter("ingest_events", "Events of outside engines that were appended.", None, counts.events())
    }

    // Kinds of families.

    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str); 1]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }

    pub(super) fn gauges<N: Into<Figure>, const COUNT: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [(&str, N); COUNT],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, figure) in values {
            ConstGauge::new(figure.into().0).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    fn counters<const COUNT: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [(&str, u64); COUNT],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in values {
            ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<&Unit>, count: u64) -> fmt::Result {
        let family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        ConstCounter::new(count).encode(family)
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        figure: impl Into<Figure>,
    ) -> fmt::Result {
        let family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(figure.into().0).encode(family)
    }

    fn durations(&mut self, name: &str, help: &str, micros: &Histogram) -> fmt::Result {
        let within: u64 = micros.buckets.iter().map(|(_, count)| count).sum();
        let above = (f64::INFINITY, micros.count.saturating_sub(within));
        let bounded = micros.buckets.iter().map(|(bound, count)| (seconds(*bound), *count));
        let buckets: Vec<_> = bounded.chain([above]).collect();
        self.0
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(seconds(micros.sum), micros.count.max(within), &buckets, None)
    }
}

/// A figure of either width.
pub(super) struct Figure(u64);

impl From<u64> for Figure {
    fn from(figure: u64) -> Self {
        Self(figure)
    }
}

impl From<usize> for Figure {
    fn from(figure: usize) -> Self {
        Self(u64::try_from(figure).unwrap_or(u64::MAX))
    }
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

/// By the statuses of the wire contract; those of foreign engines count as one, or they would make families without bound.
fn runs(by_status: &BTreeMap<String, usize>) -> [(&'static str, usize); 7] {
    use ExecutionStatus::{Aborted, Completed, Failed, Paused, Pending, Running};
    let mut runs =
        ["PENDING", "RUNNING", "PAUSED", "COMPLETED", "FAILED", "ABORTED", "other"].map(|name| (name, 0));
    for (status, count) in by_status {
        let place = match ExecutionStatus::from(&**status) {
            Pending => 0,
            Running => 1,
            Paused => 2,
            Completed => 3,
            Failed => 4,
            Aborted => 5,
            ExecutionStatus::Other(_) => 6,
        };
        if let Some((_, runs)) = runs.get_mut(place) {
            *runs += count;
        }
    }
    runs
}
