//! What this process is, and how it is.

use std::sync::Arc;

use core_events::ports::{Clock, Health, MonitoringPath, System, SystemInfo};

use crate::{health::Stopping, paths};

/// The [`System`] of this server.
#[derive(Debug)]
pub(crate) struct ThisServer {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stopping: Stopping,
    pub(crate) default_path: MonitoringPath,
    pub(crate) max_body_bytes: usize,
}

impl System for ThisServer {
    fn health(&self) -> Health {
        let ready = !self.stopping.has_begun();
        Health { ready, timestamp: self.clock.now(), checks: vec![("accepts_runs", ready)] }
    }

    fn info(&self) -> SystemInfo {
        SystemInfo {
            version: env!("CARGO_PKG_VERSION"),
            node_types: diagram::SUPPORTED_TYPES.to_vec(),
            paths: paths::COMPILED.to_vec(),
            default_path: Some(self.default_path),
            max_body_bytes: self.max_body_bytes,
        }
    }
}
