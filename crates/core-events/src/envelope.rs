//! The JSON event: `{"type", "execution_id", "data", "timestamp", "seq", …}`.

use std::{cell::Cell, fmt, iter};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeSeed, MapAccess, Visitor, value::MapDeserializer},
    ser::SerializeMap,
};
use serde_json::{Map, Value, value::RawValue};

use crate::{Event, EventType, ExecutionId, Seq, Timestamp, UnknownEvent};

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
        // Most events fit without the buffer growing on the way.
        let mut json = Vec::with_capacity(512);
        // Maps have text keys and values come from JSON, so that serialising into memory has no way to fail; an empty
        // object would be the answer if it did.
        match serde_json::to_writer(&mut json, self) {
            // What is kept, for as long as the log has it, is no larger than its text.
            Ok(()) => Bytes::from(json.into_boxed_slice()),
            Err(_) => Bytes::from_static(b"{}"),
        }
    }

    /// Reads one event, in one pass over the text.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] naming the field. Unknown types and fields are no error; a field that is there twice is.
    pub fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        let at = Cell::new("event");
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let read = deserializer.deserialize_map(EnvelopeVisitor { at: &at });
        read.and_then(|envelope| deserializer.end().map(|()| envelope))
            .map_err(|e| explain(json, at.get(), e))
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

/// Reads the fields in the order in which they come.
struct EnvelopeVisitor<'a> {
    /// The field that is read: the place of whatever is wrong.
    at: &'a Cell<&'static str>,
}

/// `data` of an event of this type.
struct Data(EventType);

/// A field of the envelope.
enum Key {
    Type,
    ExecutionId,
    Data,
    Timestamp,
    Seq,
    ParentExecutionId,
    RootExecutionId,
    Other(String),
}

impl<'de> Visitor<'de> for EnvelopeVisitor<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let (mut name, mut event) = (None, None);
        // Only where `data` stands in front of `type`.
        let mut data: Option<&'de RawValue> = None;
        let (mut execution_id, mut timestamp, mut seq) = (None, None, None);
        let (mut parent, mut root) = (None, None);
        let mut extra = Map::new();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Type => self.read("type", &mut map, &mut name)?,
                Key::ExecutionId => self.read("execution_id", &mut map, &mut execution_id)?,
                Key::Timestamp => self.read("timestamp", &mut map, &mut timestamp)?,
                Key::Seq => self.read("seq", &mut map, &mut seq)?,
                Key::ParentExecutionId => self.read("parent_execution_id", &mut map, &mut parent)?,
                Key::RootExecutionId => self.read("root_execution_id", &mut map, &mut root)?,
                Key::Data if data.is_some() || event.is_some() => return Err(self.twice("data")),
                Key::Data => {
                    self.at.set("data");
                    match &name {
                        Some(Some(Name(name))) => event = Some(map.next_value_seed(Data(name.clone()))?),
                        _ => data = Some(map.next_value()?),
                    }
                }
                Key::Other(key) => {
                    self.at.set("event");
                    let value = map.next_value()?;
                    if extra.contains_key(&key) {
                        return Err(self.twice(&key));
                    }
                    extra.insert(key, value);
                }
            }
        }
        self.at.set("type");
        let Name(name) = name.flatten().ok_or_else(|| de::Error::custom("a text is expected"))?;
        self.at.set("execution_id");
        let execution_id = execution_id.flatten().ok_or_else(|| de::Error::custom("it is missing"))?;
        self.at.set("data");
        let event = match (event, data) {
            (Some(event), _) => event,
            (None, Some(data)) => {
                let mut data = serde_json::Deserializer::from_str(data.get());
                Data(name).deserialize(&mut data).map_err(de::Error::custom)?
            }
            (None, None) => Data(name).deserialize(MapDeserializer::new(iter::empty::<(&str, &str)>()))?,
        };
        Ok(Envelope {
            event,
            execution_id,
            timestamp: timestamp.flatten(),
            seq: seq.flatten(),
            parent_execution_id: parent.flatten(),
            root_execution_id: root.flatten(),
            extra,
        })
    }
}

