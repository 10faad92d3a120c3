//! The legacy form of a stream (T1), for executions that the legacy path serves.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Path, Request, State, rejection::PathRejection},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use core_events::{
    ControlFrame, End, EndReason, ExecutionId,
    ports::{
        Budget, Clock, Delivery, LookupError, Start, StreamSource, SubscribeError, SubscribeRequest,
        Subscribed, Subscription,
    },
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use serde_json::json;
use tokio::time::{Instant, Sleep};

use crate::{
    HEARTBEAT_AFTER, MAX_POLL_BYTES, SseEncoder, StreamRequest, frames, problem::Refusal, window::Window,
};

/// The route whose executions `legacy` may know.
const RUN: &str = "/sse/executions/{id}";

/// `router`, with `GET /sse/executions/{id}` served from `legacy` for the executions that it knows. Everything else,
/// a request that is malformed, and one for a replay, goes to `router` as before.
///
/// Frames are the original's: CONNECTION_ESTABLISHED first, a HEARTBEAT after [`HEARTBEAT_AFTER`] of silence, then the
/// run's messages, and after the terminal one the stream closes without a further frame. A stream that ends early, because
/// its client is too slow or the server stops, says so in a frame `{"error": …}`. Beside them, messages have an `id:` with which
/// the stream is resumed, and a part that is missing is told as STREAM_GAP (I4).
pub fn with_legacy(router: Router, legacy: Arc<dyn StreamSource>, clock: Arc<dyn Clock>) -> Router {
    router.layer(middleware::from_fn_with_state(Legacy { source: legacy, clock }, serve))
}

#[derive(Debug, Clone)]
struct Legacy {
    source: Arc<dyn StreamSource>,
    clock: Arc<dyn Clock>,
}

async fn serve(
    State(legacy): State<Legacy>,
    path: Option<MatchedPath>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
    next: Next,
) -> Response {
    let of_run = path.is_some_and(|path| path.as_str() == RUN)
        && matches!(*request.method(), Method::GET | Method::HEAD);
    if let (true, Ok(Path(id))) = (of_run, id)
        && let Ok(execution) = ExecutionId::parse(&id)
        && let Ok(wanted) = StreamRequest::parse(request.uri().query(), request.headers())
        && wanted.speed.is_none()
        && let Some(response) = legacy.open(execution, wanted).await
    {
        return response;
    }
    next.run(request).await
}

// === impl Legacy ===

impl Legacy {
    /// `None` if this execution is not of the legacy path, or no longer.
    async fn open(&self, execution: ExecutionId, wanted: StreamRequest) -> Option<Response> {
        let request = SubscribeRequest {
            execution: Some(execution.clone()),
            start: wanted.start.unwrap_or(Start::Beginning),
            filter: wanted.filter,
            encoder: Arc::new(SseEncoder),
        };
        let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.source.subscribe(request).await {
            Err(SubscribeError::Lookup(LookupError::Unknown(_) | LookupError::Deleted(_))) => None,
            Err(error) => Some(Refusal::from(error).into_response()),
            Ok(Subscribed::Finished) => Some((StatusCode::NO_CONTENT, [no_store]).into_response()),
            Ok(Subscribed::Open(subscription)) => {
                let body = LegacyBody::new(subscription, execution, Arc::clone(&self.clock));
                let headers = [
                    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
                    no_store,
                    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
                ];
                Some((headers, Body::new(body)).into_response())
            }
        }
    }
}

/// A legacy stream, frame by frame. Reads nothing ahead, and no more than its window has room for (I4).
#[derive(Debug)]
struct LegacyBody {
    subscription: Box<dyn Subscription>,
    execution: ExecutionId,
    clock: Arc<dyn Clock>,
    window: Window,
    /// Encoded, not yet asked for.
    ready: VecDeque<Bytes>,
    /// When the last frame was handed out.
    last_frame: Instant,
    /// Fires no later than [`HEARTBEAT_AFTER`] the last frame.
    silence: Pin<Box<Sleep>>,
    ended: bool,
}

// === impl LegacyBody ===

impl LegacyBody {
    fn new(subscription: Box<dyn Subscription>, execution: ExecutionId, clock: Arc<dyn Clock>) -> Self {
        let mut body = Self {
            subscription,
            execution,
            clock,
            window: Window::default(),
            ready: VecDeque::new(),
            last_frame: Instant::now(),
            silence: Box::pin(tokio::time::sleep(HEARTBEAT_AFTER)),
            ended: false,
        };
        body.control(&ControlFrame::ConnectionEstablished);
        body
    }

    fn accept(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Block(block) => self.ready.extend(self.window.admit(block.slices, block.events)),
            Delivery::Ephemeral(bytes) => self.ready.extend(self.window.admit([bytes], 1)),
            Delivery::Id(cursor) => self.ready.push_back(frames::id(&cursor)),
            Delivery::Gap(gap) => self.control(&ControlFrame::StreamGap(gap)),
            Delivery::End(end) => self.end(&end),
        }
    }

    fn control(&mut self, frame: &ControlFrame) {
        self.ready.push_back(frames::control(frame, Some(&self.execution), self.clock.now()));
    }

    fn end(&mut self, end: &End) {
        self.ended = true;
        let error = match end.reason {
            EndReason::Completed => return,
            EndReason::Slow => "the client is too slow, its queue is full; come back for the rest",
            EndReason::Shutdown => "the server stops",
            EndReason::Moved => "another path serves this execution from now on; come back",
            EndReason::Deleted => "the execution was deleted",
            EndReason::Error => "the stream can't go on; come back for the rest",
        };
        let mut out = BytesMut::new();
        frames::data_block(json!({ "error": error }).to_string().as_bytes(), &mut out);
        self.ready.push_back(out.freeze());
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

impl http_body::Body for LegacyBody {
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
}
