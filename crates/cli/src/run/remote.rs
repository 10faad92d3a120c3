//! Running on a server.

use std::path::Path;

use client::{Client, ClientError, StartRequest};

use super::{Job, session, watch::watch};
use crate::{error::CliError, exit::Exit, input};

/// Runs `job` on the server at `address`.
pub(super) async fn run_at(job: Job, address: &str, base_dir: Option<&Path>) -> Result<Exit, CliError> {
    run(job, Client::new(address).map_err(CliError::Start)?, base_dir).await
}

/// Runs `job` on the server of `client`. A base directory means something only there on this machine.
pub(super) async fn run(job: Job, client: Client, base_dir: Option<&Path>) -> Result<Exit, CliError> {
    let base_dir = match (client.is_loopback(), base_dir) {
        (true, given) => Some(input::base_dir(given)?),
        (false, None) => None,
        (false, Some(_)) => {
            let text = "--base-dir: a directory of this machine means nothing to a server on another one; leave it out";
            return Err(CliError::Usage(text.to_owned()));
        }
    };
    let request = StartRequest {
        diagram: job.diagram.text.clone(),
        name: Some(job.diagram.name.clone()),
        base_dir,
        inputs: job.inputs.clone(),
        timeout: job.timeout,
        path: job.path,
    };
    let started = client.start(&request).await.map_err(|error| match error {
        ClientError::Refused(problem) if !problem.errors.is_empty() => CliError::Diagram(problem.errors),
        error => CliError::Start(error),
    })?;
    let execution = started.execution_id;
    let mut view = job.begin(&execution, &client.monitor_url(&execution), &started.warnings);
    let aborting = job.on_signal({
        let (client, execution) = (client.clone(), execution.clone());
        async move |signal| match client.abort(&execution, signal.reason()).await {
            // It was over before.
            Err(ClientError::Refused(problem)) if problem.status == 409 => Ok(()),
            result => result.map_err(|error| error.to_string()),
        }
    });
    session::begin(&client, &execution, &job.diagram.name).await;
    let watched = watch(&client, &mut view).await;
    session::end(&client, &execution).await;
    aborting.abort();
    view.close();
    watched?;
    view.finish();
    Ok(Exit::of_run(view.state(), job.signals.received()))
}
