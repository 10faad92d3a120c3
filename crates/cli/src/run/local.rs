//! Running here, with a server of our own for as long as the run takes.

use std::{sync::Arc, time::Duration};

use client::Client;
use core_events::ports::{Control, ControlError, DiagramSource, Executions, StartError, StartExecution};
use server::{Config, Server};
use tokio::time::{sleep, timeout};

use super::{
    Job,
    place::{self, Place},
    remote, session,
    watch::watch,
};
use crate::{args::RunArgs, error::CliError, exit::Exit, input, ownership};

/// Runs `job` in this process, and serves its monitor on a loopback port until the run has ended and whoever watches it
/// got the end of the stream; or has the server run it that owns the log.
pub(super) async fn run(job: Job, args: &RunArgs) -> Result<Exit, CliError> {
    let base_dir = match &args.base_dir {
        Some(dir) => Some(input::base_dir(Some(dir))?),
        None => None,
    };
    let port = args.port.unwrap_or(0);
    let sources = ownership::own_sources(args.config.as_deref(), args.data_dir.as_deref(), port)?;
    let mut config = Config::load(&sources).map_err(|error| CliError::Startup(error.to_string()))?;
    config.base_dir = base_dir.or(config.base_dir);
    let server = match Box::pin(place::choose(&config, args, &job.screen)).await? {
        Place::Here(server) => server,
        Place::There(client) => return Box::pin(remote::run(job, client, config.base_dir.as_deref())).await,
    };
    let browser = job.browser;
    let result = run_on(job, &server).await;
    if let (true, Ok((_, events))) = (browser, &result) {
        let seen = timeout(BROWSER, seen_elsewhere(&server, *events)).await;
        if seen.is_err() {
            tracing::info!("no browser came to see the run");
        }
    }
    server.stop().await;
    result.map(|(exit, _)| exit)
}

/// How long a browser that was asked for may take to open the page of a run that is over.
const BROWSER: Duration = Duration::from_secs(10);

/// Waits until somebody besides us, who took `events` events, was given some, and nobody reads any more.
async fn seen_elsewhere(server: &Server, events: u64) {
    loop {
        let stats = server.router().stats();
        if stats.delivered > events && stats.subscriptions == 0 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the exit and how many events the run had.
async fn run_on(job: Job, server: &Server) -> Result<(Exit, u64), CliError> {
    let client = Client::new(&format!("http://{}", server.local_addr())).map_err(CliError::Start)?;
    let executions = server.executions();
    let request = StartExecution {
        diagram: DiagramSource {
            text: job.diagram.text.clone(),
            name: job.diagram.name.clone(),
            base_dir: None,
        },
        inputs: job.inputs.clone(),
        timeout: job.timeout,
        path: job.path,
    };
    let started = executions.start(request).await.map_err(|error| match error {
        StartError::Diagram(faults) => CliError::Diagram(faults),
        error => CliError::Startup(error.to_string()),
    })?;
    let execution = started.execution;
    let mut view = job.begin(&execution, &client.monitor_url(&execution), &started.warnings);
    let aborting = job.on_signal({
        let (executions, execution): (Arc<dyn Executions>, _) = (Arc::clone(&executions), execution.clone());
        async move |signal| {
            let wish = Control::Abort { reason: signal.reason().to_owned() };
            match executions.control(&execution, wish).await {
                // It was over before.
                Err(ControlError::Ended(_)) => Ok(()),
                result => result.map_err(|error| error.to_string()),
            }
        }
    });
    session::begin(&client, &execution, &job.diagram.name).await;
    let watched = watch(&client, &mut view).await;
    session::end(&client, &execution).await;
    aborting.abort();
    view.close();
    watched?;
    view.finish();
    let events = view.state().last_seq.unwrap_or(0);
    Ok((Exit::of_run(view.state(), job.signals.received()), events))
}
