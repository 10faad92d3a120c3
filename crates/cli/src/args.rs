//! What can be said on the command line.

mod log;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use core_events::ports::MonitoringPath;

pub(crate) use self::log::{
    ConfigArgs, ConfigCommand, ConfigShowArgs, EventsArgs, ExecutionsArgs, ExecutionsCommand, ExportArgs,
    ImportArgs, ListArgs, LogArgs, LogCommand, LogPlace, ShowArgs, StatsArgs,
};

const ABOUT: &str = "Runs DiPeO diagrams and lets anyone watch them live";

const EXAMPLES: &str = "\
Examples:
  dipeo run report.light.yaml             run it here and watch it
  dipeo serve                             serve on http://127.0.0.1:8000
  dipeo run report.light.yaml --server http://127.0.0.1:8000
  dipeo validate diagrams/*.light.yaml    look for faults, run nothing
  dipeo executions list                   what ran, also earlier
  dipeo config show                       every setting, and where it comes from

Environment:
  DIPEO_*   settings of the server: above dipeo.toml, below the flags
  RUST_LOG  what our own log shows on standard error: debug, router=trace
  NO_COLOR  no colours";

const RUN_EXAMPLES: &str = "\
Examples:
  dipeo run report.light.yaml
  dipeo run report.light.yaml --input-data '{\"topic\": \"rivers\"}'
  dipeo run report.light.yaml --inputs in.json --timeout 1m30s
  dipeo run report.light.yaml --json | jq -c 'select(.seq > 10)'
  cat report.light.yaml | dipeo run - --base-dir /srv/reports

Exit codes:
  0    done
  1    the run failed, or a node in it (but not with `on_error: continue`),
       or its output could not be written, for instance to a full disk
  2    nothing was run: wrong usage, a faulty diagram, no such server, ...
  124  the run took longer than --timeout
  130  interrupted with Ctrl-C, or aborted by somebody else
  143  terminated with SIGTERM

Ctrl-C ends the run with a last event; once more leaves at once. When
nobody reads standard output any more (`| head -1`) the run goes on.

The run is kept in the log of the data directory (`dipeo executions list`).
Where a `dipeo serve` owns that log, the run is sent there, unless
--no-server is given: then its history is in memory and ends with it.";

const SERVE_EXAMPLES: &str = "\
Examples:
  dipeo serve
  dipeo serve --port 0        any free port; the first line says which
  DIPEO_PORT=9000 dipeo serve --base-dir /srv/diagrams
  dipeo serve --data-dir /srv/dipeo

It owns the log in its data directory: `dipeo run` on this machine sends runs
here, and `dipeo executions` asks here.

SIGTERM or Ctrl-C stops it: no new runs, those under way are aborted with a
last event, streams end. A second signal leaves at once.";

const VALIDATE_EXAMPLES: &str = "\
Examples:
  dipeo validate report.light.yaml
  dipeo validate --json diagrams/*.light.yaml | jq 'select(.ok | not)'

Exit codes: 0 every file can run, 2 at least one can't. Warnings don't count.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "dipeo", version, about = ABOUT, after_long_help = EXAMPLES)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a diagram and watch it
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Serve runs and their events over HTTP
    #[command(after_long_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Check diagrams without running them
    #[command(after_long_help = VALIDATE_EXAMPLES)]
    Validate(ValidateArgs),
    /// Look at runs, also earlier ones, and decide which are kept
    Executions(ExecutionsArgs),
    /// Look at the log that has them
    Log(LogArgs),
    /// Look at the configuration
    Config(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The diagram's file; `-` reads standard input
    pub(crate) diagram: PathBuf,

    /// A JSON file with the run's variables, an object
    #[arg(long, value_name = "FILE", conflicts_with = "input_data")]
    pub(crate) inputs: Option<PathBuf>,

    /// The run's variables, a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) input_data: Option<String>,

    /// End the run after this time: seconds, or like 90s, 1m30s, 2h
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    pub(crate) timeout: Option<Duration>,

    /// Show log lines of level DEBUG, and our own log on standard error
    #[arg(long)]
    pub(crate) debug: bool,

    /// Show errors and the end only
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Write the events to standard output, one JSON object with its cursor per line, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    /// Open the monitor in a browser
    #[arg(long)]
    pub(crate) browser: bool,

    /// Run it on this server instead of here, for instance http://127.0.0.1:8000
    #[arg(long, value_name = "URL", conflicts_with_all = ["port", "config", "data_dir", "no_server"])]
    pub(crate) server: Option<String>,

    /// Run it here though a server owns the log; its history is in memory then
    #[arg(long)]
    pub(crate) no_server: bool,

    /// Have the legacy monitoring path serve the run
    #[arg(long, conflicts_with = "unified")]
    pub(crate) legacy: bool,

    /// Have the unified monitoring path serve the run, which is the default where the configuration does not say otherwise
    #[arg(long)]
    pub(crate) unified: bool,

    /// The port of the monitor; a free one if not given
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// Where relative paths in the diagram start; the current directory if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) base_dir: Option<PathBuf>,

    /// The directory of the log, where the configuration names another one
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// The configuration file; ./dipeo.toml if not given and there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,

    /// The port to listen on; 0 takes a free one [default: 8000]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// Where relative paths in diagrams start; the current directory if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) base_dir: Option<PathBuf>,

    /// The directory of the log, where the configuration names another one
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// The configuration file; ./dipeo.toml if not given and there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Show more of our own log on standard error
    #[arg(long)]
    pub(crate) debug: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The diagrams' files; `-` reads standard input
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Write one JSON object per file to standard output, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

// === impl RunArgs ===

impl RunArgs {
    /// The monitoring path that was asked for.
    pub(crate) fn path(&self) -> Option<MonitoringPath> {
        match (self.legacy, self.unified) {
            (true, _) => Some(MonitoringPath::Legacy),
            (false, true) => Some(MonitoringPath::Unified),
            (false, false) => None,
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    server::parse_time(text)
        .ok_or_else(|| "a time above zero is expected, in seconds or like 90s, 1m30s, 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }
}
