//! Where crates meet: traits that know nothing of who stands on either side (I10).

mod archive;
mod cli_sessions;
mod clock;
mod diagrams;
mod encoder;
mod event_log;
mod execution_observer;
mod executions;
mod history;
mod ingest;
mod log_stats;
mod message_router;
mod stream_source;
mod system;

pub use self::{
    archive::{Archive, ArchivedEvent, ImportError, Importing},
    cli_sessions::{CliSession, CliSessions, NewCliSession},
    clock::{Clock, SystemClock},
    diagrams::{DiagramEntry, DiagramError, DiagramFile, DiagramReport, Diagrams},
    encoder::Encoder,
    event_log::{
        Append, AppendError, Appended, CommitListener, EventLog, ExecutionInfo, ListQuery, LogProblem,
        LogProblemKind, LookupError, ProducerBatch, Pruned, ReadBatch, ReadError, ReadRange, RemoveError,
        RunSummary, Scope, Unstored,
    },
    execution_observer::ExecutionObserver,
    executions::{
        Control, ControlError, DiagramSource, ExecutionSnapshot, Executions, MonitoringPath, OutputError,
        StartError, StartExecution, StartedExecution,
    },
    history::{EventPage, EventsQuery, History, HistoryError},
    ingest::{Ingest, IngestError, Ingested, OpenError, OpenRun, OpenedRun},
    log_stats::{Histogram, LogStats, StoreStats},
    message_router::{GapCounts, MessageRouter, RouterStats},
    stream_source::{
        Block, Budget, Delivery, Start, StreamSource, SubscribeError, SubscribeRequest, Subscribed,
        Subscription,
    },
    system::{Health, System, SystemInfo},
};
