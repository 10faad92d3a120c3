//! What the lines of an export say.

use core_events::{ExecutionId, Seq, Timestamp};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// The version of the format.
pub(super) const VERSION: u64 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) dipeo_export: u64,
    pub(super) execution_id: ExecutionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exported_at: Option<Timestamp>,
    /// Of the program that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
}

/// In front of the event `output_of`: its output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Output<'a> {
    pub(super) output_of: Seq,
    pub(super) execution_id: ExecutionId,
    #[serde(borrow)]
    pub(super) output: &'a RawValue,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) end: bool,
    pub(super) events: u64,
    pub(super) sha256: String,
}

/// Which of them a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    Output,
    End,
    Unknown,
}

#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "type")]
    event: Option<IgnoredAny>,
    output_of: Option<IgnoredAny>,
    end: Option<IgnoredAny>,
}

// === impl Kind ===

impl Kind {
    /// An event may have any field, so that its type goes before all.
    pub(super) fn of(line: &[u8]) -> serde_json::Result<Self> {
        let keys: Keys = serde_json::from_slice(line)?;
        Ok(match keys {
            Keys { event: Some(_), .. } => Self::Event,
            Keys { output_of: Some(_), .. } => Self::Output,
            Keys { end: Some(_), .. } => Self::End,
            _ => Self::Unknown,
        })
    }
}
