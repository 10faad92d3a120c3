//! Following a run, or all runs, across interruptions.

mod connection;
pub(crate) mod frame;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use core_events::{Cursor, EndReason, Envelope, EventType, Gap, NodeId};
use futures_core::Stream;
use reqwest::Url;
use tokio::time::{Instant, Sleep};

use self::{
    connection::{Connection, Opened, Opening},
    frame::Frame,
};
use crate::{backoff, client::Client, error::ClientError, sse::SseBlock};

/// Where a stream starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FollowFrom {
    /// As the server has it: one run from its start, all runs from now.
    #[default]
    Default,
    /// At the first event that the log holds.
    Start,
    /// With what happens from now on.
    Now,
    /// Behind this position.
    Cursor(Cursor),
}

/// How to follow.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// Where to start.
    pub from: FollowFrom,
    /// Only events of these types; all if empty.
    pub types: Vec<EventType>,
    /// Only events about these nodes; all if empty.
    pub nodes: Vec<NodeId>,
    /// Give up after so many attempts in a row that brought no event.
    pub max_attempts: u32,
    /// Take the connection for dead when nothing came for so long. A server sends a heartbeat every 10 s.
    pub silence: Duration,
}

/// What a stream brings.
#[derive(Debug)]
pub enum Item {
    /// An event.
    Event(Box<EventItem>),
    /// Events are missing here.
    Gap(GapItem),
    /// A frame that is neither an event nor a control frame that this build knows.
    Unreadable(Unreadable),
    /// The connection was lost; another attempt follows, and takes up where this one ended.
    Reconnecting(Lost),
    /// The stream is over for good.
    End {
        /// Why.
        reason: EndReason,
    },
}

/// An event as it came.
#[derive(Debug, Clone)]
pub struct EventItem {
    /// Its position, if it has one; ephemeral events have none (I8).
    pub cursor: Option<Cursor>,
    /// The event.
    pub envelope: Envelope,
    /// The bytes that the server sent for it.
    pub json: Bytes,
}

/// A part of the log that this reader doesn't get (I4).
#[derive(Debug, Clone)]
pub struct GapItem {
    /// Which, and why.
    pub gap: Gap,
    /// The bytes that the server sent for it.
    pub json: Bytes,
}

/// A frame that could not be read.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Its data.
    pub json: Bytes,
    /// What is wrong with it.
    pub problem: String,
}

/// A connection that was lost.
#[derive(Debug)]
pub struct Lost {
    /// Which attempt comes next: 1 after a connection that brought events.
    pub attempt: u32,
    /// How long it waits before.
    pub delay: Duration,
    /// What happened.
    pub error: ClientError,
}

/// Events of a run, or of all, in order and once each.
///
/// # Ordering
///
/// Items come in the order of the log.
///
/// # Resuming
///
/// After an interruption the stream connects again (exponential, jittered, at most some ten seconds apart) and resumes
/// with the last id that it saw, also if that id came without an event, and also if the connection broke before any new id.
/// An [`Item::Reconnecting`] tells of each attempt. An `Err` is final: the server refused, or gave no sign of life for
/// [`FollowOptions::max_attempts`] attempts.
///
/// # Lagging
///
/// What is not read stays in the socket, and at last with the server, which keeps the place or sends a gap.
///
/// # Closing
///
/// The end is an [`Item::End`], or an `Err`; then `None`. Dropping the stream closes its connection.
#[derive(Debug)]
pub struct FollowStream {
    client: Client,
    url: Url,
    options: FollowOptions,
    /// What `Last-Event-ID` the next connection sends. A text as it came: to us it is opaque.
    resume: Option<String>,
    /// Attempts in a row that brought nothing.
    attempt: u32,
    /// The shortest wait; the server's `retry:` changes it.
    retry: Duration,
    /// Fires when nothing came for too long. Reset by every byte; there from the first poll on.
    watchdog: Option<Pin<Box<Sleep>>>,
    ready: VecDeque<Result<Item, ClientError>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    Opening(Opening),
    Open(Box<Connection>),
    Waiting(Pin<Box<Sleep>>),
    Done,
}

// === impl FollowOptions ===

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            from: FollowFrom::Default,
            types: Vec::new(),
            nodes: Vec::new(),
            max_attempts: 6,
            silence: Duration::from_secs(30),
        }
    }
}

impl FollowOptions {
    pub(crate) fn add_filters(&self, url: &mut Url) {
        if self.types.is_empty() && self.nodes.is_empty() {
            return;
        }
        // A parameter for each: commas separate, and a name may have one.
        let mut query = url.query_pairs_mut();
        for kind in &self.types {
            query.append_pair("types", kind.as_str());
        }
        for node in &self.nodes {
            query.append_pair("nodes", node.as_str());
        }
    }
}

