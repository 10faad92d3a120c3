//! What a server may be told.

mod load;
mod sources;
mod value;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

pub use self::{
    load::{ConfigError, ConfigFault},
    sources::ConfigSources,
};

/// The configuration of a server.
///
/// Every field has a key of the same name: `max_runs = 10` in `dipeo.toml`, `DIPEO_MAX_RUNS=10` in the environment,
/// `log.max_events` and `DIPEO_LOG_MAX_EVENTS` for [`LogConfig`], and in the same way for [`GraphqlConfig`]. Times are seconds.
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
    /// Where the server keeps what must outlive it. Made, for its owner only, when the server starts; without it the server
    /// keeps nothing.
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
    /// Bounds of the log.
    pub log: LogConfig,
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

/// Bounds of the log. What is beyond them is forgotten, oldest first, and readers that lacked it are told so (I4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Events of all runs.
    pub max_events: usize,
    /// Bytes of all runs.
    pub max_bytes: usize,
    /// Events of one run; no bound of its own if it is not given.
    pub max_events_per_run: Option<usize>,
    /// Finished runs.
    pub max_finished_runs: usize,
    /// Bytes of the states of finished runs, about.
    pub max_state_bytes: usize,
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
            max_events: records,
            max_bytes: bytes,
            max_events_per_run: records_per_run,
            max_finished_runs: finished_runs,
            max_state_bytes: state_bytes,
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
        load::load(sources)
    }
}
