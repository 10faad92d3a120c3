//! A reader of event streams, written apart from the product's own, so that it can contradict it.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream::BoxStream};
use serde_json::Value;

/// One block of a stream, as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its `id:`.
    pub id: Option<String>,
    /// Its `data:`, as JSON; absent on a block that only has an id.
    pub data: Option<Value>,
}

/// An open stream.
pub struct Sse {
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer.
    pub headers: reqwest::header::HeaderMap,
    /// The last id seen: what a browser would send as `Last-Event-ID`.
    pub last_id: Option<String>,
    /// Bytes read so far.
    pub bytes: usize,
    chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: Vec<u8>,
    frames: VecDeque<Frame>,
}

impl std::fmt::Debug for Sse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sse")
            .field("status", &self.status)
            .field("last_id", &self.last_id)
            .finish_non_exhaustive()
    }
}

impl Sse {
    /// Opens `url`, resuming behind `last_id`.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn open(url: &str, last_id: Option<&str>) -> Self {
        Self::try_open(url, last_id).await.expect("the server answers")
    }

    /// Opens `url`, resuming behind `last_id`; `None` when the server does not answer.
    pub async fn try_open(url: &str, last_id: Option<&str>) -> Option<Self> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(url);
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let chunks = Box::pin(response.bytes_stream()) as BoxStream<'static, _>;
        let (text, frames) = (vec![], VecDeque::new());
        Some(Self { status, headers, last_id: None, bytes: 0, chunks, text, frames })
    }

    /// The next block; `None` when the server closed the stream.
    ///
    /// # Panics
    ///
    /// When the stream breaks, or stays silent for too long.
    pub async fn next(&mut self) -> Option<Frame> {
        self.try_next().await.expect("a stream broke")
    }

    /// The next block; `None` when the server closed the stream, an error when it breaks.
    ///
    /// # Errors
    ///
    /// What the connection said.
    ///
    /// # Panics
    ///
    /// When it stays silent for too long.
    pub async fn try_next(&mut self) -> reqwest::Result<Option<Frame>> {
        while self.frames.is_empty() {
            let chunk = tokio::time::timeout(super::wait::PATIENCE, self.chunks.next()).await;
            let Some(chunk) = chunk.expect("a stream stayed silent").transpose()? else { return Ok(None) };
            self.bytes += chunk.len();
            self.text.extend_from_slice(&chunk);
            self.cut_frames();
        }
        let frame = self.frames.pop_front();
        if let Some(id) = frame.as_ref().and_then(|frame| frame.id.clone()) {
            self.last_id = Some(id);
        }
        Ok(frame)
    }

    /// All that comes until the server closes the stream.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Reads the body as it is.
    pub async fn body(mut self) -> String {
        while let Some(Ok(chunk)) = self.chunks.next().await {
            self.text.extend_from_slice(&chunk);
        }
        String::from_utf8_lossy(&self.text).into_owned()
    }

    fn cut_frames(&mut self) {
        // Up to the last blank line; what follows is the beginning of a block that is still under way.
        let Some(end) = self.text.windows(2).rposition(|two| two == b"\n\n") else { return };
        let rest = self.text.split_off(end + 2);
        let whole = String::from_utf8(std::mem::replace(&mut self.text, rest)).unwrap();
        for block in whole.split_terminator("\n\n") {
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
            };
            for line in block.lines().filter(|line| !line.is_empty()) {
                let known = ["id: ", "data: ", "retry: ", ":"].iter().any(|name| line.starts_with(name));
                assert!(known, "a line that is none of ours: {line:?}");
            }
            let data = field("data").map(|text| serde_json::from_str(&text).unwrap());
            self.frames.push_back(Frame { id: field("id"), data });
        }
    }
}

impl Frame {
    /// The type of its event; empty on a block that only has an id.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.data.as_ref().and_then(|data| data["type"].as_str()).unwrap_or_default()
    }

    /// Whether it is an event of the log: those and only those have an id and data.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.data.is_some() && self.id.is_some()
    }

    /// The event's place in its run.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        self.data.as_ref().and_then(|data| data["seq"].as_u64())
    }
}

/// The places of the events among `frames`.
#[must_use]
pub fn seqs(frames: &[Frame]) -> Vec<u64> {
    frames.iter().filter(|frame| frame.is_event()).filter_map(Frame::seq).collect()
}
