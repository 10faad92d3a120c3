//! `dipeo executions show`.

use client::{Client, Snapshot};
use core_events::ExecutionState;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::{
    args::ShowArgs,
    error::CliError,
    exit::Exit,
    render,
    screen::{Screen, Tone},
    table::{Cell, Table},
    text,
};

/// Most bytes that are shown of one text.
const SHOWN_BYTES: usize = 200;

pub(super) async fn show(args: &ShowArgs, client: &Client, screen: &Screen) -> Result<Exit, CliError> {
    let snapshot = match &args.at {
        Some(at) => client.state_at(&args.execution, at).await,
        None => client.get(&args.execution).await,
    };
    let Snapshot { state, cursor } = snapshot.map_err(CliError::Start)?;
    if args.json {
        let mut json = serde_json::to_value(&state).unwrap_or_default();
        if let Value::Object(json) = &mut json {
            json.insert("cursor".to_owned(), json!(cursor));
        }
        screen.out(json.to_string().as_bytes());
        return Ok(Exit::Done);
    }
    for line in render::summary(&state, screen.palette()) {
        screen.out(line.as_bytes());
    }
    for (name, value) in facts(&state, &cursor.to_string()) {
        let name = screen.palette().paint(Tone::Strong, &format!("{name:<9}"));
        screen.out(format!("{name} {}", text::line(&value)).as_bytes());
    }
    if !state.nodes.is_empty() {
        screen.out(b"");
        for line in nodes(&state, screen).lines() {
            screen.out(line.as_bytes());
        }
    }
    Ok(Exit::Done)
}

fn facts(state: &ExecutionState, cursor: &str) -> Vec<(&'static str, String)> {
    let zone = TimeZone::system();
    let time = |at: Option<_>| at.map(|at| text::time(Some(at), &zone));
    let name = [state.diagram_name.clone(), state.diagram_id.clone()].into_iter().flatten();
    let name = name.collect::<Vec<_>>().join(", ");
    let tokens = state.token_usage.input + state.token_usage.output;
    let facts = [
        ("diagram", Some(name).filter(|name| !name.is_empty())),
        ("started", time(state.started_at)),
        ("ended", time(state.ended_at)),
        ("source", state.source.clone()),
        ("part of", state.parent_execution_id.as_ref().map(ToString::to_string)),
        ("tokens", (tokens > 0).then(|| tokens.to_string())),
        ("log lines", Some(state.log_lines.to_string())),
        ("events", state.last_seq.map(|seq| seq.to_string())),
        ("cursor", Some(cursor.to_owned())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, text::bounded(&value?, SHOWN_BYTES)))).collect()
}

fn nodes(state: &ExecutionState, screen: &Screen) -> Table {
    let mut table = Table::new(screen.palette(), &["NODE", "TYPE", "STATUS", "DURATION", "RUNS", "LABEL"]);
    for (id, node) in &state.nodes {
        let took = node.started_at.zip(node.ended_at).map(|(started, ended)| ended.since(started));
        table.row(vec![
            Cell::new(&text::bounded(id.as_str(), SHOWN_BYTES)),
            Cell::new(node.node_type.as_ref().map_or("", |kind| kind.as_str())),
            Cell::new(node.status.as_str()).toned(render::node_tone(&node.status)),
            Cell::right(took.map(text::duration).unwrap_or_default()),
            Cell::right(node.iterations.to_string()),
            Cell::new(&text::bounded(node.label.as_deref().unwrap_or_default(), SHOWN_BYTES)),
        ]);
    }
    table
}
