//! What can be said of the log: `dipeo executions`, `dipeo log`, `dipeo config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use core_events::{Cursor, EventType, ExecutionId, ExecutionStatus};

const EXECUTIONS_EXAMPLES: &str = "\
Examples:
  dipeo executions list --status FAILED
  dipeo executions show exec_0123
  dipeo executions events exec_0123 --json | jq -c 'select(.type == \"EXECUTION_LOG\")'
  dipeo executions export exec_0123 && dipeo executions import exec_0123.ndjson.gz

They ask the process that owns the data directory, if there is one, else they
open the log there themselves; with --server they ask that server.

Exit codes: 0 done, 1 the output could not be written, 2 refused or not there.";

const LIST_EXAMPLES: &str = "\
Examples:
  dipeo executions list
  dipeo executions list --status RUNNING --limit 10
  dipeo executions list --json | jq -r 'select(.failed_nodes > 0).execution_id'";

const SHOW_EXAMPLES: &str = "\
Examples:
  dipeo executions show exec_0123
  dipeo executions show exec_0123 --json | jq .nodes
  dipeo executions show exec_0123 --at 1a2b-42     as it was after that event";

const EVENTS_EXAMPLES: &str = "\
Examples:
  dipeo executions events exec_0123
  dipeo executions events exec_0123 --json --types EXECUTION_LOG,EXECUTION_ERROR
  dipeo executions events exec_0123 --from 1a2b-42     what came after that event
  dipeo executions events exec_0123 --follow           and what comes, until it ends";

const DELETE_EXAMPLES: &str = "\
Examples:
  dipeo executions delete exec_0123
  dipeo executions list --status FAILED --json | jq -r .execution_id | xargs dipeo executions delete

Nothing is asked. A run that goes on is refused, as is a part of another one.";

const PIN_EXAMPLES: &str = "\
Example:
  dipeo executions pin exec_0123     never removed by the bounds of `retention`";

const UNPIN_EXAMPLES: &str = "\
Example:
  dipeo executions unpin exec_0123";

const EXPORT_EXAMPLES: &str = "\
Examples:
  dipeo executions export exec_0123                    writes exec_0123.ndjson.gz
  dipeo executions export exec_0123 -o - | zcat | less

The file has one JSON object per line: what it is, then the events. `dipeo
executions import` takes it, here or elsewhere.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  dipeo executions import exec_0123.ndjson.gz
  ssh there dipeo executions export exec_0123 -o - | dipeo executions import -

A run that is there already, or was removed from here, is refused.";

const LOG_EXAMPLES: &str = "\
Examples:
  dipeo log stats
  dipeo log stats --json | jq .stats.store.file_bytes
  dipeo log stats --server http://127.0.0.1:8000";

const CONFIG_EXAMPLES: &str = "\
Examples:
  dipeo config show                        every setting, and where it comes from
  dipeo config show > dipeo.toml           what it shows is a configuration
  DIPEO_PORT=1 dipeo config show --json | jq '.settings[] | select(.origin != \"default\")'";

/// Where the log is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LogPlace {
    /// Ask this server, for instance http://127.0.0.1:8000
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "data_dir"])]
    pub(crate) server: Option<String>,

    /// The directory of the log, where the configuration names another one
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// The configuration file; ./dipeo.toml if not given and there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_long_help = EXECUTIONS_EXAMPLES)]
pub(crate) struct ExecutionsArgs {
    #[command(subcommand)]
    pub(crate) command: ExecutionsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExecutionsCommand {
    /// List runs, newest first
    #[command(after_long_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show one run and its nodes
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Show the events of one run
    #[command(after_long_help = EVENTS_EXAMPLES)]
    Events(EventsArgs),
    /// Remove finished runs
    #[command(after_long_help = DELETE_EXAMPLES)]
    Delete(RunsArgs),
    /// Except runs from retention
    #[command(after_long_help = PIN_EXAMPLES)]
    Pin(RunsArgs),
    /// Have retention apply to runs again
    #[command(after_long_help = UNPIN_EXAMPLES)]
    Unpin(RunsArgs),
    /// Write a run into a file that `import` takes
    #[command(after_long_help = EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Take over runs from files
    #[command(after_long_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only runs with this status: PENDING, RUNNING, PAUSED, COMPLETED, FAILED or ABORTED
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    pub(crate) status: Option<ExecutionStatus>,

    /// At most so many; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: usize,

    /// Write one JSON object per run to standard output, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) place: LogPlace,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's id
    #[arg(value_name = "ID", value_parser = ExecutionId::parse)]
    pub(crate) execution: ExecutionId,

    /// As it was after the event with this cursor
    #[arg(long, value_name = "CURSOR")]
    pub(crate) at: Option<Cursor>,

    /// Write its state to standard output, a JSON object, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) place: LogPlace,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// The run's id
    #[arg(value_name = "ID", value_parser = ExecutionId::parse)]
    pub(crate) execution: ExecutionId,

    /// Only what came after the event with this cursor
    #[arg(long, value_name = "CURSOR")]
    pub(crate) from: Option<Cursor>,

    /// Only events of these types, such as EXECUTION_LOG
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = parse_type)]
    pub(crate) types: Vec<EventType>,

    /// Go on with what comes, until the run ends
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Show log lines of level DEBUG
    #[arg(long)]
    pub(crate) debug: bool,

    /// Write the events to standard output, one JSON object with its cursor per line, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) place: LogPlace,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// The runs' ids
    #[arg(value_name = "ID", required = true, value_parser = ExecutionId::parse)]
    pub(crate) executions: Vec<ExecutionId>,

    #[command(flatten)]
    pub(crate) place: LogPlace,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The run's id
    #[arg(value_name = "ID", value_parser = ExecutionId::parse)]
    pub(crate) execution: ExecutionId,

    /// The file to write, `-` for standard output [default: ID.ndjson.gz]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) place: LogPlace,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Files that `export` wrote; `-` reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: LogPlace,
}

#[derive(Debug, Args)]
#[command(after_long_help = LOG_EXAMPLES)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show what the log holds, and how it is
    #[command(after_long_help = LOG_EXAMPLES)]
    Stats(StatsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Write the figures to standard output, a JSON object, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) place: LogPlace,
}

#[derive(Debug, Args)]
#[command(after_long_help = CONFIG_EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, and where its value comes from
    #[command(after_long_help = CONFIG_EXAMPLES)]
    Show(ConfigShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    /// The configuration file; ./dipeo.toml if not given and there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Write a JSON object to standard output, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_status(text: &str) -> Result<ExecutionStatus, String> {
    match ExecutionStatus::from(text.to_ascii_uppercase().as_str()) {
        ExecutionStatus::Other(_) => {
            Err("PENDING, RUNNING, PAUSED, COMPLETED, FAILED or ABORTED is expected".to_owned())
        }
        status => Ok(status),
    }
}

fn parse_type(text: &str) -> Result<EventType, String> {
    if text.is_empty() { Err("the name of a type is expected".to_owned()) } else { Ok(EventType::from(text)) }
}
