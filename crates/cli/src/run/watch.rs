//! Following a run to its end.

use std::time::Duration;

use client::{ClientError, FollowStream, Item};
use core_events::EndReason;
use tokio::time::{MissedTickBehavior, interval};

use crate::{error::CliError, render::View};

/// How often what changes by itself is shown anew.
const TICK: Duration = Duration::from_millis(80);

/// Shows everything that `stream` brings until the run and its stream have ended.
pub(super) async fn watch(mut stream: FollowStream, view: &mut View) -> Result<(), CliError> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
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
            Some(Ok(Item::Gap(gap))) => view.gap(&gap),
            Some(Ok(Item::Unreadable(frame))) => view.unreadable(&frame),
            Some(Ok(Item::Reconnecting(lost))) if !ended => view.reconnecting(&lost),
            // All that matters has come; how the stream ended is of no interest.
            _ if ended => return Ok(()),
            Some(Ok(Item::Reconnecting(_))) => {}
            Some(Ok(Item::End { reason })) => return Err(CliError::Lost(ClientError::Ended(reason))),
            Some(Err(error)) => return Err(CliError::Lost(error)),
            None => return Err(CliError::Lost(ClientError::Ended(EndReason::Error))),
        }
    }
}
