//! Where a run takes place, so that its history is kept.

use client::{Client, OwnerKind};
use server::{Config, LogStore, Server, StartupError};

use crate::{
    args::RunArgs,
    error::CliError,
    ownership::{self, Way},
    screen::Screen,
};

/// Where a run takes place.
#[derive(Debug)]
pub(super) enum Place {
    /// Here.
    Here(Box<Server>),
    /// On the server that owns the log.
    There(Client),
}

/// Here, as the owner of the log; else on the server that owns it; else here, with a history in memory. A run is not kept from
/// running by a log that is not to be had (I12).
pub(super) async fn choose(config: &Config, args: &RunArgs, screen: &Screen) -> Result<Place, CliError> {
    if config.log.store == LogStore::Memory {
        return in_memory(config).await;
    }
    let dir = config.data_dir.as_deref().unwrap_or_else(|| std::path::Path::new(".")).display().to_string();
    let reason = match Box::pin(ownership::enter(server::OwnerKind::Run, config)).await {
        Ok(Way::Own(server)) => return Ok(Place::Here(server)),
        Ok(Way::Owner(owner)) => match owner.kind {
            OwnerKind::Serve if !args.no_server => {
                let port = if args.port.is_some() { "; --port has no effect" } else { "" };
                let (pid, url) = (owner.pid, owner.client.address());
                screen
                    .err(&format!("a server (process {pid}) owns the log in {dir} and runs it: {url}{port}"));
                return Ok(Place::There(owner.client));
            }
            OwnerKind::Serve => format!("a server (process {}) owns the log in {dir}", owner.pid),
            _ => format!("another command (process {}) owns the log in {dir} until it ends", owner.pid),
        },
        Ok(Way::Closed { reason }) => format!("the log in {dir} is taken, and {reason}"),
        Err(StartupError::Store { path, problem } | StartupError::DataDir { path, problem }) => {
            format!("data directory {}: {problem}", path.display())
        }
        Err(error) => return Err(CliError::Startup(error.to_string())),
    };
    screen.err(&format!("warning: the history of this run is in memory and ends with it: {reason}"));
    in_memory(config).await
}

async fn in_memory(config: &Config) -> Result<Place, CliError> {
    let mut config = config.clone();
    config.log.store = LogStore::Memory;
    // Nothing of it is needed, and it may be what is in the way.
    config.data_dir = None;
    let server = Box::pin(Server::start(config)).await;
    server.map(|server| Place::Here(Box::new(server))).map_err(|error| CliError::Startup(error.to_string()))
}
