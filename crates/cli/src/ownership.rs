//! Coming to the log of the data directory: by owning it, or through its owner.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use client::{Client, Found, Owner, find_owner};
use server::{Config, ConfigSources, LogStore, OwnerKind, Server, StartupError};
use tokio::time::{Instant, sleep};

use crate::{
    args::LogPlace,
    error::CliError,
    serve::{self, text_of},
};

/// How long to wait for an owner that is about to introduce itself, or to leave.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often to look again.
const PAUSE: Duration = Duration::from_millis(30);

/// How there is a way to the log.
#[derive(Debug)]
pub(crate) enum Way {
    /// The log is ours: of a server in this process.
    Own(Box<Server>),
    /// Another process owns it, and has proved that.
    Owner(Owner),
    /// Another process owns it, and there is no way to it.
    Closed {
        /// Why not, after "the log is taken, and".
        reason: String,
    },
}

/// A server to ask for what the log holds.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) client: Client,
    /// The server, if it is one of our own.
    own: Option<Box<Server>>,
}

/// Starts a server that owns the log of `config`, or finds the process that does.
pub(crate) async fn enter(kind: OwnerKind, config: &Config) -> Result<Way, StartupError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let dir = match Box::pin(Server::start_as(kind, config.clone())).await {
            Ok(server) => return Ok(Way::Own(Box::new(server))),
            Err(StartupError::Owned { path }) => path,
            Err(error) => return Err(error),
        };
        let reason = match find_owner(&dir).await {
            // It is gone in a moment.
            Found::Owner(owner) if owner.kind == client::OwnerKind::Command => {
                format!("process {} looks at it and does not end", owner.pid)
            }
            Found::Owner(owner) => return Ok(Way::Owner(owner)),
            Found::Doubtful { reason } => return Ok(Way::Closed { reason }),
            // It comes, or it goes.
            Found::Nobody { trace: Some(trace) } => trace,
            Found::Nobody { trace: None } => "its owner does not introduce itself".to_owned(),
        };
        if Instant::now() > deadline {
            return Ok(Way::Closed { reason });
        }
        sleep(PAUSE).await;
    }
}

/// The configuration of a server of our own: on a loopback port, whatever address `dipeo serve` is told to take.
pub(crate) fn own_sources(
    file: Option<&Path>,
    data_dir: Option<&Path>,
    port: u16,
) -> Result<ConfigSources, CliError> {
    Ok(serve::sources(file.map(Path::to_owned))?
        .flag("host", Some(Ipv4Addr::LOCALHOST))
        .flag("port", Some(port))
        .flag("data_dir", data_dir.map(text_of)))
}

// === impl Asked ===

impl Asked {
    /// The server that `place` names, else the owner of the data directory, else one of our own.
    pub(crate) async fn open(place: &LogPlace) -> Result<Self, CliError> {
        if let Some(address) = &place.server {
            let client = Client::new(address).map_err(CliError::Start)?;
            return Ok(Self { client, own: None });
        }
        let sources = own_sources(place.config.as_deref(), place.data_dir.as_deref(), 0)?;
        let config = Config::load(&sources).map_err(|error| CliError::Startup(error.to_string()))?;
        if config.log.store == LogStore::Memory {
            let text = "log.store is \"memory\", so that there is no log of earlier runs; ask a server that runs with --server URL";
            return Err(CliError::Startup(text.to_owned()));
        }
        let way = enter(OwnerKind::Command, &config).await;
        match way.map_err(|error| CliError::Startup(error.to_string()))? {
            Way::Own(server) => {
                let client =
                    Client::new(&format!("http://{}", server.local_addr())).map_err(CliError::Start)?;
                Ok(Self { client, own: Some(server) })
            }
            Way::Owner(owner) => Ok(Self { client: owner.client, own: None }),
            Way::Closed { reason } => {
                let dir = config.data_dir.unwrap_or_default();
                Err(CliError::Startup(format!(
                    "the log in {} is taken, and {reason}; name its server with --server URL, or another directory with \
                     --data-dir",
                    dir.display()
                )))
            }
        }
    }

    /// Leaves the log to others.
    pub(crate) async fn close(self) {
        if let Some(server) = self.own {
            Box::pin(server.stop()).await;
        }
    }
}
