//! What the schema has as JSON.

use core_events::{
    ExecutionState, NodeId, NodeState,
    ports::{CliSession, DiagramEntry, DiagramFile, DiagramReport, Health, SystemInfo},
};
use serde_json::{Map, Value, json};

use super::Status;

/// The original's object: `{}` if there is no session.
pub(super) fn cli_session(active: Option<&CliSession>) -> Value {
    active.map_or_else(
        || json!({}),
        |active| {
            let session = &active.session;
            json!({
                "execution_id": session.execution,
                "diagram_name": session.diagram_name,
                "diagram_format": session.diagram_format,
                "started_at": active.started_at,
                "is_active": true,
                "diagram_data": session.diagram_data.as_ref().map(Value::to_string),
                "node_states": null,
                "session_id": active.session_id,
            })
        },
    )
}

pub(super) fn health(health: &Health, version: &str) -> Value {
    let checks: Map<_, _> =
        health.checks.iter().map(|(name, well)| ((*name).to_owned(), (*well).into())).collect();
    let well = health.ready && health.checks.iter().all(|(_, well)| *well);
    json!({
        "status": if well { "healthy" } else { "degraded" },
        "timestamp": health.timestamp,
        "checks": checks,
        "version": version,
    })
}

pub(super) fn system_info(info: &SystemInfo) -> Value {
    json!({
        "version": info.version,
        "supported_node_types": info.node_types,
        "supported_llm_services": [],
        "max_upload_size_mb": info.max_body_bytes / (1024 * 1024),
        "graphql_subscriptions_enabled": true,
        "monitoring_paths": info.paths.iter().map(|path| path.name()).collect::<Vec<_>>(),
        "default_monitoring_path": info.default_path.map(|path| path.name()),
    })
}

/// The nodes in the order in which they first appeared.
pub(super) fn execution_order(state: &ExecutionState) -> Value {
    let nodes: Vec<_> = state.nodes.iter().map(|(id, node)| ordered_node(id, node)).collect();
    let mut order = Map::new();
    order.insert("executionId".to_owned(), json!(state.execution_id));
    order.insert("status".to_owned(), Status::from(&state.status).as_str().into());
    order.insert("totalNodes".to_owned(), nodes.len().into());
    order.insert("nodes".to_owned(), nodes.into());
    optional(&mut order, "startedAt", state.started_at.map(|time| json!(time)));
    optional(&mut order, "endedAt", state.ended_at.map(|time| json!(time)));
    Value::Object(order)
}

pub(super) fn no_execution_order(id: &str, error: &str) -> Value {
    json!({ "executionId": id, "status": "NOT_FOUND", "nodes": [], "totalNodes": 0, "error": error })
}

fn ordered_node(id: &NodeId, node: &NodeState) -> Value {
    let mut entry = Map::new();
    entry.insert("nodeId".to_owned(), json!(id));
    entry.insert("nodeName".to_owned(), json!(node.label.as_deref().unwrap_or(id.as_str())));
    entry.insert("status".to_owned(), json!(node.status));
    optional(&mut entry, "startedAt", node.started_at.map(|time| json!(time)));
    optional(&mut entry, "endedAt", node.ended_at.map(|time| json!(time)));
    let took = node.started_at.zip(node.ended_at).map(|(start, end)| end.since(start).as_millis());
    optional(&mut entry, "duration", took.and_then(|ms| u64::try_from(ms).ok()).map(Value::from));
    optional(&mut entry, "error", node.error.as_deref().map(Value::from));
    optional(&mut entry, "tokenUsage", node.token_usage.map(|usage| json!(usage)));
    Value::Object(entry)
}

pub(super) fn diagram_entry(entry: &DiagramEntry) -> Value {
    json!({ "id": entry.id, "name": entry.name, "format": entry.format, "bytes": entry.bytes })
}

pub(super) fn diagram(file: &DiagramFile) -> Value {
    let entry = &file.entry;
    json!({
        "id": entry.id,
        "name": entry.name,
        "format": entry.format,
        "bytes": entry.bytes,
        "text": file.text,
        "model": file.model,
    })
}

pub(super) fn report(report: &DiagramReport) -> Value {
    let mut found = Map::new();
    found.insert("success".to_owned(), report.errors.is_empty().into());
    found.insert("errors".to_owned(), json!(report.errors));
    found.insert("warnings".to_owned(), json!(report.warnings));
    optional(&mut found, "node_count", report.size.map(|(nodes, _)| nodes.into()));
    optional(&mut found, "connection_count", report.size.map(|(_, connections)| connections.into()));
    if !report.errors.is_empty() {
        found.insert("error".to_owned(), report.errors.join("\n").into());
        found.insert("error_type".to_owned(), "ValidationError".into());
    }
    Value::Object(found)
}

fn optional(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value);
    }
}
