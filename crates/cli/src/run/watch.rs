//! Following a run to its end.

use std::time::Duration;

use client::{Client, ClientError, FollowFrom, FollowOptions, Item};
use core_events::EndReason;
use tokio::time::{MissedTickBehavior, interval};

use crate::{error::CliError, render::View};

/// How often what changes by itself is shown anew.
const TICK: Duration = Duration::from_millis(80);

/// Shows everything that happens in the run of `view` until it and its stream have ended.
pub(super) async fn watch(client: &Client, view: &mut View) -> Result<(), CliError> {
    let execution = view.state().execution_id.clone();
    let options = FollowOptions { from: FollowFrom::Start, ..FollowOptions::default() };
    let mut stream = client.follow(Some(&execution), options);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut missed = false;
    loop {
        let item = tokio::select! {
            item = stream.next() => item,
            _ = ticks.tick() => {
                view.tick();
                continue;
            }
        };
        let ended = view.state().status.is_terminal();
        match item {
            Some(Ok(Item::Event(event))) => view.event(&event),
            Some(Ok(Item::Gap(gap))) => {
                view.gap(&gap);
                missed = true;
                adopt(client, view, false).await;
            }
            Some(Ok(Item::Unreadable(frame))) => view.unreadable(&frame),
            Some(Ok(Item::Reconnecting(lost))) if !ended => view.reconnecting(&lost),
            // All that matters has come; how the stream ended is of no interest.
            _ if ended => break,
            Some(Ok(Item::Reconnecting(_))) => {}
            Some(Ok(Item::End { reason })) => return Err(CliError::Lost(ClientError::Ended(reason))),
            Some(Err(error)) => return Err(CliError::Lost(error)),
            None => return Err(CliError::Lost(ClientError::Ended(EndReason::Error))),
        }
    }
    if missed {
        adopt(client, view, true).await;
    }
    Ok(())
}

/// Takes over the server's fold, which knows what fell into a gap. Not one that is ahead of us by the end of the run
/// unless `ended`: that end has to come through the stream. Without an answer we go on with what we have.
async fn adopt(client: &Client, view: &mut View, ended: bool) {
    match client.get(&view.state().execution_id).await {
        Ok(snapshot) if snapshot.state.status.is_terminal() == ended => view.adopt(snapshot.state),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the state of the run is not to be had"),
    }
}
