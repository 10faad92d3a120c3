//! Comparing what two monitoring paths say of one run.
//!
//! Both streams are brought into a canonical form by named rules, each with its reason; then order within a node and
//! causality between nodes must be the same. How parallel branches interleave is free.

use std::collections::{BTreeMap, BTreeSet};

use diagram::ExecutableDiagram;
use serde_json::{Map, Value};

/// A stream, as one path delivers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// UnifiedEventObserver, over the log.
    Unified,
    /// MonitoringStreamObserver (T1).
    LegacySse,
    /// EventPublishingObserver through its router (T2).
    LegacyGraphql,
}

/// A difference that is meant, and so is taken away before the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Control frames belong to the connection.
    ControlFrames,
    /// T1 has no top-level `timestamp`, and only the unified path has `seq`.
    EnvelopeFields,
    /// T2 never carried logs.
    NoLogsOnGraphql,
    /// Fields of `data` that the original's contracts don't have.
    AddedFields,
    /// A large output is stored beside the log; the legacy paths have no such store.
    LargeOutput,
}

/// An event in canonical form.
#[derive(Debug, Clone, PartialEq)]
pub struct Canonical {
    /// Its type.
    pub kind: String,
    /// Its node; `None` for the execution.
    pub node: Option<String>,
    /// Its `data`, without what the rules take away.
    pub data: Map<String, Value>,
}

/// What was compared and found.
#[derive(Debug, Default)]
pub struct Report {
    /// Events of the first stream that were compared.
    pub events: usize,
    /// The rules that changed something.
    pub applied: BTreeSet<Rule>,
    /// What no rule explains.
    pub mismatches: Vec<String>,
}

const CONTROL: &[&str] = &["CONNECTION_ESTABLISHED", "HEARTBEAT", "STREAM_GAP", "STREAM_END"];

/// The keys that the original's `data` has, per type and status. What is beside them is ours.
fn contract(kind: &str, status: &str) -> Option<&'static [&'static str]> {
    Some(match (kind, status) {
        ("EXECUTION_STATUS_CHANGED", "RUNNING") => &["status", "diagram_id", "timestamp"],
        ("EXECUTION_STATUS_CHANGED", _) => &["status", "timestamp"],
        ("NODE_STATUS_CHANGED", "COMPLETED" | "MAXITER_REACHED") => &[
            "node_id",
            "status",
            "node_type",
            "output",
            "started_at",
            "ended_at",
            "token_usage",
            "tokens_used",
            "timestamp",
        ],
        ("NODE_STATUS_CHANGED", "FAILED") => &["node_id", "status", "node_type", "error", "timestamp"],
        ("NODE_STATUS_CHANGED", _) => &["node_id", "status", "node_type", "timestamp"],
        ("EXECUTION_ERROR", _) => &["error", "timestamp"],
        ("EXECUTION_LOG", _) => &["level", "message", "timestamp", "logger", "node_id"],
        _ => return None,
    })
}

impl Rule {
    /// Why the difference is meant.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ControlFrames => "control frames tell of the connection, not of the run",
            Self::EnvelopeFields => {
                "T1 has no top-level timestamp; seq and ids of sub-runs are additions of the log"
            }
            Self::NoLogsOnGraphql => "the legacy web path never carried logs",
            Self::AddedFields => "additions to data that the original's contracts don't have",
            Self::LargeOutput => {
                "a large output has a reference into the log, which the legacy paths don't read"
            }
        }
    }
}

/// Brings a stream into canonical form. `logs`: whether both streams carry them.
#[must_use]
pub fn canonical(path: Path, events: &[Value], logs: bool, applied: &mut BTreeSet<Rule>) -> Vec<Canonical> {
    let mut all = Vec::new();
    for event in events {
        let kind = event["type"].as_str().unwrap_or_default();
        if CONTROL.contains(&kind) {
            applied.insert(Rule::ControlFrames);
            continue;
        }
        if kind == "EXECUTION_LOG" && !logs {
            applied.insert(Rule::NoLogsOnGraphql);
            continue;
        }
        if path != Path::LegacySse {
            applied.insert(Rule::EnvelopeFields);
        }
        let mut data = event["data"].as_object().cloned().unwrap_or_default();
        if data.get("output_ref").is_some() {
            data.remove("output");
            applied.insert(Rule::LargeOutput);
        }
        let status = data.get("status").and_then(Value::as_str).unwrap_or_default();
        if let Some(keys) = contract(kind, status) {
            let before = data.len();
            data.retain(|key, _| keys.contains(&key.as_str()));
            if data.len() < before {
                applied.insert(Rule::AddedFields);
            }
        }
        let node = data.get("node_id").and_then(Value::as_str).map(str::to_owned);
        all.push(Canonical { kind: kind.to_owned(), node, data });
    }
    all
}

