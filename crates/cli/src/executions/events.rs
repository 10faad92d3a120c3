//! `dipeo executions events`.

use client::{Client, ClientError, EventsRequest, FollowFrom, FollowOptions, Item};
use core_events::EndReason;

use crate::{
    args::EventsArgs,
    error::CliError,
    exit::Exit,
    render::{Style, View},
    screen::Screen,
};

pub(super) async fn events(args: &EventsArgs, client: &Client, screen: &Screen) -> Result<Exit, CliError> {
    let style = if args.json { Style::Json } else { Style::Lines };
    let mut view = View::new(screen.clone(), style, args.execution.clone(), args.debug);
    if args.follow {
        follow(args, client, &mut view, screen).await
    } else {
        pages(args, client, &mut view, screen).await
    }
}

/// Shows what there is.
async fn pages(
    args: &EventsArgs,
    client: &Client,
    view: &mut View,
    screen: &Screen,
) -> Result<Exit, CliError> {
    let request = EventsRequest { from: args.from.clone(), types: args.types.clone() };
    let mut pages = client.events(&args.execution, &request);
    while let Some(items) = pages.next().await.map_err(CliError::Start)? {
        for item in &items {
            show(view, item);
        }
        // There may be many more pages, and nobody reads them.
        if !screen.is_open() {
            break;
        }
    }
    Ok(Exit::Done)
}

/// Shows what there is and what comes, until the run has ended.
async fn follow(
    args: &EventsArgs,
    client: &Client,
    view: &mut View,
    screen: &Screen,
) -> Result<Exit, CliError> {
    let from = args.from.clone().map_or(FollowFrom::Start, FollowFrom::Cursor);
    let options = FollowOptions { from, types: args.types.clone(), ..FollowOptions::default() };
    let mut stream = client.follow(Some(&args.execution), options);
    while screen.is_open() {
        match stream.next().await {
            Some(Ok(Item::End { reason: EndReason::Completed })) | None => return Ok(Exit::Done),
            Some(Ok(Item::End { reason })) => return Err(CliError::Start(ClientError::Ended(reason))),
            Some(Ok(item)) => show(view, &item),
            Some(Err(error)) => return Err(CliError::Start(error)),
        }
    }
    Ok(Exit::Done)
}

fn show(view: &mut View, item: &Item) {
    match item {
        Item::Event(event) => view.event(event),
        Item::Gap(gap) => view.gap(gap),
        Item::Unreadable(frame) => view.unreadable(frame),
        Item::Reconnecting(lost) => view.reconnecting(lost),
        Item::End { .. } => {}
    }
}
