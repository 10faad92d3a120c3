//! A finished run, shown again as fast as it happened, or so many times faster or slower.

mod schedule;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use core_events::{
    Cursor, End, EndReason, ExecutionId, Filter, Gap, GapReason, Record,
    ports::{
        Block, Budget, Delivery, Encoder, EventPage, EventsQuery, History, HistoryError, LookupError,
        ReadError, Start, StreamSource, SubscribeError, SubscribeRequest, Subscribed, Subscription,
    },
};
use tokio::time::{Instant, Sleep};

use self::schedule::Schedule;
use crate::{SseEncoder, problem::Refusal, request::Speed};

/// Read from the history at once.
const PAGE_EVENTS: usize = 256;
const PAGE_BYTES: usize = 256 * 1024;

/// Events that a filter leaves out before the position is told (I8).
const UNREPORTED: usize = 100;

/// What to show.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) execution: ExecutionId,
    pub(crate) start: Start,
    pub(crate) filter: Filter,
    pub(crate) speed: Speed,
}

/// Opens a replay. Like any stream it takes a seat of `source`, and ends when that does.
pub(crate) async fn open(
    history: &Arc<dyn History>,
    source: &dyn StreamSource,
    wanted: Wanted,
) -> Result<Subscribed, Refusal> {
    let Wanted { execution, start, filter, speed } = wanted;
    let now = history.events(query(&execution, Start::Now)).await.map_err(refusal)?;
    if !now.ended {
        return Err(Refusal::UnderWay(execution));
    }
    let (start, reset) = match start {
        Start::Now => return Ok(Subscribed::Finished),
        Start::Beginning => (now.next.epoch.at(0), None),
        Start::After(cursor) => place(cursor, &now.next),
    };
    let page = history.events(query(&execution, Start::After(start.clone()))).await.map_err(refusal)?;
    if reset.is_none() && page.ended && page.gap.is_none() && page.events.is_empty() {
        return Ok(Subscribed::Finished);
    }
    // Nothing passes: what it has to tell is its end.
    let nothing = Filter { executions: Some(BTreeSet::new()), ..Filter::default() };
    let request = SubscribeRequest {
        execution: None,
        start: Start::Now,
        filter: nothing,
        encoder: Arc::new(SseEncoder),
    };
    let Subscribed::Open(source) = source.subscribe(request).await? else {
        return Ok(Subscribed::Finished);
    };
    let mut replay = Replay {
        history: Arc::clone(history),
        execution,
        filter,
        schedule: Schedule::new(speed),
        source,
        position: start.clone(),
        start,
        gaps: reset.into_iter().collect(),
        events: VecDeque::new(),
        unreported: 0,
        then: Then::Over,
        timer: Box::pin(tokio::time::sleep_until(Instant::now())),
    };
    replay.accept(page);
    Ok(Subscribed::Open(Box::new(replay)))
}

/// Where `cursor` is, in a log whose head is at `head`; and what to say of it if it is of another.
fn place(cursor: Cursor, head: &Cursor) -> (Cursor, Option<Gap>) {
    let reason = if cursor.epoch != head.epoch {
        GapReason::ForeignEpoch
    } else if cursor.offset > head.offset {
        GapReason::FutureCursor
    } else {
        return (cursor, None);
    };
    let start = head.epoch.at(0);
    (start.clone(), Some(Gap { from: cursor, to: start, reason, reset: true }))
}

/// All events, so that those that are left out take their time too.
fn query(execution: &ExecutionId, start: Start) -> EventsQuery {
    EventsQuery {
        execution: execution.clone(),
        start,
        filter: Filter::default(),
        max_events: PAGE_EVENTS,
        max_bytes: PAGE_BYTES,
    }
}

fn refusal(error: HistoryError) -> Refusal {
    let error = match error {
        HistoryError::Lookup(error) => error,
        HistoryError::Read(ReadError::Unavailable(problem)) => LookupError::Unavailable(problem),
        // The log began anew in between.
        error => LookupError::Unavailable(error.to_string()),
    };
    SubscribeError::from(error).into()
}

/// A reader of the past.
///
/// # Ordering
///
/// The order, the ids and the gaps of the stream that shows the same as fast as can be.
///
/// # Lagging
///
/// It reads a page at a time. While nobody asks for what is due, time stands still: what follows keeps its distance.
struct Replay {
    history: Arc<dyn History>,
    execution: ExecutionId,
    filter: Filter,
    schedule: Schedule,
    /// Tells when streams end.
    source: Box<dyn Subscription>,
    start: Cursor,
    /// Everything up to here was delivered, left out, or told as a gap.
    position: Cursor,
    /// To be told at once.
    gaps: VecDeque<Gap>,
    /// To be shown when it is their time.
    events: VecDeque<(Cursor, Arc<Record>)>,
    /// Events left out since a position was told.
    unreported: usize,
    then: Then,
    timer: Pin<Box<Sleep>>,
}

