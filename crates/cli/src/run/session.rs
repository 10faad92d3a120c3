//! Telling the server that a terminal shows the run.

use std::time::Duration;

use client::{Client, ClientError};
use core_events::ExecutionId;

/// How long the server may take to note it. A run is not held up for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells the server of `client` that this terminal shows `execution`. Monitors find it then; without it the run goes on
/// just the same.
pub(super) async fn begin(client: &Client, execution: &ExecutionId, diagram_name: &str) {
    note(client.register_cli_session(execution, diagram_name)).await;
}

/// Tells it that this is over.
pub(super) async fn end(client: &Client, execution: &ExecutionId) {
    note(client.unregister_cli_session(execution)).await;
}

async fn note(request: impl Future<Output = Result<(), ClientError>>) {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the server does not note this terminal"),
        Err(_) => tracing::debug!("the server takes long to note this terminal"),
    }
}
