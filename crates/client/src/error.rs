//! What can go wrong between us and a server.

use core_events::EndReason;
use serde_json::Value;

use crate::sse::TooLong;

/// Most bytes of a body that is quoted in an error.
const QUOTED_BYTES: usize = 200;

/// Why a request, or a stream, came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{url:?} is no address of a server: {problem}; write it like http://127.0.0.1:8000")]
    Address {
        /// As given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The address asks for TLS.
    #[error("{url}: https is not supported yet; use http, and only where the network can be trusted")]
    Tls {
        /// As given.
        url: String,
    },
    /// Nobody answers there.
    #[error("can't connect to {server}: {problem}; is a server running there? `dipeo serve` starts one")]
    Connect {
        /// Where to.
        server: String,
        /// What the network said.
        problem: String,
    },
    /// The connection broke, or no answer came in time.
    #[error("{server}: {problem}")]
    Transport {
        /// Where to.
        server: String,
        /// What the network said.
        problem: String,
    },
    /// The server refused.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The answer is not what this API promises.
    #[error("{url} gave an answer that is not understood ({problem}); is it a DiPeO server of this version?")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A block of a stream is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The server ended the stream though there is more to come.
    #[error("the server ended the stream ({})", reason_text(*.0))]
    Ended(EndReason),
    /// The connection was closed in the middle of the stream.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came, not even a heartbeat.
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Silence(std::time::Duration),
}

/// A refusal as RFC 9457 has it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What kind, as a URI; `about:blank` if there is none.
    pub kind: String,
    /// A few words.
    pub title: String,
    /// This very case.
    pub detail: Option<String>,
    /// Every single fault, if there are several: for instance those of a diagram, each with its place.
    pub errors: Vec<String>,
}

// === impl ClientError ===

impl ClientError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Transport { .. }
            | Self::Ended(_)
            | Self::Closed
            | Self::Silence(_) => true,
            Self::Refused(problem) => problem.status >= 500 || problem.status == 429,
            Self::Address { .. } | Self::Tls { .. } | Self::Answer { .. } | Self::TooLong(_) => false,
        }
    }
}

fn reason_text(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Completed => "the execution is over",
        EndReason::Shutdown => "it is stopping",
        EndReason::Moved => "another path serves this execution now",
        EndReason::Slow => "this reader was too slow",
        EndReason::Deleted => "the execution was deleted",
        EndReason::Error => "an error on its side",
    }
}

// === impl Problem ===

impl Problem {
    /// Reads a refusal; a body that is no problem+json is quoted in the detail.
    pub(crate) fn read(status: u16, title: &str, body: &[u8]) -> Self {
        let mut problem =
            Self { status, kind: "about:blank".to_owned(), title: title.to_owned(), ..Self::default() };
        let Ok(Value::Object(map)) = serde_json::from_slice(body) else {
            let body = String::from_utf8_lossy(body);
            let body = core_events::limits::head(body.trim(), QUOTED_BYTES);
            // Of a proxy, or of a server that is no DiPeO: its words may be anything, such as a page of HTML.
            let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
            problem.detail =
                (!body.is_empty()).then(|| format!("the server refused: {status} {title} ({body})"));
            return problem;
        };
        let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(kind) = text("type") {
            problem.kind = kind;
        }
        if let Some(title) = text("title") {
            problem.title = title;
        }
        problem.detail = text("detail");
        if let Some(Value::Array(errors)) = map.get("errors") {
            problem.errors = errors.iter().map(fault).collect();
        }
        problem
    }
}

/// One entry of `errors`: a text, or an object with a text and the place of the fault.
fn fault(error: &Value) -> String {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    match (error, text("detail").or_else(|| text("message")), text("pointer").or_else(|| text("field"))) {
        (Value::String(text), ..) => text.clone(),
        (_, Some(detail), Some(place)) => format!("{place}: {detail}"),
        (_, Some(detail), None) => detail.to_owned(),
        (other, None, _) => other.to_string(),
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.detail {
            Some(detail) => f.write_str(detail)?,
            None => write!(f, "the server refused: {} {}", self.status, self.title)?,
        }
        for error in &self.errors {
            write!(f, "\n{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_every_fault() {
        let body = br#"{"type":"urn:x","title":"Bad","status":422,"detail":"the diagram has 2 faults",
            "errors":["a.yaml:1:1: error: x",{"pointer":"/inputs","detail":"no object"},{"odd":1}]}"#;
        let problem = Problem::read(422, "Unprocessable", body);
        assert_eq!(problem.errors, ["a.yaml:1:1: error: x", "/inputs: no object", r#"{"odd":1}"#]);
        assert_eq!((problem.kind.as_str(), problem.title.as_str()), ("urn:x", "Bad"));
        assert_eq!(
            problem.to_string(),
            "the diagram has 2 faults\na.yaml:1:1: error: x\n/inputs: no object\n{\"odd\":1}"
        );
    }

    #[test]
    fn a_refusal_of_somebody_else_is_quoted_in_part() {
        let problem = Problem::read(502, "Bad Gateway", "ü".repeat(500).as_bytes());
        assert!(problem.detail.unwrap().len() <= QUOTED_BYTES + 50);
        assert_eq!(
            Problem::read(501, "Not Implemented", b"<html>\n  <p>no</p>\n</html>").to_string(),
            "the server refused: 501 Not Implemented (<html> <p>no</p> </html>)"
        );
        assert_eq!(
            Problem::read(502, "Bad Gateway", b" ").to_string(),
            "the server refused: 502 Bad Gateway"
        );
    }
}
