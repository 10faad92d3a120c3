//! The body of `POST /api/v1/executions`.

use std::{net::SocketAddr, path::PathBuf};

use axum::extract::ConnectInfo;
use core_events::ports::{DiagramSource, MonitoringPath, StartExecution};
use http::{HeaderMap, StatusCode, request::Parts};
use serde_json::Value;

use crate::{Problem, fields::Fields};

/// The longest `name`, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// Whether the body wants to run something here, rather than to open a run for an outside engine. One that says neither
/// plainly is taken for one that forgot its diagram.
pub(crate) fn is_start(body: Option<&Value>) -> bool {
    let Some(Value::Object(fields)) = body else { return true };
    let opens = |name: &String| matches!(name.as_str(), "execution_id" | "diagram_id" | "diagram_name");
    fields.contains_key("diagram") || !(fields.contains_key("execution_id") || fields.keys().all(opens))
}

/// Reads what to run. `local` says whether the client is on this machine, which `base_dir` requires.
pub(crate) fn read(body: Option<Value>, local: bool) -> Result<StartExecution, Problem> {
    let mut fields = Fields::new(body)?;
    let text = fields.text("diagram");
    let name = fields.text("name");
    let inputs = fields.object("inputs");
    let timeout = fields.seconds("timeout");
    let base_dir = fields.text("base_dir").map(PathBuf::from);
    let unified = fields.truth("use_unified_monitoring");
    let path = unified.map(|yes| if yes { MonitoringPath::Unified } else { MonitoringPath::Legacy });
    if let Some(name) = &name
        && (name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control))
    {
        fields.fault("name", &format!("a line of 1 to {MAX_NAME_BYTES} bytes is expected"));
    }
    if base_dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
        fields.fault("base_dir", "an absolute path is expected");
    }
    fields.finish()?;
    let Some(text) = text else {
        let detail = "`diagram` is missing: the text of a diagram in the light format is expected; with `execution_id` instead, a \
                      run is opened for an outside engine";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "missing-diagram", detail));
    };
    if base_dir.is_some() && !local {
        let detail = "`base_dir` is taken only from clients on the server's own machine; leave it out";
        return Err(Problem::new(StatusCode::FORBIDDEN, "base-dir-not-allowed", detail));
    }
    let name = name.unwrap_or_else(|| "diagram".to_owned());
    let diagram = DiagramSource { text, name, base_dir };
    Ok(StartExecution { diagram, inputs: inputs.unwrap_or_default(), timeout, path })
}

/// Whether the client is on this machine. One that came through a proxy is not, even where the proxy is; neither is one of
/// whom nothing is known.
pub(crate) fn is_local(parts: &Parts) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
        && !is_forwarded(&parts.headers)
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name))
}