// === impl FollowStream ===

impl FollowStream {
    pub(crate) fn new(client: Client, mut url: Url, options: FollowOptions) -> Self {
        let mut resume = None;
        match &options.from {
            FollowFrom::Default => {}
            FollowFrom::Start => drop(url.query_pairs_mut().append_pair("from", "start")),
            FollowFrom::Now => drop(url.query_pairs_mut().append_pair("from", "now")),
            FollowFrom::Cursor(cursor) => resume = Some(cursor.to_string()),
        }
        Self {
            client,
            url,
            options,
            resume,
            attempt: 0,
            retry: Duration::from_millis(250),
            watchdog: None,
            ready: VecDeque::new(),
            state: State::Start,
        }
    }

    /// The next item; `None` after the end. Cancelling it loses nothing.
    ///
    /// # Errors
    ///
    /// See [`FollowStream`], *Resuming*.
    pub async fn next(&mut self) -> Option<Result<Item, ClientError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn feed_watchdog(&mut self) {
        let deadline = Instant::now() + self.options.silence;
        match &mut self.watchdog {
            Some(watchdog) => watchdog.as_mut().reset(deadline),
            None => self.watchdog = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    fn finish(&mut self, last: Result<Item, ClientError>) {
        self.ready.push_back(last);
        self.state = State::Done;
    }

    /// Plans another attempt, or gives up.
    fn lost(&mut self, error: ClientError) {
        if !error.is_transient() || self.attempt >= self.options.max_attempts {
            self.finish(Err(error));
            return;
        }
        self.attempt += 1;
        let delay = backoff::delay(self.retry, self.attempt);
        tracing::debug!(attempt = self.attempt, ?delay, %error, "connection lost");
        self.state = State::Waiting(Box::pin(tokio::time::sleep(delay)));
        self.ready.push_back(Ok(Item::Reconnecting(Lost { attempt: self.attempt, delay, error })));
    }

    fn take(&mut self, block: SseBlock) {
        let mut cursor = None;
        if let Some(id) = block.id {
            cursor = id.parse().ok();
            // An empty id takes the position back, as for an EventSource.
            self.resume = Some(id).filter(|id| !id.is_empty());
        }
        let Some(data) = block.data else { return };
        let item = match frame::read(data, cursor) {
            Frame::Alive => {
                self.attempt = 0;
                return;
            }
            Frame::Opened => return,
            Frame::Item(item) => item,
            Frame::End { reason, reconnect: false } => return self.finish(Ok(Item::End { reason })),
            Frame::End { reason, reconnect: true } => return self.lost(ClientError::Ended(reason)),
        };
        self.attempt = 0;
        self.ready.push_back(Ok(item));
    }

    /// One step of the state machine; `Pending` when there is nothing to do but wait.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Start => {
                self.state =
                    State::Opening(Opening::new(self.client.clone(), self.url.clone(), self.resume.clone()));
                self.feed_watchdog();
            }
            State::Opening(opening) => match opening.poll(cx) {
                Poll::Ready(Ok(Opened::Stream(connection))) => {
                    self.state = State::Open(connection);
                    self.feed_watchdog();
                }
                Poll::Ready(Ok(Opened::Finished)) => {
                    self.finish(Ok(Item::End { reason: EndReason::Completed }));
                }
                Poll::Ready(Err(error)) => self.lost(error),
                Poll::Pending => return self.poll_watchdog(cx),
            },
            State::Open(connection) => {
                let (mut blocks, mut retry) = (Vec::new(), None);
                let read = connection.poll_blocks(cx, &mut blocks, &mut retry);
                self.retry = retry.unwrap_or(self.retry);
                for block in blocks {
                    // Nothing follows an end frame.
                    if matches!(self.state, State::Open(_)) {
                        self.take(block);
                    }
                }
                match read {
                    Poll::Pending => return self.poll_watchdog(cx),
                    Poll::Ready(Ok(())) => self.feed_watchdog(),
                    Poll::Ready(Err(error)) if matches!(self.state, State::Open(_)) => self.lost(error),
                    Poll::Ready(Err(_after_the_end)) => {}
                }
            }
            State::Waiting(sleep) => {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.state = State::Start;
            }
            State::Done => return Poll::Pending,
        }
        Poll::Ready(())
    }

    fn poll_watchdog(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.watchdog.as_mut().is_none_or(|watchdog| watchdog.as_mut().poll(cx).is_pending()) {
            return Poll::Pending;
        }
        self.lost(ClientError::Silence(self.options.silence));
        Poll::Ready(())
    }
}

impl Stream for FollowStream {
    type Item = Result<Item, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(item));
            }
            if matches!(self.state, State::Done) {
                return Poll::Ready(None);
            }
            std::task::ready!(self.step(cx));
        }
    }
}
