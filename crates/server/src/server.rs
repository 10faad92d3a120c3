//! A server, from its start to its stop.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use core_events::{
    EndReason,
    ports::{Clock, Executions, MessageRouter, MonitoringPath, StreamSource, SystemClock},
};
use engine::{Engine, EngineOptions};
use history::{LogArchive, LogHistory};
use ingest::{IngestOptions, IngestRuns};
use router::{Router, RouterOptions};
use tokio::{net::TcpListener, time::Instant};
use transport_graphql::Connections;

use crate::{
    Config, OwnerKind,
    accept::{Acceptor, OpenConnections},
    app::{self, app},
    cli_sessions::Sessions,
    diagrams::BaseDirectory,
    executions::{self, Runs},
    health::Stopping,
    owner::Owner,
    paths::{self, Paths},
    recovery,
    store::Store,
    system::ThisServer,
};

/// A server that accepts connections.
///
/// # Closing
///
/// [`stop`](Self::stop) drains. Dropping it cuts everything off at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    acceptor: Acceptor,
    runs: Runs,
    ingest: Arc<IngestRuns>,
    archive: Arc<LogArchive>,
    sockets: Connections,
    router: Arc<dyn MessageRouter>,
    store: Store,
    owner: Option<Arc<Owner>>,
    #[cfg(feature = "legacy")]
    legacy: Arc<crate::legacy::Legacy>,
    drain_timeout: Duration,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// Another program has the port.
    #[error(
        "{0} is in use by another program; stop that, or choose another port with --port (0 takes any that is free)"
    )]
    AddressInUse(SocketAddr),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// This build can't serve any run.
    #[error(
        "no monitoring path is compiled in; build with the cargo feature `unified`, `legacy`, or both (the default)"
    )]
    NoPaths,
    /// The path that the configuration makes the default is not compiled in.
    #[error(
        "use_unified_monitoring asks for the {0} monitoring path, which is not compiled in; build with the cargo feature \
         `{0}`, or change the setting"
    )]
    NoPath(MonitoringPath),
    /// The base directory is none.
    #[error("base directory {}: {problem}; `base_dir` names an existing directory", .path.display())]
    BaseDir {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The data directory can't be used.
    #[error("data directory {}: {problem}; `data_dir` names a directory of which we are the owner, or that can be made", .path.display())]
    DataDir {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Another process has the log open.
    #[error(
        "data directory {}: another process owns the log in it; stop that, choose another directory (data_dir, DIPEO_DATA_DIR), or \
         keep the log in memory (log.store = \"memory\", DIPEO_LOG_STORE=memory)", .path.display()
    )]
    Owned {
        /// The directory.
        path: PathBuf,
    },
    /// The log can't be opened.
    #[error(
        "data directory {}: {problem}; to go on without it, choose another directory (data_dir, DIPEO_DATA_DIR), or keep the log in \
         memory (log.store = \"memory\", DIPEO_LOG_STORE=memory)", .path.display()
    )]
    Store {
        /// The directory.
        path: PathBuf,
        /// What is wrong with the log in it.
        problem: String,
    },
}

// === impl Server ===

