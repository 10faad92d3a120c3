//! A subscription as the body of a response.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use core_events::{
    ControlFrame, ExecutionId,
    ports::{Budget, Clock, Delivery, Subscription},
};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::{frames, window::Window};

/// A HEARTBEAT comes after this much silence.
pub const HEARTBEAT_AFTER: Duration = Duration::from_secs(10);

/// Bytes that a body asks its subscription for at once.
pub const MAX_POLL_BYTES: usize = 64 * 1024;

/// A stream, frame by frame.
///
/// # Lagging
///
/// It reads nothing ahead: the subscription is asked only when the transport asks, and for no more events than the window
/// has room for (I4). While the window is full there is no heartbeat either, since nobody would read it.
///
/// # Closing
///
/// After STREAM_END the body ends. Dropping it drops the subscription.
#[derive(Debug)]
pub struct SseBody {
    subscription: Box<dyn Subscription>,
    execution: Option<ExecutionId>,
    clock: Arc<dyn Clock>,
    window: Window,
    /// Encoded, not yet asked for.
    ready: VecDeque<Bytes>,
    /// When the last frame was handed out.
    last_frame: Instant,
    /// Fires no later than [`HEARTBEAT_AFTER`] the last frame; set again only when it fires.
    silence: Pin<Box<Sleep>>,
    ended: bool,
}

// === impl SseBody ===

impl SseBody {
    /// The stream of `subscription`; `execution` is absent if it is that of all runs. The client is told to come back
    /// after `retry` when it loses the connection.
    #[must_use]
    pub fn new(
        subscription: Box<dyn Subscription>,
        execution: Option<ExecutionId>,
        retry: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let opening = frames::opening(execution.as_ref(), retry, &subscription.start(), clock.now());
        Self {
            subscription,
            execution,
            clock,
            window: Window::default(),
            ready: VecDeque::from([opening]),
            last_frame: Instant::now(),
            silence: Box::pin(tokio::time::sleep(HEARTBEAT_AFTER)),
            ended: false,
        }
    }

    fn accept(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Block(block) => self.ready.extend(self.window.admit(block.slices, block.events)),
            Delivery::Ephemeral(bytes) => self.ready.extend(self.window.admit([bytes], 1)),
            Delivery::Id(cursor) => self.ready.push_back(frames::id(&cursor)),
            Delivery::Gap(gap) => self.control(&ControlFrame::StreamGap(gap)),
            Delivery::End(end) => {
                self.ready.push_back(frames::id(&end.cursor));
                self.control(&ControlFrame::StreamEnd(end.reason));
                self.ended = true;
            }
        }
    }

    fn control(&mut self, frame: &ControlFrame) {
        self.ready.push_back(frames::control(frame, self.execution.as_ref(), self.clock.now()));
    }

    /// Whether it was silent for long enough; if not, the task is woken when it will have been.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.silence.as_mut().poll(cx));
            let due = self.last_frame + HEARTBEAT_AFTER;
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.silence.as_mut().reset(due);
        }
    }
}

impl Body for SseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                this.last_frame = Instant::now();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let events = ready!(this.window.poll_room(cx));
            match this.subscription.poll_next(cx, Budget { events, bytes: MAX_POLL_BYTES }) {
                Poll::Ready(delivery) => this.accept(delivery),
                Poll::Pending => {
                    ready!(this.poll_silence(cx));
                    this.control(&ControlFrame::Heartbeat);
                    this.silence.as_mut().reset(Instant::now() + HEARTBEAT_AFTER);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
