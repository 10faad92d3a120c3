use super::MonitoringPath;
use crate::Timestamp;

/// What the process is, and how it is.
pub trait System: Send + Sync + std::fmt::Debug {
    /// How it is at present.
    fn health(&self) -> Health;

    /// What it is.
    fn info(&self) -> SystemInfo;
}

/// How the process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes new work.
    pub ready: bool,
    /// When this was looked at.
    pub timestamp: Timestamp,
    /// Single findings, by name: whether each is well.
    pub checks: Vec<(&'static str, bool)>,
}

/// What the process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemInfo {
    /// Its version.
    pub version: &'static str,
    /// The node types that it runs.
    pub node_types: Vec<&'static str>,
    /// The paths that are compiled in.
    pub paths: Vec<MonitoringPath>,
    /// The path of a run that doesn't ask for one.
    pub default_path: Option<MonitoringPath>,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
}