impl Server {
    /// Binds and serves. Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// See [`StartupError`]; then nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartupError> {
        Self::start_as(OwnerKind::Serve, config).await
    }

    /// As [`start`](Self::start); other processes that find the data directory owned are told what kind of process owns it.
    ///
    /// # Errors
    ///
    /// See [`StartupError`]; then nothing is left running.
    pub async fn start_as(kind: OwnerKind, config: Config) -> Result<Self, StartupError> {
        let path = default_path(&config)?;
        let base_dir = base_dir(config.base_dir.as_deref())?;
        if let Some(path) = &config.data_dir {
            make_data_dir(path)?;
        }
        let address = SocketAddr::new(config.host, config.port);
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartupError::AddressInUse(address),
            _ => StartupError::Listen { address, source },
        })?;
        let address = listener.local_addr().map_err(|source| StartupError::Listen { address, source })?;
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                %address,
                "other machines can reach this server, and there is no authentication yet: whoever does can run code here"
            );
        }

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Store::open(&config, &clock).await?;
        let log = store.log();
        if let Err(error) = recovery::close_interrupted(&*log, &*clock).await {
            tracing::error!(%error, "runs that an earlier server left unfinished could not be ended");
        }
        let owner = match (&config.data_dir, &store) {
            // The log is open, so that the directory is ours.
            (Some(dir), Store::Sqlite(_)) => Some(announce(dir, address, kind, &*clock)?),
            _ => None,
        };
        let options = RouterOptions {
            subscriptions: config.max_streams,
            tail_records: config.log.max_events,
            tail_bytes: config.log.max_bytes,
            tail_records_per_run: config.log.max_events_per_run,
            ..RouterOptions::default()
        };
        let router = Arc::new(Router::new(Arc::clone(&log), options));
        #[cfg(feature = "legacy")]
        let legacy = Arc::new(crate::legacy::Legacy::new(&config, &log));
        let paths = Paths {
            router: Arc::clone(&router) as _,
            #[cfg(feature = "legacy")]
            legacy: Arc::clone(&legacy),
            default: path,
        };
        let stopping = Stopping::default();
        let options =
            EngineOptions { max_parallel_nodes: config.max_parallel_nodes, ..EngineOptions::default() };
        let diagrams = Arc::new(BaseDirectory::new(base_dir.clone()));
        let system = Arc::new(ThisServer {
            clock: Arc::clone(&clock),
            stopping: stopping.clone(),
            default_path: path,
            max_body_bytes: config.max_body_bytes,
        });
        let connections = OpenConnections::default();
        let ingest = Arc::new(IngestRuns::start(
            Arc::clone(&log),
            Arc::clone(&router) as _,
            Arc::clone(&clock),
            IngestOptions { lease: config.ingest.lease, max_open_runs: config.ingest.max_runs },
        ));
        let runs = Runs::new(executions::Parts {
            engine: Engine::new(options),
            log: Arc::clone(&log),
            ingest: Arc::clone(&ingest),
            paths,
            clock: Arc::clone(&clock),
            base_dir,
            max_runs: config.max_runs,
            stopping: stopping.clone(),
        });
        let archive = Arc::new(LogArchive::new(Arc::clone(&log), config.data_dir.clone()));
        let (app, sockets) = app(
            &config,
            app::Parts {
                history: Arc::new(LogHistory::new(Arc::clone(&log))),
                archive: Arc::clone(&archive) as _,
                log,
                router: Arc::clone(&router) as _,
                connections: connections.clone(),
                ingest: Arc::clone(&ingest) as _,
                ingest_counts: Arc::default(),
                executions: Arc::new(runs.clone()),
                streams: Arc::clone(&router) as Arc<dyn StreamSource>,
                #[cfg(feature = "legacy")]
                legacy: Arc::clone(&legacy),
                diagrams,
                cli_sessions: Arc::new(Sessions::new(Arc::clone(&clock))),
                system,
                clock,
                stopping,
                owner: owner.clone(),
            },
        );
        let acceptor = Acceptor::new(&config, app, connections);
        acceptor.spawn(listener);
        tracing::info!(%address, "serving");
        Ok(Self {
            address,
            acceptor,
            runs,
            ingest,
            archive,
            sockets,
            router,
            store,
            owner,
            #[cfg(feature = "legacy")]
            legacy,
            drain_timeout: config.drain_timeout,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts, controls and looks up its runs.
    #[must_use]
    pub fn executions(&self) -> Arc<dyn Executions> {
        Arc::new(self.runs.clone())
    }

    /// Where its events pass.
    #[must_use]
    pub fn router(&self) -> Arc<dyn MessageRouter> {
        Arc::clone(&self.router)
    }

    /// Drains and ends: no new runs, `/health/ready` says so; runs under way are aborted with a terminal event; streams get
    /// what is left and their end frame, `completed` where the run has ended and `shutdown` elsewhere; connections
    /// close when they have written it all. Whatever is not done after the drain time-out is cut off.
    ///
    /// The port is open until the runs have ended, so that whoever asks for the server's health gets an answer.
    pub async fn stop(self) {
        let deadline = Instant::now() + self.drain_timeout;
        if let Some(owner) = &self.owner {
            owner.withdraw();
        }
        self.ingest.stop().await;
        if tokio::time::timeout(self.drain_timeout / 5, self.archive.close()).await.is_err() {
            tracing::warn!("an import could not be given up in time");
        }
        // At worst that takes it twice; the rest is for the streams.
        self.runs.stop(self.drain_timeout * 2 / 5).await;
        self.router.close(EndReason::Shutdown);
        #[cfg(feature = "legacy")]
        self.legacy.close();
        self.acceptor.stop();
        let finished = async { tokio::join!(self.acceptor.finished(), self.sockets.close()) };
        if tokio::time::timeout_at(deadline, finished).await.is_err() {
            tracing::warn!("connections did not end in time and are cut off");
            self.acceptor.kill();
            self.sockets.cut_off();
            self.acceptor.finished().await;
        }
        self.store.close().await;
        tracing::info!(address = %self.address, "stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(owner) = &self.owner {
            owner.withdraw();
        }
        self.runs.cut_off();
        self.acceptor.kill();
        self.sockets.cut_off();
    }
}

/// The path of runs that ask for none.
fn default_path(config: &Config) -> Result<MonitoringPath, StartupError> {
    let path = if config.use_unified_monitoring { MonitoringPath::Unified } else { MonitoringPath::Legacy };
    match paths::COMPILED {
        [] => Err(StartupError::NoPaths),
        compiled if compiled.contains(&path) => Ok(path),
        _ => Err(StartupError::NoPath(path)),
    }
}

fn base_dir(wanted: Option<&Path>) -> Result<PathBuf, StartupError> {
    let path = wanted.unwrap_or(Path::new("."));
    let wrong = |problem: String| StartupError::BaseDir { path: path.to_owned(), problem };
    let dir = path.canonicalize().map_err(|error| wrong(error.to_string()))?;
    if dir.is_dir() { Ok(dir) } else { Err(wrong("it is no directory".to_owned())) }
}

fn make_data_dir(path: &Path) -> Result<(), StartupError> {
    let wrong = |problem: String| StartupError::DataDir { path: path.to_owned(), problem };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| wrong(error.to_string()))?;
    if path.is_dir() { Ok(()) } else { Err(wrong("it is no directory".to_owned())) }
}

fn announce(
    dir: &Path,
    address: SocketAddr,
    kind: OwnerKind,
    clock: &dyn Clock,
) -> Result<Arc<Owner>, StartupError> {
    Owner::announce(dir, address, kind, clock.now())
        .map(Arc::new)
        .map_err(|error| StartupError::DataDir { path: dir.to_owned(), problem: error.to_string() })
}
