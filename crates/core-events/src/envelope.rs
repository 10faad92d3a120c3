//! The JSON event: `{"type", "execution_id", "data", "timestamp", "seq", …}`.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{Event, EventType, ExecutionId, ExecutionIdError, Seq, Timestamp, TimestampError, UnknownEvent};

/// An event with where and when: what a reader of any stream gets.
///
/// Unknown fields and types survive decoding and encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// What happened.
    pub event: Event,
    /// In which execution.
    pub execution_id: ExecutionId,
    /// When. Absent only in events of foreign engines.
    pub timestamp: Option<Timestamp>,
    /// Its place in the log of its root run; ephemeral events have none.
    pub seq: Option<Seq>,
    /// The execution that started this one, on sub-runs.
    pub parent_execution_id: Option<ExecutionId>,
    /// The execution at the top, on sub-runs.
    pub root_execution_id: Option<ExecutionId>,
    /// Fields of the envelope that this build does not know.
    pub extra: Map<String, Value>,
}

/// Why a text is no event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(serde_json::Error),
    /// The envelope's shape is wrong.
    #[error("{field}: {problem}")]
    Field {
        /// The path of the field, such as `data.node_id`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

// === impl Envelope ===

impl Envelope {
    /// The JSON text, compact.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // Maps have text keys and values come from JSON, so that serialising into memory has no way to fail; an empty
        // object would be the answer if it did.
        serde_json::to_vec(self).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from)
    }

    /// Reads one event.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] naming the field. Unknown types and fields are no error.
    pub fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        let value: Value = serde_json::from_slice(json).map_err(DecodeError::Json)?;
        let Value::Object(mut map) = value else {
            return Err(field("event", "an object is expected"));
        };
        let Some(Value::String(name)) = map.shift_remove("type") else {
            return Err(field("type", "a text is expected"));
        };
        let id = |map: &mut Map<String, Value>, key: &str| match map.shift_remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                ExecutionId::parse(&text).map(Some).map_err(|e: ExecutionIdError| field(key, &e.to_string()))
            }
            Some(_) => Err(field(key, "a text is expected")),
        };
        let execution_id =
            id(&mut map, "execution_id")?.ok_or_else(|| field("execution_id", "it is missing"))?;
        let parent_execution_id = id(&mut map, "parent_execution_id")?;
        let root_execution_id = id(&mut map, "root_execution_id")?;
        let timestamp = match map.shift_remove("timestamp") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                Some(text.parse().map_err(|e: TimestampError| field("timestamp", &e.to_string()))?)
            }
            Some(_) => return Err(field("timestamp", "a text is expected")),
        };
        let seq = match map.shift_remove("seq") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_u64().ok_or_else(|| field("seq", "a whole number is expected"))?),
        };
        let data = map.shift_remove("data").unwrap_or_else(|| Value::Object(Map::new()));
        let event = decode_event(&name, data)?;
        Ok(Self { event, execution_id, timestamp, seq, parent_execution_id, root_execution_id, extra: map })
    }
}

/// By hand: the original's keys in the original's order, then ours.
impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.event.event_type().as_str())?;
        map.serialize_entry("execution_id", &self.execution_id)?;
        match &self.event {
            Event::ExecutionStatusChanged(data) => map.serialize_entry("data", data)?,
            Event::NodeStatusChanged(data) => map.serialize_entry("data", data)?,
            Event::ExecutionError(data) => map.serialize_entry("data", data)?,
            Event::ExecutionLog(data) => map.serialize_entry("data", data)?,
            Event::InteractivePrompt(data) => map.serialize_entry("data", data)?,
            Event::InteractiveResponse(data) => map.serialize_entry("data", data)?,
            Event::NodeProgress(data) => map.serialize_entry("data", data)?,
            Event::Unknown(event) => map.serialize_entry("data", &event.data)?,
        }
        if let Some(timestamp) = &self.timestamp {
            map.serialize_entry("timestamp", timestamp)?;
        }
        if let Some(seq) = &self.seq {
            map.serialize_entry("seq", seq)?;
        }
        if let Some(id) = &self.parent_execution_id {
            map.serialize_entry("parent_execution_id", id)?;
        }
        if let Some(id) = &self.root_execution_id {
            map.serialize_entry("root_execution_id", id)?;
        }
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn decode_event(name: &str, data: Value) -> Result<Event, DecodeError> {
    fn typed<T: DeserializeOwned>(data: Value) -> Result<T, DecodeError> {
        serde_json::from_value(data).map_err(|e| field("data", &e.to_string()))
    }
    Ok(match EventType::from(name) {
        EventType::ExecutionStatusChanged => Event::ExecutionStatusChanged(typed(data)?),
        EventType::NodeStatusChanged => Event::NodeStatusChanged(typed(data)?),
        EventType::ExecutionError => Event::ExecutionError(typed(data)?),
        EventType::ExecutionLog => Event::ExecutionLog(typed(data)?),
        EventType::InteractivePrompt => Event::InteractivePrompt(typed(data)?),
        EventType::InteractiveResponse => Event::InteractiveResponse(typed(data)?),
        EventType::NodeProgress => Event::NodeProgress(typed(data)?),
        EventType::Other(name) => Event::Unknown(UnknownEvent { event_type: name.as_ref().into(), data }),
    })
}

fn field(field: &str, problem: &str) -> DecodeError {
    DecodeError::Field { field: field.to_owned(), problem: problem.to_owned() }
}
