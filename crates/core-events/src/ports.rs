//! Where crates meet: traits that know nothing of who stands on either side (I10).

mod cli_sessions;
mod clock;
mod diagrams;
mod encoder;
mod event_log;
mod execution_observer;
mod executions;
mod message_router;
mod stream_source;
mod system;

pub use self::{
    cli_sessions::{CliSession, CliSessions, NewCliSession},
    clock::{Clock, SystemClock},
    diagrams::{DiagramEntry, DiagramError, DiagramFile, DiagramReport, Diagrams},
    encoder::Encoder,
    event_log::{
        AppendError, Appended, CommitListener, EventLog, ExecutionInfo, ListQuery, LogStats, LookupError,
        Pruned, ReadBatch, ReadError, ReadRange, RunSummary, Scope,
    },
    execution_observer::ExecutionObserver,
    executions::{
        Control, ControlError, DiagramSource, ExecutionSnapshot, Executions, MonitoringPath, OutputError,
        StartError, StartExecution, StartedExecution,
    },
    message_router::{MessageRouter, RouterStats},
    stream_source::{
        Block, Budget, Delivery, Start, StreamSource, SubscribeError, SubscribeRequest, Subscribed,
        Subscription,
    },
    system::{Health, System, SystemInfo},
};