/// Compares two streams of one run of `diagram`.
#[must_use]
pub fn compare(diagram: &ExecutableDiagram, one: (Path, &[Value]), other: (Path, &[Value])) -> Report {
    let mut report = Report::default();
    let logs = one.0 != Path::LegacyGraphql && other.0 != Path::LegacyGraphql;
    let a = canonical(one.0, one.1, logs, &mut report.applied);
    let b = canonical(other.0, other.1, logs, &mut report.applied);
    report.events = a.len();
    let (a_nodes, b_nodes) = (by_node(&a), by_node(&b));
    let nodes: BTreeSet<_> = a_nodes.keys().chain(b_nodes.keys()).copied().collect();
    for node in nodes {
        let none = Vec::new();
        let (left, right) = (a_nodes.get(&node).unwrap_or(&none), b_nodes.get(&node).unwrap_or(&none));
        let name = node.unwrap_or("the execution");
        if left.len() != right.len() {
            report.mismatches.push(format!("{name}: {} events against {}", left.len(), right.len()));
        }
        for (at, (left, right)) in left.iter().zip(right).enumerate() {
            if left != right {
                report.mismatches.push(format!("{name}, event {at}: {} against {}", show(left), show(right)));
            }
        }
    }
    let (a_causes, b_causes) = (causes(diagram, &a), causes(diagram, &b));
    for (start, cause) in &a_causes {
        if b_causes.get(start) != Some(cause) {
            report
                .mismatches
                .push(format!("{start:?} began after {cause:?} against {:?}", b_causes.get(start)));
        }
    }
    for (name, stream) in [("first", &a), ("second", &b)] {
        ends(name, stream, &mut report.mismatches);
    }
    report
}

fn show(event: &Canonical) -> String {
    let data = Value::Object(event.data.clone()).to_string();
    format!("{} {}", event.kind, data.chars().take(300).collect::<String>())
}

fn by_node(events: &[Canonical]) -> BTreeMap<Option<&str>, Vec<&Canonical>> {
    let mut nodes: BTreeMap<Option<&str>, Vec<&Canonical>> = BTreeMap::new();
    for event in events {
        nodes.entry(event.node.as_deref()).or_default().push(event);
    }
    nodes
}

fn status(event: &Canonical) -> &str {
    event.data.get("status").and_then(Value::as_str).unwrap_or_default()
}

/// For each start of a node, how often each of its sources had ended by then.
fn causes(
    diagram: &ExecutableDiagram,
    events: &[Canonical],
) -> BTreeMap<(String, usize), BTreeMap<String, usize>> {
    let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in diagram.edges() {
        let ends = (diagram.node(edge.source), diagram.node(edge.target));
        if let (Some(source), Some(target)) = ends {
            sources.entry(target.id.as_str()).or_default().insert(source.id.as_str());
        }
    }
    let (mut started, mut ended) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    let mut causes = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind == "NODE_STATUS_CHANGED") {
        let Some(node) = &event.node else { continue };
        match status(event) {
            "RUNNING" => {
                let count = started.entry(node.clone()).or_default();
                *count += 1;
                let own = sources.get(node.as_str()).into_iter().flatten();
                let cause = own
                    .map(|source| ((*source).to_owned(), ended.get(*source).copied().unwrap_or(0)))
                    .collect();
                causes.insert((node.clone(), *count), cause);
            }
            "COMPLETED" | "FAILED" | "MAXITER_REACHED" => *ended.entry(node.clone()).or_default() += 1,
            _ => {}
        }
    }
    causes
}

/// The start is first, the end is last.
fn ends(name: &str, events: &[Canonical], mismatches: &mut Vec<String>) {
    let is_start = |event: &Canonical| event.kind == "EXECUTION_STATUS_CHANGED" && status(event) == "RUNNING";
    if !events.first().is_some_and(is_start) {
        mismatches.push(format!("the {name} stream does not begin with the start of the execution"));
    }
    let is_end = |event: &Canonical| {
        event.kind == "EXECUTION_ERROR"
            || (event.kind == "EXECUTION_STATUS_CHANGED"
                && matches!(status(event), "COMPLETED" | "FAILED" | "ABORTED"))
    };
    if !events.last().is_some_and(is_end) {
        mismatches.push(format!("the {name} stream does not end with the end of the execution"));
    }
}
