//! `dipeo run`.

mod local;
mod place;
mod remote;
mod session;
mod watch;

use std::time::Duration;

use core_events::{ExecutionId, ports::MonitoringPath};
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use crate::{
    args::RunArgs,
    error::CliError,
    exit::Exit,
    input,
    render::{Style, View},
    screen::Screen,
    signals::{Signal, Signals},
};

/// What both ways of running need.
#[derive(Debug)]
struct Job {
    screen: Screen,
    signals: Signals,
    diagram: input::DiagramText,
    inputs: Map<String, Value>,
    timeout: Option<Duration>,
    path: Option<MonitoringPath>,
    style: Style,
    debug: bool,
    browser: bool,
}

/// Runs a diagram, here or on a server, and shows it until its end.
pub(crate) async fn run(args: RunArgs, screen: Screen) -> Result<Exit, CliError> {
    let style = match (args.json, args.quiet) {
        (true, _) => Style::Json,
        (false, true) => Style::Quiet,
        (false, false) => Style::Text,
    };
    let inputs = input::inputs(args.inputs.as_deref(), args.input_data.as_deref())?;
    let diagram = input::diagram(&args.diagram)?;
    // Not before: until here a signal does what it does to everybody, also where a pipe or a terminal gives no text.
    let signals = Signals::listen(screen.clone(), "ending the run")?;
    let (timeout, path, debug, browser) = (args.timeout, args.path(), args.debug, args.browser);
    let shown = screen.clone();
    let job = Job { screen, signals, diagram, inputs, timeout, path, style, debug, browser };
    let exit = match &args.server {
        Some(address) => Box::pin(remote::run_at(job, address, args.base_dir.as_deref())).await?,
        None => Box::pin(local::run(job, &args)).await?,
    };
    // A script must see that what it reads is not all there was.
    Ok(if exit == Exit::Done && shown.lost_output() { Exit::RunFailed } else { exit })
}

// === impl Job ===

impl Job {
    /// Shows where the run can be watched, and opens a browser there if that is wished.
    fn begin(&self, execution: &ExecutionId, monitor: &str, warnings: &[String]) -> View {
        let view = View::new(self.screen.clone(), self.style, execution.clone(), self.debug);
        view.begin(monitor, warnings);
        if self.browser
            && let Err(error) = open::that_detached(monitor)
        {
            self.screen.err(&format!("warning: can't open a browser: {error}"));
        }
        view
    }

    /// Calls `abort` when a signal comes, in a task of its own, so that a stuck output doesn't keep the run going.
    /// The caller ends the task when the run has ended.
    fn on_signal<F>(&self, abort: impl FnOnce(Signal) -> F + Send + 'static) -> JoinHandle<()>
    where
        F: Future<Output = Result<(), String>> + Send,
    {
        let (mut signals, screen) = (self.signals.clone(), self.screen.clone());
        tokio::spawn(async move {
            let signal = signals.wait().await;
            if let Err(error) = abort(signal).await {
                screen.err(&format!("error: can't end the run: {error}"));
            }
        })
    }
}
