//! `dipeo executions list`.

use client::{Client, ListRequest};
use core_events::ports::RunSummary;
use jiff::tz::TimeZone;

use super::tone;
use crate::{
    args::ListArgs,
    error::CliError,
    exit::Exit,
    screen::Screen,
    table::{Cell, Table},
    text,
};

/// Runs of one request: as many as a server gives at once.
const PAGE: usize = 500;

/// Most bytes that are shown of a diagram's name.
const SHOWN_BYTES: usize = 48;

pub(super) async fn list(args: &ListArgs, client: &Client, screen: &Screen) -> Result<Exit, CliError> {
    let mut left = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut request = ListRequest { status: args.status.clone(), ..ListRequest::default() };
    let names = ["ID", "STATUS", "DIAGRAM", "STARTED", "DURATION", "EVENTS", "PINNED", "SOURCE"];
    let (mut table, zone) = (Table::new(screen.palette(), &names), TimeZone::system());
    let mut shown = 0_usize;
    while left > 0 {
        let limit = left.min(PAGE);
        request.limit = Some(limit);
        let runs = client.list(&request).await.map_err(CliError::Start)?;
        let full = runs.len() == limit;
        left -= runs.len().min(left);
        shown += runs.len();
        request.before = runs.last().map(|run| run.execution_id.clone());
        for run in runs {
            if args.json {
                screen.out(serde_json::to_string(&run).unwrap_or_default().as_bytes());
            } else {
                table.row(row(&run, &zone));
            }
        }
        if !full {
            break;
        }
    }
    if !args.json && shown == 0 {
        screen.err("there are no such runs");
    } else if !args.json {
        for line in table.lines() {
            screen.out(line.as_bytes());
        }
    }
    Ok(Exit::Done)
}

fn row(run: &RunSummary, zone: &TimeZone) -> Vec<Cell> {
    let name = run.diagram_name.as_deref().or(run.diagram_id.as_deref()).unwrap_or_default();
    let took = run.started_at.zip(run.ended_at).map(|(started, ended)| ended.since(started));
    vec![
        Cell::new(run.execution_id.as_str()),
        Cell::new(run.status.as_str()).toned(tone(&run.status, run.failed_nodes)),
        Cell::new(&text::bounded(name, SHOWN_BYTES)),
        Cell::new(&text::time(run.started_at, zone)),
        Cell::right(took.map(text::duration).unwrap_or_default()),
        Cell::right(run.events.to_string()),
        Cell::new(if run.pinned { "pinned" } else { "" }),
        Cell::new(run.source.as_deref().unwrap_or_default()),
    ]
}
