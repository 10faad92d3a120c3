//! The task that ends runs whose producers fell silent.

use std::{sync::Arc, time::Duration};

use core_events::{
    ExecutionId,
    ports::{ControlError, ListQuery, ReadError},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{SOURCE, ingest_runs::Shared, table::Run};

/// How long to wait for a log that does not answer.
const RETRY: Duration = Duration::from_secs(5);

/// Runs that are asked for at a time.
const PAGE: usize = 200;

/// Gives the open runs of an earlier life a new lease, then waits for leases to run out; for ever.
pub(crate) async fn keep(shared: Arc<Shared>) {
    while let Err(error) = take_over(&shared).await {
        tracing::warn!(%error, "the open runs of outside engines could not be looked up; another try follows");
        sleep(RETRY).await;
    }
    loop {
        let grown = shared.table.grown.notified();
        match shared.table.next_due() {
            None => grown.await,
            Some(due) if due > Instant::now() => {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = grown => {}
                }
            }
            Some(_) => {
                for (id, run) in shared.table.silent() {
                    close(&shared, &id, &run).await;
                }
            }
        }
    }
}

async fn take_over(shared: &Shared) -> Result<(), ReadError> {
    let mut query = ListQuery { unfinished: true, limit: PAGE, ..ListQuery::default() };
    loop {
        let runs = shared.log.list(&query).await?;
        for run in runs.iter().filter(|run| run.source.as_deref() == Some(SOURCE)) {
            // They count, but are not turned away.
            shared.table.enter(&run.execution_id, shared.options.lease, usize::MAX);
        }
        let full = runs.len() == PAGE;
        match runs.last().filter(|_| full) {
            Some(last) => query.before = Some(last.execution_id.clone()),
            None => return Ok(()),
        }
    }
}

/// Ends a silent run; later, if the log can't take that now.
async fn close(shared: &Shared, id: &ExecutionId, run: &Run) {
    let reason = format!("producer silent for {}", spoken(shared.options.lease));
    // It may be heard of while the log is asked.
    if let Err(error) = shared.abort(id, &reason, || run.is_silent()).await
        && !matches!(error, ControlError::Ended(_))
    {
        tracing::warn!(execution = %id, %error, "a silent run could not be ended; another try follows");
        run.renew(RETRY);
    }
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        secs if secs % 60 == 0 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}
