//! `dipeo executions`: what the log holds of runs.

mod archive;
mod events;
mod list;
mod show;

use client::{Client, ClientError};
use core_events::{ExecutionId, ExecutionStatus};

use crate::{
    args::{ExecutionsArgs, ExecutionsCommand, LogPlace},
    error::CliError,
    exit::Exit,
    ownership::Asked,
    screen::{Screen, Tone},
};

/// Does what is said of runs.
pub(crate) async fn executions(args: ExecutionsArgs, screen: Screen) -> Result<Exit, CliError> {
    let command = args.command;
    let asked = Box::pin(Asked::open(command.place())).await?;
    let result = Box::pin(execute(command, &asked.client, &screen)).await;
    asked.close().await;
    // A script must see that what it reads is not all there was.
    result.map(|exit| if exit == Exit::Done && screen.lost_output() { Exit::RunFailed } else { exit })
}

async fn execute(command: ExecutionsCommand, client: &Client, screen: &Screen) -> Result<Exit, CliError> {
    match command {
        ExecutionsCommand::List(args) => list::list(&args, client, screen).await,
        ExecutionsCommand::Show(args) => show::show(&args, client, screen).await,
        ExecutionsCommand::Events(args) => events::events(&args, client, screen).await,
        ExecutionsCommand::Delete(args) => {
            each(&args.executions, "deleted", screen, async |id| client.remove(id).await).await
        }
        ExecutionsCommand::Pin(args) => {
            each(&args.executions, "pinned", screen, async |id| client.pin(id, true).await).await
        }
        ExecutionsCommand::Unpin(args) => {
            each(&args.executions, "unpinned", screen, async |id| client.pin(id, false).await).await
        }
        ExecutionsCommand::Export(args) => archive::export(&args, client, screen).await,
        ExecutionsCommand::Import(args) => archive::import(&args, client, screen).await,
    }
}

/// Does something with each run, and tells of each what became of it: one that is refused does not keep the others from it.
async fn each(
    executions: &[ExecutionId],
    done: &str,
    screen: &Screen,
    change: impl AsyncFn(&ExecutionId) -> Result<(), ClientError>,
) -> Result<Exit, CliError> {
    let mut exit = Exit::Done;
    for id in executions {
        match change(id).await {
            Ok(()) => screen.out(format!("{done} {id}").as_bytes()),
            Err(ClientError::Refused(problem)) => {
                screen.err(&format!("error: {problem}"));
                exit = Exit::Refused;
            }
            Err(error) => return Err(CliError::Start(error)),
        }
    }
    Ok(exit)
}

/// How the status of a run is shown. One that is COMPLETED with nodes that count as failed is not all well.
fn tone(status: &ExecutionStatus, failed_nodes: usize) -> Tone {
    match status {
        ExecutionStatus::Completed if failed_nodes == 0 => Tone::Good,
        ExecutionStatus::Completed | ExecutionStatus::Failed | ExecutionStatus::Aborted => Tone::Bad,
        ExecutionStatus::Running => Tone::Busy,
        _ => Tone::Dim,
    }
}

// === impl ExecutionsCommand ===

impl ExecutionsCommand {
    fn place(&self) -> &LogPlace {
        match self {
            Self::List(args) => &args.place,
            Self::Show(args) => &args.place,
            Self::Events(args) => &args.place,
            Self::Delete(args) | Self::Pin(args) | Self::Unpin(args) => &args.place,
            Self::Export(args) => &args.place,
            Self::Import(args) => &args.place,
        }
    }
}
