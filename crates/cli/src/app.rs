//! From the command line to the exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Command, CommandLine},
    config,
    error::CliError,
    executions,
    exit::Exit,
    log, logging, run,
    screen::Screen,
    serve, validate,
};

/// Does what the command line says and returns the exit code.
pub fn main() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) => {
            // Help that nobody reads is no failure.
            error.print().unwrap_or_default();
            return if error.exit_code() == 0 { Exit::Done.into() } else { Exit::Refused.into() };
        }
    };
    let screen = Screen::new();
    match execute(command, &screen) {
        Ok(exit) => exit.into(),
        Err(error) => {
            screen.err(&format!("{}{error}", error.label()));
            error.exit().into()
        }
    }
}

fn execute(command: Command, screen: &Screen) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => {
            logging::start(screen.clone(), args.debug);
            in_runtime(run::run(args, screen.clone()))
        }
        Command::Serve(args) => {
            logging::start(screen.clone(), args.debug);
            in_runtime(serve::serve(args, screen.clone()))
        }
        Command::Validate(args) => Ok(validate::validate(&args, screen)),
        Command::Executions(args) => {
            logging::start(screen.clone(), false);
            in_runtime(executions::executions(args, screen.clone()))
        }
        Command::Log(args) => {
            logging::start(screen.clone(), false);
            in_runtime(log::log(args, screen.clone()))
        }
        Command::Config(args) => {
            logging::start(screen.clone(), false);
            config::config(&args, screen)
        }
    }
}

fn in_runtime(task: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Startup(format!("can't start: {error}")))?;
    let result = runtime.block_on(task);
    // Everything that has to end has ended; a thread that is stuck in an output that nobody reads must not hold us.
    runtime.shutdown_background();
    result
}
