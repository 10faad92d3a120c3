//! The observers of the legacy path. A leaf: nothing but `server` knows it, and it can be deleted (I11).
//!
//! - [`MonitoringStreamObserver`] has a bounded queue per client and is the
//!   [`StreamSource`](core_events::ports::StreamSource) of the legacy SSE path.
//! - [`EventPublishingObserver`] publishes to a [`MessageRouter`](core_events::ports::MessageRouter) of its own, for the
//!   legacy GraphQL subscriptions.
//! - [`StateStoreObserver`] appends the facts of a legacy run to the log, since every run's facts are there (I1).
//!
//! The first two write what clients see, each with a mapping of its own, so that comparing them with the unified path
//! compares two things. They reproduce the original's shapes, not its accidents: what is known is not null, a diagram
//! without id has the id null, a finished iteration is COMPLETED, times have their offset, no line comes twice. What the
//! original never had (SKIPPED, ABORTED, the status FAILED of an execution, questions to a person) comes in its shapes.

mod event_publishing_observer;
mod monitoring_stream_observer;
mod state_store_observer;

pub use self::{
    event_publishing_observer::EventPublishingObserver,
    monitoring_stream_observer::{
        KEPT_BYTES, KEPT_MESSAGES, LINGER, MAX_CLIENTS, MonitoringStreamObserver, QUEUE_BYTES,
        QUEUE_MESSAGES, REMEMBERED_RUNS,
    },
    state_store_observer::StateStoreObserver,
};
