//! From an event to the queue of its run.

use std::fmt::{self, Write as _};

use core_events::{ExecutionId, LogLevel, LogLine, NodeId, limits};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use crate::queue;

/// Crates that carry events, and what is below them: what they log while they do is about their work, not a node's.
const OURS: &[&str] = &[
    "client",
    "event_store",
    "h2",
    "hyper",
    "hyper_util",
    "log_capture",
    "observer_legacy",
    "observer_unified",
    "router",
    "server",
    "tokio",
    "tokio_util",
    "tower",
    "tower_http",
    "tungstenite",
];

/// What the names of further ones begin with.
const OURS_BEGIN: &str = "transport_";

/// Whether events of `target`, which begins with the name of a crate, are left out.
#[must_use]
pub fn is_ours(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or(target);
    krate.starts_with(OURS_BEGIN) || OURS.contains(&krate)
}

/// A layer that puts events into the queues of the runs and nodes whose spans they happen in: the innermost span that names
/// an `execution`, and the innermost that names a `node` inside that.
///
/// An event outside of such spans belongs to no run and is left alone.
#[derive(Debug, Clone, Copy)]
pub struct CaptureLayer {
    level: Level,
}

/// Whose work a span is.
#[derive(Debug, Default)]
struct Place {
    execution: Option<ExecutionId>,
    node: Option<NodeId>,
}

/// The text of an event: its message, then its other fields as `name=value`.
#[derive(Debug, Default)]
struct Text {
    message: String,
    fields: String,
}

// === impl CaptureLayer ===

impl CaptureLayer {
    /// A layer that takes events of `level` and above.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self { level }
    }
}

impl<S> Layer<S> for CaptureLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut place = Place::default();
        attrs.record(&mut place);
        if (place.execution.is_some() || place.node.is_some())
            && let Some(span) = cx.span(id)
        {
            span.extensions_mut().replace(place);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.level() > &self.level || is_ours(metadata.target()) {
            return;
        }
        // From the innermost outwards.
        let mut node = None;
        for span in cx.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let Some(place) = extensions.get::<Place>() else { continue };
            node = node.or_else(|| place.node.clone());
            if let Some(execution) = &place.execution {
                queue::put(execution, || line(event, node));
                return;
            }
        }
    }
}

fn line(event: &Event<'_>, node: Option<NodeId>) -> LogLine {
    let mut text = Text::default();
    event.record(&mut text);
    let Text { mut message, fields } = text;
    message.push_str(if message.is_empty() { fields.trim_start() } else { &fields });
    let metadata = event.metadata();
    message.truncate(limits::head(&message, limits::MAX_LOG_LINE_BYTES).len());
    LogLine {
        node,
        level: match *metadata.level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warning,
            Level::INFO => LogLevel::Info,
            Level::DEBUG | Level::TRACE => LogLevel::Debug,
        },
        logger: metadata.target().to_owned(),
        message,
        truncated: false,
    }
}

// === impl Place ===

impl Place {
    fn take(&mut self, field: &Field, text: &str) {
        match field.name() {
            "execution" => self.execution = ExecutionId::parse(text).ok(),
            "node" => self.node = Some(NodeId::from(text)),
            _ => {}
        }
    }
}

impl Visit for Place {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // `%value` comes this way, too; other fields of a span may be costly to write.
        if matches!(field.name(), "execution" | "node") {
            self.take(field, &format!("{value:?}"));
        }
    }
}

// === impl Text ===

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String has no way to fail.
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_events_is_left_out() {
        for target in ["router", "router::views", "transport_sse::body", "hyper::proto::h1", "server::accept"]
        {
            assert!(is_ours(target), "{target}");
        }
        for target in ["engine::nodes", "routers", "a_model", "my::router"] {
            assert!(!is_ours(target), "{target}");
        }
    }
}
