//! What a server may be told.

mod load;
mod shown;
mod sources;
mod units;
mod value;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

pub use self::{
    load::{ConfigError, ConfigFault},
    shown::{EffectiveSetting, Explained, Origin},
    sources::ConfigSources,
    units::parse_time,
};

/// The configuration of a server.
///
/// Every field has a key of the same name: `max_runs = 10` in `dipeo.toml`, `DIPEO_MAX_RUNS=10` in the environment,
/// `log.max_events` and `DIPEO_LOG_MAX_EVENTS` for [`LogConfig`], and in the same way for [`GraphqlConfig`],
/// [`RetentionConfig`] and [`IngestConfig`]. Times are seconds, sizes are bytes, both with a unit if that is wished: `"15 min"`,
/// `"64 MiB"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on. There is no authentication yet, so that any but a loopback address has to be given as a
    /// flag.
    pub host: IpAddr,
    /// The port to listen on; 0 for any that is free.
    pub port: u16,
    /// Where relative paths in diagrams start, unless a client on this machine says otherwise; the current directory if it is
    /// not given.
    pub base_dir: Option<PathBuf>,
    /// Whether the unified monitoring path serves the runs that ask for neither; otherwise the legacy one does. The default is
    /// yes where that path is compiled in.
    pub use_unified_monitoring: bool,
    /// Where the server keeps what must outlive it. Made, for its owner only, when the server starts. [`load`](Self::load) fills
    /// it in; without it there is but a log in memory ([`LogConfig::store`]).
    pub data_dir: Option<PathBuf>,
    /// Names under which clients may reach the server, besides `localhost` and the address that they are connected to:
    /// `name` with any port or `name:port`.
    pub allowed_hosts: Vec<String>,
    /// Origins, such as `https://monitor.example.org`, whose pages may change state, besides the server's own.
    pub allowed_origins: Vec<String>,
    /// How long [`Server::stop`](crate::Server::stop) may take; what is not done by then is cut off.
    pub drain_timeout: Duration,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest head of a request, in bytes; also the most that is buffered for one connection. At least 8192.
    pub max_header_bytes: usize,
    /// The most header lines of a request.
    pub max_headers: usize,
    /// How long a client may take to send the head of a request. Also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    pub write_timeout: Duration,
    /// Open connections; further ones wait in the system's queue. Fewer where the system's bound on open files would leave
    /// runs too few.
    pub max_connections: usize,
    /// Open streams; further ones are turned away.
    pub max_streams: usize,
    /// Runs under way; further ones are turned away.
    pub max_runs: usize,
    /// Nodes of one run that are at work at once.
    pub max_parallel_nodes: usize,
    /// Bounds of GraphQL.
    pub graphql: GraphqlConfig,
    /// The log.
    pub log: LogConfig,
    /// What a log on disk keeps.
    pub retention: RetentionConfig,
    /// Runs of outside engines.
    pub ingest: IngestConfig,
}

/// Bounds of GraphQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphqlConfig {
    /// The deepest nesting of a document.
    pub max_depth: usize,
    /// The most fields that a document asks for.
    pub max_complexity: usize,
    /// Operations under way on one WebSocket.
    pub max_operations: usize,
    /// How long a WebSocket may take to begin with `connection_init`.
    pub init_timeout: Duration,
    /// How often a WebSocket is pinged; one that says nothing in between is closed.
    pub ping_interval: Duration,
}

/// The log: where it is, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Where it is.
    pub store: LogStore,
    /// What an event that was shown has survived (I6).
    pub durability: LogDurability,
    /// Bytes of events that wait to be stored; beyond it appends wait, and outside engines are told to come again.
    pub queue_bytes: usize,
    /// Bytes of events that are shown though they could not be stored, and kept to be stored later (the exception of I6).
    /// Beyond it they are given up; terminal events never are.
    pub backlog_bytes: usize,
    /// How long an event waits for the store before it is shown without (the exception of I6).
    pub stall_after: Duration,
    /// Events of all runs that are kept in memory: all that there are if the log is there, oldest forgotten first (I4), else
    /// the newest, which readers are served from.
    pub max_events: usize,
    /// Bytes of all runs that are kept in memory.
    pub max_bytes: usize,
    /// Events of one run that are kept in memory; no bound of its own if it is not given.
    pub max_events_per_run: Option<usize>,
    /// Finished runs of a log in memory.
    pub max_finished_runs: usize,
    /// Bytes of the states of finished runs that are kept in memory, about.
    pub max_state_bytes: usize,
}

