//! One connection of a stream: from the request to the last byte.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use reqwest::{StatusCode, Url, header::CONTENT_TYPE};

use crate::{
    client::Client,
    error::ClientError,
    sse::{SseBlock, SseDecoder},
};

/// Most bytes of one block: an event has at most 256 KiB, and the rest is room for servers that are more generous.
const MAX_BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// A request under way.
pub(super) struct Opening(Pin<Box<dyn Future<Output = Result<Opened, ClientError>> + Send>>);

/// How the server answered.
pub(super) enum Opened {
    /// With a stream.
    Stream(Box<Connection>),
    /// With 204: there is nothing more to come.
    Finished,
}

/// A stream under way.
pub(super) struct Connection {
    client: Client,
    body: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    decoder: SseDecoder,
}

impl Opening {
    pub(super) fn new(client: Client, url: Url, last_event_id: Option<String>) -> Self {
        Self(Box::pin(open(client, url, last_event_id)))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Opened, ClientError>> {
        self.0.as_mut().poll(cx)
    }
}

async fn open(client: Client, url: Url, last_event_id: Option<String>) -> Result<Opened, ClientError> {
    tracing::debug!(%url, last_event_id, "opening a stream");
    let response = client.open(url.clone(), last_event_id).await?;
    match response.status() {
        StatusCode::NO_CONTENT => return Ok(Opened::Finished),
        StatusCode::OK => {}
        _ => return Err(client.refusal(response).await),
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("text/event-stream") {
        let problem = format!("content type {kind:?} instead of text/event-stream");
        return Err(ClientError::Answer { url: url.into(), problem });
    }
    let body = Box::pin(response.bytes_stream());
    Ok(Opened::Stream(Box::new(Connection { client, body, decoder: SseDecoder::new(MAX_BLOCK_BYTES) })))
}

impl Connection {
    /// Reads one chunk. `Ok` when bytes came, `Err` at the end; the blocks before it are in `blocks` in both cases.
    pub(super) fn poll_blocks(
        &mut self,
        cx: &mut Context<'_>,
        blocks: &mut Vec<SseBlock>,
        retry: &mut Option<Duration>,
    ) -> Poll<Result<(), ClientError>> {
        let result = match ready!(self.body.as_mut().poll_next(cx)) {
            Some(Ok(chunk)) => self.decoder.feed(&chunk, blocks).map_err(ClientError::from),
            Some(Err(error)) => Err(self.client.transport(&error)),
            None => Err(ClientError::Closed),
        };
        *retry = self.decoder.retry();
        Poll::Ready(result)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}
