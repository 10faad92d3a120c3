//! `dipeo log`.

use client::LogReport;
use serde_json::{Value, json};

use crate::{
    args::{LogArgs, LogCommand, StatsArgs},
    error::CliError,
    exit::Exit,
    ownership::Asked,
    screen::{Screen, Tone},
    text,
};

/// Does what is said of the log.
pub(crate) async fn log(args: LogArgs, screen: Screen) -> Result<Exit, CliError> {
    let LogCommand::Stats(args) = args.command;
    let asked = Box::pin(Asked::open(&args.place)).await?;
    let report = asked.client.log().await;
    asked.close().await;
    show(&args, &report.map_err(CliError::Start)?, &screen);
    Ok(if screen.lost_output() { Exit::RunFailed } else { Exit::Done })
}

fn show(args: &StatsArgs, report: &LogReport, screen: &Screen) {
    if args.json {
        screen.out(json!({ "stats": report.stats, "health": report.health }).to_string().as_bytes());
        return;
    }
    for (name, value) in figures(&report.stats) {
        let name = screen.palette().paint(Tone::Strong, &format!("{name:<12}"));
        screen.out(format!("{name} {}", text::line(&value)).as_bytes());
    }
    let health = match report.health.get("kind").and_then(Value::as_str) {
        None => screen.palette().paint(Tone::Good, "good"),
        Some(kind) => {
            let detail = report.health.get("detail").and_then(Value::as_str).unwrap_or_default();
            screen.palette().paint(Tone::Bad, &text::line(&format!("{kind}: {detail}")))
        }
    };
    screen.out(
        format!("{} {health}", screen.palette().paint(Tone::Strong, &format!("{:<12}", "health"))).as_bytes(),
    );
}

/// What is worth a line. Figures that a server does not give are left out.
fn figures(stats: &Value) -> Vec<(&'static str, String)> {
    let number = |path: &str| stats.pointer(path).and_then(Value::as_u64);
    let bytes = |path: &str| number(path).map(text::bytes);
    let statuses = stats.pointer("/runs_by_status").and_then(Value::as_object).into_iter().flatten();
    let statuses: Vec<String> =
        statuses.map(|(status, count)| format!("{count} {}", status.to_lowercase())).collect();
    let runs = number("/runs").map(|runs| match (statuses.is_empty(), number("/pinned").unwrap_or(0)) {
        (true, _) => runs.to_string(),
        (false, 0) => format!("{runs} ({})", statuses.join(", ")),
        (false, pinned) => format!("{runs} ({}; {pinned} pinned)", statuses.join(", ")),
    });
    let events = number("/records").zip(bytes("/bytes"));
    let since = number("/appended").zip(number("/pruned"));
    let waiting = bytes("/store/queue_bytes").zip(bytes("/store/queue_limit"));
    let commits = number("/store/commit_time/count").zip(number("/store/commit_time/sum"));
    let mean = |(count, sum): (u64, u64)| match sum.checked_div(count) {
        Some(micros) => format!("{count}, {} µs each on average", text::grouped(micros)),
        None => count.to_string(),
    };
    let trouble = number("/store/unstored").zip(number("/store/lost")).filter(|both| *both != (0, 0));
    let lines = [
        ("runs", runs),
        ("events", events.map(|(count, bytes)| format!("{} ({bytes})", text::grouped(count)))),
        ("oldest", stats.pointer("/oldest").and_then(Value::as_str).map(str::to_owned)),
        (
            "since start",
            since.map(|(added, removed)| {
                format!("{} appended, {} removed", text::grouped(added), text::grouped(removed))
            }),
        ),
        (
            "file",
            bytes("/store/file_bytes").map(|file| match bytes("/store/free_bytes") {
                Some(free) => format!("{file}, of which {free} are free"),
                None => file,
            }),
        ),
        ("write-ahead", bytes("/store/wal_bytes")),
        ("waiting", waiting.map(|(waiting, limit)| format!("{waiting} of {limit}"))),
        ("commits", commits.map(mean)),
        (
            "trouble",
            trouble
                .map(|(unstored, lost)| format!("{unstored} shown before they were stored, {lost} given up")),
        ),
        ("reads", number("/store/reads").map(text::grouped)),
    ];
    lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
