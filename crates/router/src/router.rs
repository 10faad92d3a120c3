//! Publishing and subscribing.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use core_events::{
    CallbackContext, EndReason, ExecutionId, Fact, Filter, Gap, GapReason, Offset, Progress,
    ports::{
        AppendError, Appended, CommitListener, EventLog, ExecutionInfo, MessageRouter, RouterStats, Start,
        StreamSource, SubscribeError, SubscribeRequest, Subscribed,
    },
};

use crate::{flusher::Flushing, live::Live, reader::Reader, view::Key};

/// How much a [`Router`] keeps and serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterOptions {
    /// Records in the committed tail.
    pub tail_records: usize,
    /// Bytes in the committed tail.
    pub tail_bytes: usize,
    /// Records of any one run in the committed tail; `None` for no bound but the common one.
    pub tail_records_per_run: Option<usize>,
    /// Bytes of one view. Readers that are farther behind have theirs made again.
    pub view_bytes: usize,
    /// Bytes of the records that are shown while the log can't store them. Readers that lack what is beyond it get it when
    /// the log has recovered.
    pub unstored_bytes: usize,
    /// Open subscriptions.
    pub subscriptions: usize,
    /// Nodes whose growing output is kept for late joiners; beyond it, the one that began first is forgotten.
    pub progress_nodes: usize,
}

/// The [`MessageRouter`] over any [`EventLog`].
///
/// # Ordering
///
/// The order of the log, for every reader. Publishing waits for the log alone: it appends, and wakes the readers; they
/// encode in their own polls, the first one for all that share its view (I3). Where many share a view, they are woken at once
/// when it was quiet, and else up to 20 ms after they were woken last, for all that came in between.
///
/// # Lagging
///
/// A reader that is behind its view gets its bytes from the committed tail, and behind that from the log. Where that no
/// longer holds the events, the reader gets a gap and goes on behind it (I4).
///
/// While the log can't store what it takes, readers that have all that is stored get the rest without a position, once.
/// # Resuming
///
/// Any cursor of the log's epoch opens a stream right behind it. A cursor of another epoch, or of the future, opens one with a
/// gap that says `reset`, and then the default start: the beginning for one execution, now for all (I7).
///
/// # Closing
///
/// [`close`](MessageRouter::close) ends every stream behind what is committed by then, and none is opened any more. A
/// stream whose execution ended still ends as completed. Dropping the router ends nothing: subscriptions go on.
#[derive(Debug)]
pub struct Router {
    log: Arc<dyn EventLog>,
    live: Arc<Live>,
    _flushing: Flushing,
}

/// Where a stream starts.
struct Place {
    position: Offset,
    /// Up to here it has what is not stored.
    shown: Offset,
    reset: Option<Gap>,
}

// === impl RouterOptions ===

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            tail_records: 100_000,
            tail_bytes: 64 * 1024 * 1024,
            tail_records_per_run: None,
            view_bytes: 8 * 1024 * 1024,
            unstored_bytes: 64 * 1024 * 1024,
            subscriptions: 20_000,
            progress_nodes: 1_024,
        }
    }
}

// === impl Router ===

impl Router {
    /// Follows `log` from now on; what it holds already is read from it when somebody asks.
    ///
    /// Inside a tokio runtime it has a task there, which ends with it; elsewhere readers are always woken at once.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, options: RouterOptions) -> Self {
        let live = Arc::new(Live::new(options, log.epoch()));
        let head = log.follow(Arc::clone(&live) as Arc<dyn CommitListener>);
        live.begin_at(head);
        let _flushing = Flushing::start(&live.flusher);
        Self { log, live, _flushing }
    }

    fn place(&self, start: &Start, of_run: bool) -> Place {
        let head = self.log.head().max(self.live.head());
        let at = |position| Place { position, shown: 0, reset: None };
        let cursor = match start {
            Start::Beginning => return at(0),
            Start::Now => return at(head),
            Start::After(cursor) => cursor,
        };
        let epoch = self.live.epoch();
        let reason = if cursor.epoch != epoch {
            GapReason::ForeignEpoch
        } else if cursor.offset > self.live.known().max(head) {
            GapReason::FutureCursor
        } else {
            // A snapshot may hold what is not stored.
            return Place { shown: cursor.offset, ..at(cursor.offset.min(head)) };
        };
        let place = at(if of_run { 0 } else { head });
        let to = epoch.at(place.position);
        Place { reset: Some(Gap { from: cursor.clone(), to, reason, reset: true }), ..place }
    }
}

#[async_trait]
impl StreamSource for Router {
    async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscribed, SubscribeError> {
        let SubscribeRequest { execution, start, filter, encoder } = request;
        if let Some(closing) = self.live.closed() {
            return Err(SubscribeError::Closed(closing.reason));
        }
        let seat = self.live.seat()?;
        let before = self.live.head();
        let info = match &execution {
            Some(id) => Some(self.log.find(id).await?),
            None => None,
        };
        let place = self.place(&start, info.is_some());
        let past =
            |info: &ExecutionInfo| info.ended.is_some_and(|end| place.position.max(place.shown) >= end);
        if info.as_ref().is_some_and(past) {
            return Ok(Subscribed::Finished);
        }
        let encoder_id = encoder.id().into();
        let key = match (&execution, &info) {
            (Some(id), Some(info)) => {
                let root = Some(info.root.clone());
                let filter = if *id == info.root { filter } else { narrowed(filter, id) };
                Key { root, target: execution.clone(), filter, encoder: encoder_id }
            }
            _ => Key { root: None, target: None, filter, encoder: encoder_id },
        };
        let member = self.live.join(seat, key, encoder);
        let info = match (info, &execution) {
            // What was committed before the view was there was not reported to it.
            (Some(ExecutionInfo { ended: None, .. }), Some(id)) if self.live.head() != before => {
                Some(self.log.find(id).await?)
            }
            (info, _) => info,
        };
        if let Some(info) = &info {
            if past(info) {
                return Ok(Subscribed::Finished);
            }
            if let Some(end) = info.ended {
                member.view.end_at(end);
            }
        }
        let reader = Reader::new(Arc::clone(&self.log), member, (place.position, place.shown), place.reset);
        Ok(Subscribed::Open(Box::new(reader)))
    }
}

#[async_trait]
impl MessageRouter for Router {
    async fn publish(&self, facts: Vec<Fact>) -> Result<Appended, AppendError> {
        let counts = &self.live.counts;
        let appended = self.log.append(facts.into()).await;
        match &appended {
            Ok(appended) => counts.published.fetch_add(appended.records.len() as u64, Ordering::Relaxed),
            Err(_) => counts.publish_errors.fetch_add(1, Ordering::Relaxed),
        };
        appended
    }

    fn publish_progress(&self, cx: &CallbackContext, progress: &Progress) {
        self.live.progress(cx, progress);
    }

    fn close(&self, reason: EndReason) {
        self.live.close(reason);
    }

    fn stats(&self) -> RouterStats {
        self.live.stats()
    }
}

/// What passes `filter` and is of `execution`.
fn narrowed(mut filter: Filter, execution: &ExecutionId) -> Filter {
    let mut only = BTreeSet::from([execution.clone()]);
    if let Some(executions) = &filter.executions {
        only.retain(|id| executions.contains(id));
    }
    filter.executions = Some(only);
    filter
}

#[cfg(test)]
mod tests;
