//! The fields of a JSON object, checked all at once so that a client learns of every fault together.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::Problem;

/// The most unknown fields that are named, so that an answer stays far smaller than what it answers.
const MAX_UNKNOWN: usize = 20;

/// Takes the fields that are expected out of an object; what is left at the end is unknown.
#[derive(Debug)]
pub(crate) struct Fields {
    map: Map<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<String>,
}

// === impl Fields ===

impl Fields {
    /// The fields of `body`; an empty body has none.
    pub(crate) fn new(body: Option<Value>) -> Result<Self, Problem> {
        let map = match body {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(other) => {
                let error = format!("the body: an object is expected, this is {}", kind(&other));
                return Err(invalid(vec![error]));
            }
        };
        Ok(Self { map, known: Vec::new(), errors: Vec::new() })
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.take(name, "a text", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    pub(crate) fn truth(&mut self, name: &'static str) -> Option<bool> {
        self.take(name, "true or false", |value| value.as_bool().ok_or(value))
    }

    pub(crate) fn object(&mut self, name: &'static str) -> Option<Map<String, Value>> {
        self.take(name, "an object", |value| match value {
            Value::Object(map) => Ok(map),
            other => Err(other),
        })
    }

    pub(crate) fn seconds(&mut self, name: &'static str) -> Option<Duration> {
        self.take(name, "a number of seconds greater than 0", |value| {
            let seconds = value.as_f64().filter(|seconds| *seconds > 0.0);
            seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or(value)
        })
    }

    /// Notes a fault of the field `name`.
    pub(crate) fn fault(&mut self, name: &str, problem: &str) {
        self.errors.push(format!("{name}: {problem}"));
    }

    /// Refuses the body if anything was wrong with it.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for name in self.map.keys().take(MAX_UNKNOWN) {
            self.errors.push(format!("{}: {}", shown(name), unknown("field", name, &self.known)));
        }
        if let Some(more) = self.map.len().checked_sub(MAX_UNKNOWN).filter(|more| *more > 0) {
            self.errors.push(format!("… and {more} more unknown fields"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(invalid(self.errors)) }
    }

    /// A null is as good as an absent field.
    fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Option<T> {
        self.known.push(name);
        match self.map.shift_remove(name)? {
            Value::Null => None,
            value => read(value)
                .map_err(|value| {
                    let given = match &value {
                        Value::Number(number) => number.to_string(),
                        other => kind(other).to_owned(),
                    };
                    self.fault(name, &format!("{expected} is expected, this is {given}"));
                })
                .ok(),
        }
    }
}

/// What to say of a name that is not there.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let score = |known: &str| strsim::jaro_winkler(name, known);
    let nearest = known.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)));
    match nearest.filter(|known| score(known) > 0.8) {
        Some(known) => format!("there is no such {what}; did you mean `{known}`?"),
        None => format!("there is no such {what}; there are {}", known.join(", ")),
    }
}

/// A name from outside, cut to a length that fits into a message.
fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn invalid(errors: Vec<String>) -> Problem {
    let detail = format!("the body has {} fault(s)", errors.len());
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", detail).with_errors(errors)
}
