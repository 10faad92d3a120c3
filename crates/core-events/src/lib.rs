//! Events, ids, cursors, the state reducer, and the ports that every other crate meets at.
//!
//! - A run's engine tells an [`ExecutionObserver`](ports::ExecutionObserver) what happens ([`callback`]s); [`facts`] maps
//!   that to [`Fact`]s; an [`EventLog`](ports::EventLog) gives each its place and makes it a [`Record`].
//! - [`Envelope`] is the JSON event that every reader sees; [`ControlFrame`] is what a stream says about itself.
//! - [`ExecutionState`] is the fold over envelopes: the one reducer.
//! - [`Cursor`] is the one position that every transport takes and gives.
//!
//! No runtime, no HTTP, no I/O.

pub mod callback;
mod control;
mod cursor;
mod envelope;
pub mod event;
pub mod facts;
mod filter;
mod ids;
pub mod limits;
pub mod ports;
mod record;
mod state;
mod status;
mod timestamp;

pub use callback::{
    CallbackContext, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionStart, LogLine,
    NodeComplete, NodeError, NodeOutput, NodeRef, NodeSkipped, NodeStart, Progress, Prompt, PromptResponse,
    StatusChange,
};
pub use control::{ControlFrame, End, EndReason, Gap, GapReason};
pub use cursor::{Cursor, CursorError, Epoch, Offset, Seq};
pub use envelope::{DecodeError, Envelope};
pub use event::{
    Event, EventType, ExecutionError, ExecutionLog, ExecutionStatusChanged, InteractivePrompt,
    InteractiveResponse, NodeProgress, NodeStatusChanged, TokenUsage, UnknownEvent,
};
pub use filter::Filter;
pub use ids::{ExecutionId, ExecutionIdError, MAX_EXECUTION_ID_BYTES, NodeId, NodeType};
pub use record::{Fact, Record, TooLarge, inline_output, output_ref};
pub use state::{ExecutionState, NodeState};
pub use status::{ExecutionStatus, LogLevel, NodeStatus};
pub use timestamp::{Timestamp, TimestampError};
