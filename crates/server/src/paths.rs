//! The monitoring paths: which are compiled in, which one serves a run, and with which observers.

use std::sync::Arc;

use core_events::ports::{ExecutionObserver, MessageRouter, MonitoringPath, StartError};

use crate::observers::CompositeObserver;

/// Those that are compiled in.
pub(crate) const COMPILED: &[MonitoringPath] = &[
    #[cfg(feature = "unified")]
    MonitoringPath::Unified,
    #[cfg(feature = "legacy")]
    MonitoringPath::Legacy,
];

/// Chooses the path of a run, and observes it for that path.
#[derive(Debug)]
pub(crate) struct Paths {
    #[cfg_attr(not(feature = "unified"), allow(dead_code, reason = "the unified path publishes to it"))]
    pub(crate) router: Arc<dyn MessageRouter>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: Arc<crate::legacy::Legacy>,
    /// That of runs that ask for none.
    pub(crate) default: MonitoringPath,
}

// === impl Paths ===

impl Paths {
    /// The path that is meant where `wanted` names none.
    pub(crate) fn choose(&self, wanted: Option<MonitoringPath>) -> MonitoringPath {
        wanted.unwrap_or(self.default)
    }

    /// The observers of a run on `path`, or the refusal of a path that is not compiled in (I11).
    pub(crate) fn observe(&self, path: MonitoringPath) -> Result<CompositeObserver, StartError> {
        let observers: Result<Vec<Arc<dyn ExecutionObserver>>, StartError> = match path {
            #[cfg(feature = "unified")]
            MonitoringPath::Unified => {
                Ok(vec![Arc::new(observer_unified::UnifiedEventObserver::new(Arc::clone(&self.router)))])
            }
            #[cfg(feature = "legacy")]
            MonitoringPath::Legacy => Ok(self.legacy.observers()),
            #[allow(unreachable_patterns, reason = "with both paths compiled in nothing is left")]
            path => Err(StartError::NoPath(path)),
        };
        observers.map(CompositeObserver::new)
    }
}
