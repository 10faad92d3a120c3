//! Control frames: what a stream says about itself. Never in the log, never with an id (I8).

use serde::{Deserialize, Serialize};

use crate::{Cursor, ExecutionId, Timestamp};

/// A part of the log that a reader did not get, told instead of passed over in silence (I4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last position before the hole, exclusive.
    pub from: Cursor,
    /// The last position of the hole, inclusive; the stream goes on behind it.
    pub to: Cursor,
    /// Why.
    pub reason: GapReason,
    /// Whether the reader must forget what it has and start over with what follows.
    pub reset: bool,
}

/// Why there is a [`Gap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The log no longer holds these events.
    Evicted,
    /// The cursor is of another life of the log.
    ForeignEpoch,
    /// The cursor points behind the end of the log.
    FutureCursor,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// All that matched up to here was delivered.
    pub cursor: Cursor,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The execution is over and all of it was delivered.
    Completed,
    /// The server stops.
    Shutdown,
    /// Another path serves this execution from now on.
    Moved,
    /// The reader was too slow.
    Slow,
    /// The execution was deleted.
    Deleted,
    /// The stream can't go on.
    Error,
}

/// A control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlFrame {
    /// The first frame of every stream.
    ConnectionEstablished,
    /// Ten seconds passed without a frame.
    Heartbeat,
    /// Events are missing here.
    StreamGap(Gap),
    /// The last frame of every stream.
    StreamEnd(EndReason),
}

// === impl EndReason ===

impl EndReason {
    /// Whether a client that comes back will find more.
    #[must_use]
    pub fn reconnect(self) -> bool {
        !matches!(self, Self::Completed | Self::Deleted)
    }
}

// === impl ControlFrame ===

#[derive(Serialize)]
struct Wire<'a, D: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<&'a ExecutionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct EndData {
    reason: EndReason,
    reconnect: bool,
}

impl ControlFrame {
    /// The JSON text; `execution` is absent on a stream of all runs.
    #[must_use]
    pub fn encode(&self, execution: Option<&ExecutionId>, timestamp: Timestamp) -> String {
        fn json<D: Serialize>(
            kind: &'static str,
            id: Option<&ExecutionId>,
            data: Option<D>,
            at: Timestamp,
        ) -> String {
            // Text keys and plain fields: serialising has no way to fail.
            serde_json::to_string(&Wire { kind, execution_id: id, data, timestamp: at }).unwrap_or_default()
        }
        match self {
            Self::ConnectionEstablished => json::<()>("CONNECTION_ESTABLISHED", execution, None, timestamp),
            Self::Heartbeat => json::<()>("HEARTBEAT", execution, None, timestamp),
            Self::StreamGap(gap) => json("STREAM_GAP", execution, Some(gap), timestamp),
            Self::StreamEnd(reason) => {
                let data = EndData { reason: *reason, reconnect: reason.reconnect() };
                json("STREAM_END", execution, Some(data), timestamp)
            }
        }
    }
}
