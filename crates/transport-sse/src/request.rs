//! What a client asks for: query parameters and `Last-Event-ID`.

mod query;
mod speed;

use std::collections::BTreeSet;

use core_events::{Cursor, EventType, ExecutionId, Filter, NodeId, ports::Start};
use http::HeaderMap;

pub use self::speed::Speed;

/// The longest name of an event type, in bytes.
const MAX_TYPE_BYTES: usize = 64;
/// The longest node id that can be asked for, in bytes.
const MAX_NODE_BYTES: usize = 1024;
/// The most items in one list.
const MAX_ITEMS: usize = 1000;

const PARAMETERS: [&str; 6] = ["types", "nodes", "executions", "from", "last_event_id", "speed"];
const LAST_EVENT_ID: &str = "last-event-id";

/// What a client wants of a stream.
///
/// # Resuming
///
/// The `Last-Event-ID` header goes before `?last_event_id`, and that before `?from=start|now|<cursor>`. So a URL with
/// `from=now` starts where its reader left off when an `EventSource` comes back to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRequest {
    /// Where to start; `None` if the client does not say.
    pub start: Option<Start>,
    /// What to leave out: `?types= ?nodes= ?executions=`, lists with commas. A comma inside a name is written `%2C`.
    pub filter: Filter,
    /// How many times as fast as it happened it is to be shown; `None` if it is to be shown as fast as can be.
    pub speed: Option<Speed>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A query parameter is wrong.
    #[error("query parameter `{name}`: {problem}")]
    Parameter {
        /// Which.
        name: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The header `Last-Event-ID` is wrong.
    #[error("header `Last-Event-ID`: {problem}")]
    LastEventId {
        /// What is wrong, and what would be right.
        problem: String,
    },
}

// === impl StreamRequest ===

impl StreamRequest {
    /// Reads the query, without its `?`, and the headers.
    ///
    /// # Errors
    ///
    /// [`RequestError`] names the parameter. All parameters are checked, also those that another goes before.
    pub fn parse(query: Option<&str>, headers: &HeaderMap) -> Result<Self, RequestError> {
        let mut filter = Filter::default();
        let (mut from, mut last_event_id, mut speed) = (None, None, None);
        for (name, raw) in query::pairs(query.unwrap_or_default())? {
            let wrong = |problem: String| RequestError::Parameter { name: name.clone(), problem };
            match name.as_str() {
                "types" => extend(&mut filter.types, raw, event_type).map_err(wrong)?,
                "nodes" => extend(&mut filter.nodes, raw, node).map_err(wrong)?,
                "executions" => extend(&mut filter.executions, raw, execution).map_err(wrong)?,
                "from" => {
                    let start = from_parameter(&query::decode(raw).map_err(wrong)?).map_err(wrong)?;
                    once(&mut from, Some(start)).map_err(wrong)?;
                }
                "last_event_id" => {
                    let text = query::decode(raw).map_err(wrong)?;
                    once(&mut last_event_id, after(&text).map_err(wrong)?).map_err(wrong)?;
                }
                "speed" => {
                    let text = query::decode(raw).map_err(wrong)?;
                    once(&mut speed, text.parse().map_err(wrong)?).map_err(wrong)?;
                }
                _ => return Err(unknown(&name)),
            }
        }
        let header = match headers.get(LAST_EVENT_ID) {
            None => None,
            Some(value) => {
                let wrong = |problem: String| RequestError::LastEventId { problem };
                let text = value.to_str().map_err(|_| wrong("it is no ASCII text".to_owned()))?;
                after(text).map_err(wrong)?
            }
        };
        Ok(Self { start: header.or(last_event_id.flatten()).or(from.flatten()), filter, speed })
    }
}

// === impl RequestError ===

impl RequestError {
    /// The parameter or header that is wrong.
    #[must_use]
    pub fn parameter(&self) -> &str {
        match self {
            Self::Parameter { name, .. } => name,
            Self::LastEventId { .. } => "Last-Event-ID",
        }
    }
}

/// A client that has no id yet may send an empty one.
fn after(text: &str) -> Result<Option<Start>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(|cursor: Cursor| Some(Start::After(cursor))).map_err(|error| error.to_string())
}

fn from_parameter(text: &str) -> Result<Start, String> {
    match text {
        "start" => Ok(Start::Beginning),
        "now" => Ok(Start::Now),
        text => text
            .parse()
            .map(Start::After)
            .map_err(|error| format!("`start`, `now` or a cursor is expected; {error}")),
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("it is given twice".to_owned()),
    }
}

fn extend<T: Ord>(
    set: &mut Option<BTreeSet<T>>,
    raw: &str,
    item: impl Fn(&str) -> Result<T, String>,
) -> Result<(), String> {
    let set = set.get_or_insert_with(BTreeSet::new);
    for raw in raw.split(',') {
        let text = query::decode(raw)?;
        if text.is_empty() {
            return Err("it has an empty item; names are separated by single commas".to_owned());
        }
        set.insert(item(&text)?);
        if set.len() > MAX_ITEMS {
            return Err(format!("it has more than {MAX_ITEMS} items"));
        }
    }
    Ok(())
}

/// Any name of the usual characters, since foreign engines have types of their own.
fn event_type(text: &str) -> Result<EventType, String> {
    let valid = text.len() <= MAX_TYPE_BYTES
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if valid {
        Ok(EventType::from(text))
    } else {
        Err(format!(
            "{text:?} is no event type; one has 1 to {MAX_TYPE_BYTES} characters A-Z a-z 0-9 _ . -, such as \
             NODE_STATUS_CHANGED"
        ))
    }
}

fn node(text: &str) -> Result<NodeId, String> {
    if text.len() <= MAX_NODE_BYTES {
        Ok(NodeId::from(text))
    } else {
        Err(format!("a node id has more than {MAX_NODE_BYTES} bytes"))
    }
}

fn execution(text: &str) -> Result<ExecutionId, String> {
    ExecutionId::parse(text).map_err(|error| error.to_string())
}

fn unknown(name: &str) -> RequestError {
    let nearest = PARAMETERS
        .into_iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    let nearest = nearest.filter(|known| strsim::jaro_winkler(name, known) > 0.8);
    let problem = match nearest {
        Some(known) => format!("there is no such parameter; did you mean `{known}`?"),
        None => format!("there is no such parameter; there are {}", PARAMETERS.join(", ")),
    };
    RequestError::Parameter { name: name.chars().take(64).collect(), problem }
}

#[cfg(test)]
mod tests;