impl EnvelopeVisitor<'_> {
    /// Reads `field` into its `slot`: `None` as long as it has not come, `Some(None)` if it is null.
    fn read<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
        &self,
        field: &'static str,
        map: &mut A,
        slot: &mut Option<Option<T>>,
    ) -> Result<(), A::Error> {
        if slot.is_some() {
            return Err(self.twice(field));
        }
        self.at.set(field);
        *slot = Some(map.next_value()?);
        Ok(())
    }

    fn twice<E: de::Error>(&self, field: &str) -> E {
        self.at.set("event");
        de::Error::custom(format_args!("the field {field:?} is there twice"))
    }
}

impl<'de> DeserializeSeed<'de> for Data {
    type Value = Event;

    fn deserialize<D: Deserializer<'de>>(self, data: D) -> Result<Event, D::Error> {
        Ok(match self.0 {
            EventType::ExecutionStatusChanged => {
                Event::ExecutionStatusChanged(Deserialize::deserialize(data)?)
            }
            EventType::NodeStatusChanged => Event::NodeStatusChanged(Deserialize::deserialize(data)?),
            EventType::ExecutionError => Event::ExecutionError(Deserialize::deserialize(data)?),
            EventType::ExecutionLog => Event::ExecutionLog(Deserialize::deserialize(data)?),
            EventType::InteractivePrompt => Event::InteractivePrompt(Deserialize::deserialize(data)?),
            EventType::InteractiveResponse => Event::InteractiveResponse(Deserialize::deserialize(data)?),
            EventType::NodeProgress => Event::NodeProgress(Deserialize::deserialize(data)?),
            EventType::Other(name) => {
                let data = Deserialize::deserialize(data)?;
                Event::Unknown(UnknownEvent { event_type: name.as_ref().into(), data })
            }
        })
    }
}

/// A type's name.
struct Name(EventType);

macro_rules! from_text {
    ($type:ident, $read:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a text")
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        Ok($read(text))
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

from_text!(Name, |text: &str| Name(EventType::from(text)));
from_text!(Key, |text: &str| match text {
    "type" => Key::Type,
    "execution_id" => Key::ExecutionId,
    "data" => Key::Data,
    "timestamp" => Key::Timestamp,
    "seq" => Key::Seq,
    "parent_execution_id" => Key::ParentExecutionId,
    "root_execution_id" => Key::RootExecutionId,
    other => Key::Other(other.to_owned()),
});

/// What is wrong at `at`, in words.
fn explain(json: &[u8], at: &'static str, error: serde_json::Error) -> DecodeError {
    if !error.is_data() {
        return DecodeError::Json(error);
    }
    let text = without_position(&error);
    // Where serde speaks of types, its words are not those of the wire.
    let typed = text.starts_with("invalid type") || text.starts_with("invalid value");
    match at {
        "data" => explain_data(json).unwrap_or_else(|| field(at, text)),
        "event" if typed => field(at, "an object is expected"),
        "seq" if typed => field(at, "a whole number is expected"),
        _ if typed => field(at, "a text is expected"),
        _ => field(at, text),
    }
}

/// Reads `data` once more, for the path of the field.
fn explain_data(json: &[u8]) -> Option<DecodeError> {
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(rename = "type")]
        name: Name,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }

    let Parts { name: Name(name), data } = serde_json::from_slice(json).ok()?;
    let mut data = serde_json::Deserializer::from_str(data.map_or("{}", RawValue::get));
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut data, &mut track);
    let error = Data(name).deserialize(tracked).err()?;
    let path = match track.path() {
        path if path.iter().next().is_none() => "data".to_owned(),
        path => format!("data.{path}"),
    };
    Some(field(&path, without_position(&error)))
}

/// What is said without the place in the text, which is another one for whoever sent it.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned()
}

fn field(field: &str, problem: impl Into<String>) -> DecodeError {
    DecodeError::Field { field: field.to_owned(), problem: problem.into() }
}