/// What comes behind the events that are there.
enum Then {
    /// Another page.
    Read(Cursor),
    Reading(Pin<Box<dyn Future<Output = Result<EventPage, HistoryError>> + Send>>),
    End(EndReason, Cursor),
    Over,
}

// === impl Replay ===

impl Replay {
    fn accept(&mut self, page: EventPage) {
        let EventPage { gap, events, next, at_head, ended } = page;
        self.gaps.extend(gap);
        self.events.extend(events);
        self.then = match (ended, at_head) {
            (true, _) => Then::End(EndReason::Completed, next),
            (false, false) => Then::Read(next),
            // It had an end, and has none any more.
            (false, true) => Then::End(EndReason::Error, next),
        };
    }

    fn fail(&mut self, error: &HistoryError) {
        let reason = match error {
            HistoryError::Lookup(LookupError::Deleted(_)) => EndReason::Deleted,
            _ => EndReason::Error,
        };
        self.then = Then::End(reason, self.position.clone());
    }

    /// Whether all streams end.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Option<EndReason> {
        let least = Budget { events: 1, bytes: 1 };
        loop {
            match self.source.poll_next(cx, least) {
                Poll::Ready(Delivery::End(end)) => return Some(end.reason),
                Poll::Ready(_) => {}
                Poll::Pending => return None,
            }
        }
    }

    /// What is due; pending until something is. Without events it is `None`.
    fn poll_due(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Option<Delivery>> {
        let mut out = BytesMut::new();
        let (mut events, mut last) = (0, None);
        while events < budget.events && (events == 0 || out.len() < budget.bytes) {
            let Some((_, record)) = self.events.front() else { break };
            let wanted = self.filter.matches(record);
            let due = self.schedule.due(record.time, wanted);
            if due > Instant::now() {
                if events > 0 {
                    break;
                }
                self.timer.as_mut().reset(due);
                ready!(self.timer.as_mut().poll(cx));
                continue;
            }
            if events == 0 {
                self.schedule.resume(due);
            }
            if !wanted && self.unreported + 1 >= UNREPORTED && events > 0 {
                break;
            }
            let Some((cursor, record)) = self.events.pop_front() else { break };
            self.schedule.pass(record.time);
            self.position = cursor;
            if wanted {
                SseEncoder.encode(&record, &self.position, &mut out);
                events += 1;
                last = Some(self.position.clone());
                self.unreported = 0;
            } else {
                self.unreported += 1;
                if self.unreported >= UNREPORTED {
                    self.unreported = 0;
                    return Poll::Ready(Some(Delivery::Id(self.position.clone())));
                }
            }
        }
        let block = last.map(|last| Block { slices: vec![out.freeze()], events, last });
        Poll::Ready(block.map(Delivery::Block))
    }

    fn end(&mut self, reason: EndReason, cursor: Cursor) -> Poll<Delivery> {
        self.then = Then::Over;
        self.events.clear();
        self.gaps.clear();
        Poll::Ready(Delivery::End(End { reason, cursor }))
    }
}

impl Subscription for Replay {
    fn start(&self) -> Cursor {
        self.start.clone()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Delivery> {
        loop {
            if matches!(self.then, Then::Over) {
                return Poll::Pending;
            }
            if let Some(reason) = self.poll_source(cx) {
                return self.end(reason, self.position.clone());
            }
            if let Some(gap) = self.gaps.pop_front() {
                self.position = gap.to.clone();
                return Poll::Ready(Delivery::Gap(gap));
            }
            if let Some(delivery) = ready!(self.poll_due(cx, budget)) {
                return Poll::Ready(delivery);
            }
            match &mut self.then {
                Then::Read(next) => {
                    let (history, query) =
                        (Arc::clone(&self.history), query(&self.execution, Start::After(next.clone())));
                    self.then = Then::Reading(Box::pin(async move { history.events(query).await }));
                }
                Then::Reading(reading) => match ready!(reading.as_mut().poll(cx)) {
                    Ok(page) => self.accept(page),
                    Err(error) => self.fail(&error),
                },
                Then::End(reason, cursor) => {
                    let (reason, cursor) = (*reason, cursor.clone());
                    return self.end(reason, cursor);
                }
                Then::Over => {}
            }
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("execution", &self.execution)
            .field("position", &self.position)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}
