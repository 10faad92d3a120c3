//! What code logs while it works for a node becomes a log line of that node; the guide's `capture_logs`.
//!
//! - The engine does a node's work inside a span with the fields `execution` and `node`. [`CaptureLayer`], a layer of the
//!   process' one `tracing` subscriber, looks at the span of each event, and puts what belongs to a run into that run's
//!   queue. Nothing is guessed from threads or times, so that no line gets into a foreign run or node.
//! - [`CapturedObserver`] wraps a run's observer. A task that it owns takes the lines from the queue and makes
//!   callbacks of them, between the engine's.
//!
//! Whatever carries events is left out ([`is_ours`]): a line about a line would have no end. So are the lines of programs
//! that nodes start, which are callbacks of the engine already.

mod captured_observer;
mod layer;
mod queue;

pub use self::{
    captured_observer::CapturedObserver,
    layer::{CaptureLayer, is_ours},
    queue::MAX_WAITING_LINES,
};
