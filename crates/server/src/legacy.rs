//! The legacy monitoring path: its observers, and where their streams come from.
//!
//! One observer of each kind serves all runs. What they publish never meets the log's router: the web path has one of its
//! own, in memory. The facts of a legacy run are in the log all the same (I1).

use std::sync::Arc;

use core_events::{
    EndReason,
    ports::{Clock, EventLog, ExecutionObserver, MessageRouter, StreamSource},
};
use observer_legacy::{EventPublishingObserver, MonitoringStreamObserver, StateStoreObserver};
use router::{MemoryLog, MemoryLogOptions, Router, RouterOptions};

use crate::Config;

/// What serves the runs of the legacy path.
#[derive(Debug)]
pub(crate) struct Legacy {
    store: Arc<StateStoreObserver>,
    streams: Arc<MonitoringStreamObserver>,
    publisher: Arc<EventPublishingObserver>,
    messages: Arc<dyn MessageRouter>,
}

// === impl Legacy ===

impl Legacy {
    pub(crate) fn new(config: &Config, log: &Arc<dyn EventLog>) -> Self {
        let memory: Arc<dyn EventLog> = Arc::new(MemoryLog::new(MemoryLogOptions::default()));
        let options = RouterOptions { subscriptions: config.max_streams, ..RouterOptions::default() };
        let messages: Arc<dyn MessageRouter> = Arc::new(Router::new(memory, options));
        Self {
            store: Arc::new(StateStoreObserver::new(Arc::clone(log))),
            streams: Arc::new(MonitoringStreamObserver::new()),
            publisher: Arc::new(EventPublishingObserver::new(Arc::clone(&messages))),
            messages,
        }
    }

    /// The observers of a run. The log comes first, so that whoever sees a run's end on the wire finds it there too.
    pub(crate) fn observers(&self) -> Vec<Arc<dyn ExecutionObserver>> {
        vec![Arc::clone(&self.store) as _, Arc::clone(&self.streams) as _, Arc::clone(&self.publisher) as _]
    }

    /// The messages of the legacy web path.
    pub(crate) fn messages(&self) -> Arc<dyn StreamSource> {
        Arc::clone(&self.messages) as _
    }

    /// `routes` of SSE, with the streams of legacy runs in their legacy form.
    pub(crate) fn mount(&self, routes: axum::Router, clock: &Arc<dyn Clock>) -> axum::Router {
        transport_sse::with_legacy(routes, Arc::clone(&self.streams) as _, Arc::clone(clock))
    }

    /// Ends all streams.
    pub(crate) fn close(&self) {
        self.streams.close(EndReason::Shutdown);
        self.messages.close(EndReason::Shutdown);
    }
}
