//! `dipeo serve`.

use std::path::{Path, PathBuf};

use server::{Config, ConfigSources, OwnerKind, Server, StartupError};

use crate::{
    args::ServeArgs,
    error::CliError,
    exit::Exit,
    ownership::{self, Way},
    screen::Screen,
    signals::Signals,
};

/// Serves until a signal comes, then lets everything end in order.
pub(crate) async fn serve(args: ServeArgs, screen: Screen) -> Result<Exit, CliError> {
    let mut signals = Signals::listen(screen.clone(), "stopping")?;
    let sources = sources(args.config)?
        .flag("host", args.host)
        .flag("port", args.port)
        .flag("base_dir", args.base_dir.as_deref().map(text_of))
        .flag("data_dir", args.data_dir.as_deref().map(text_of));
    let config = Config::load(&sources).map_err(|error| CliError::Startup(error.to_string()))?;
    let server = own(&config).await?;
    screen.out(format!("listening on http://{}", server.local_addr()).as_bytes());
    signals.wait().await;
    server.stop().await;
    Ok(Exit::Done)
}

/// Starts the server that owns the log.
async fn own(config: &Config) -> Result<Box<Server>, CliError> {
    let way = Box::pin(ownership::enter(OwnerKind::Serve, config)).await;
    let owner = match way.map_err(|error| CliError::Startup(error.to_string()))? {
        Way::Own(server) => return Ok(server),
        Way::Owner(owner) => {
            format!("process {} at {} owns the log in it", owner.pid, owner.client.address())
        }
        Way::Closed { reason } => format!("the log in it is taken, and {reason}"),
    };
    let path = config.data_dir.clone().unwrap_or_default();
    Err(CliError::Startup(StartupError::Store { path, problem: owner }.to_string()))
}

/// A path as the text that the configuration takes.
pub(crate) fn text_of(path: &Path) -> String {
    path.display().to_string()
}

/// The layers of the configuration below the flags.
pub(crate) fn sources(file: Option<PathBuf>) -> Result<ConfigSources, CliError> {
    let dir = std::env::current_dir()
        .map_err(|error| CliError::Startup(format!("the current directory can't be used: {error}")))?;
    Ok(ConfigSources { file, ..ConfigSources::of_process(dir) })
}