/// Where the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStore {
    /// In a file of the data directory.
    Sqlite,
    /// In memory: it ends with the process.
    Memory,
}

/// What an event that was shown has survived (I6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogDurability {
    /// The end of this process, of whatever kind.
    Process,
    /// A loss of power. Each commit waits for the disk.
    Power,
}

/// What a log on disk keeps. Finished runs beyond any of the bounds are removed, those first that ended first. Those under way
/// and those that are pinned stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionConfig {
    /// How long a finished run is kept; for ever if it is not given.
    pub max_age: Option<Duration>,
    /// Bytes of the log on disk.
    pub max_bytes: Option<u64>,
    /// Finished runs.
    pub max_runs: Option<usize>,
}

/// Runs of outside engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestConfig {
    /// How long an engine may say nothing of its run before the run is closed as ABORTED.
    pub lease: Duration,
    /// Such runs under way; further ones are turned away.
    pub max_runs: usize,
    /// The largest run that may be imported: bytes of its events, unpacked.
    pub max_import_bytes: u64,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8000,
            base_dir: None,
            use_unified_monitoring: cfg!(feature = "unified"),
            data_dir: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            drain_timeout: Duration::from_secs(10),
            // An output of 8 MiB fits in as an input, even where JSON has to escape some of it.
            max_body_bytes: 16 * 1024 * 1024,
            max_header_bytes: 64 * 1024,
            max_headers: 100,
            header_timeout: Duration::from_secs(10),
            write_timeout: transport_sse::WRITE_DEADLINE,
            max_connections: 10_240,
            max_streams: 10_000,
            max_runs: 100,
            max_parallel_nodes: 20,
            graphql: GraphqlConfig::default(),
            log: LogConfig::default(),
            retention: RetentionConfig::default(),
            ingest: IngestConfig::default(),
        }
    }
}

impl Default for GraphqlConfig {
    fn default() -> Self {
        let options = transport_graphql::GraphqlOptions::default();
        Self {
            max_depth: options.max_depth,
            max_complexity: options.max_complexity,
            max_operations: options.max_operations,
            init_timeout: options.init_timeout,
            ping_interval: options.ping_interval,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        let router::MemoryLogOptions { records, bytes, records_per_run, finished_runs, state_bytes } =
            router::MemoryLogOptions::default();
        Self {
            store: LogStore::Sqlite,
            durability: LogDurability::Process,
            queue_bytes: 16 * 1024 * 1024,
            backlog_bytes: 64 * 1024 * 1024,
            stall_after: Duration::from_secs(2),
            max_events: records,
            max_bytes: bytes,
            max_events_per_run: records_per_run,
            max_finished_runs: finished_runs,
            max_state_bytes: state_bytes,
        }
    }
}

// === impl LogStore ===

impl LogStore {
    /// Its name in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
        }
    }
}

// === impl LogDurability ===

impl LogDurability {
    /// Its name in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

// === impl RetentionConfig ===

impl Default for RetentionConfig {
    /// Bounded so that nobody's disk fills up, and by nothing else: whoever looks for a run of last year finds it if there was
    /// room.
    fn default() -> Self {
        Self { max_age: None, max_bytes: Some(10 * 1024 * 1024 * 1024), max_runs: Some(10_000) }
    }
}

// === impl IngestConfig ===

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            // Longer than an engine is silent in a long call of a model.
            lease: Duration::from_secs(15 * 60),
            max_runs: 1_000,
            max_import_bytes: 1024 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Reads all layers: defaults, the file, the environment, flags, in rising precedence.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] has every fault with its place.
    pub fn load(sources: &ConfigSources) -> Result<Self, ConfigError> {
        load::load(sources).map(|explained| explained.config)
    }

    /// As [`load`](Self::load), and where each setting comes from.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] has every fault with its place.
    pub fn explain(sources: &ConfigSources) -> Result<Explained, ConfigError> {
        load::load(sources)
    }
}
