//! Where crates meet: traits that know nothing of who stands on either side (I10).

mod clock;
mod encoder;
mod event_log;
mod execution_observer;
mod executions;
mod message_router;
mod stream_source;

pub use self::{
    clock::{Clock, SystemClock},
    encoder::Encoder,
    event_log::{
        AppendError, Appended, CommitListener, EventLog, ExecutionInfo, ListQuery, LogStats, LookupError,
        Pruned, ReadBatch, ReadError, ReadRange, RunSummary, Scope,
    },
    execution_observer::ExecutionObserver,
    executions::{
        Control, ControlError, DiagramSource, ExecutionSnapshot, Executions, OutputError, StartError,
        StartExecution, StartedExecution,
    },
    message_router::{MessageRouter, RouterStats},
    stream_source::{
        Block, Budget, Delivery, Start, StreamSource, SubscribeError, SubscribeRequest, Subscribed,
        Subscription,
    },
};
