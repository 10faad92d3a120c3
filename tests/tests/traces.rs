//! The unified path against recorded traces of the original: the same keys in the same order, frame by frame, and the same
//! order within a node, but for a written list of differences that are meant.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::serve::Serve;

/// What differs on purpose. Each must be needed by a trace, or it has no place here.
const INTENDED: &[(&str, &str)] = &[
    ("added keys", "ours follow the original's: seq, label, iteration, diagram_name, failed_nodes"),
    (
        "failed code",
        "code that fails leaves its node FAILED; the original said COMPLETED with the error as output",
    ),
    ("untaken branch", "a branch that was not taken is SKIPPED; the original ran both"),
    ("known values", "output, times and the diagram's id are there; the original had null and the text None"),
];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn shape(event: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&event["type"]), text(&event["data"]["status"]))
}

/// The statuses of each node, in order.
fn nodes(events: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["type"] == "NODE_STATUS_CHANGED") {
        nodes.entry(event["data"]["node_id"].as_str().unwrap().to_owned()).or_default().push(shape(event).1);
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_have_the_keys_of_the_original_in_its_order() {
    let root = env!("CARGO_MANIFEST_DIR");
    let serve = Serve::start();
    let mut used = BTreeSet::new();
    for name in ["g01_linear_code", "g02_condition_true", "g07_code_error"] {
        let diagram =
            std::fs::read_to_string(format!("{root}/../crates/diagram/tests/probe/{name}.light.yaml"))
                .unwrap();
        let id = serve.run(&diagram).await;
        let ours: Vec<Value> = serve
            .stream(&id, "", None)
            .await
            .rest()
            .await
            .into_iter()
            .filter_map(|frame| frame.data)
            .collect();
        for kind in ["unified_cli", "unified_web"] {
            let text =
                std::fs::read_to_string(format!("{root}/fixtures/{name}.light.{kind}.ndjson")).unwrap();
            let frames = text.lines().filter(|line| !line.starts_with("{\"_"));
            let original: Vec<Value> = frames.map(|line| serde_json::from_str(line).unwrap()).collect();

            for frame in &original {
                let same = ours.iter().find(|event| shape(event) == shape(frame));
                let same =
                    same.unwrap_or_else(|| panic!("{name} {kind}: {frame} has nothing of ours beside it"));
                for (mine, theirs) in [(same, frame), (&same["data"], &frame["data"])] {
                    let (mine, theirs) = (keys(mine), keys(theirs));
                    assert!(
                        mine.starts_with(&theirs),
                        "{name} {kind}: {mine:?} does not begin with {theirs:?}"
                    );
                    if mine.len() > theirs.len() {
                        used.insert("added keys");
                    }
                }
                if frame["data"]["diagram_id"] == "None" {
                    assert!(same["data"]["diagram_id"].is_null());
                    used.insert("known values");
                }
            }

            let mine = nodes(&ours);
            for (node, theirs) in nodes(&original) {
                match mine[&node].iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                    ["SKIPPED"] => {
                        used.insert("untaken branch");
                    }
                    ["RUNNING", "FAILED"] if name == "g07_code_error" => {
                        assert_eq!(theirs, ["RUNNING", "COMPLETED"]);
                        used.insert("failed code");
                    }
                    mine => assert_eq!(mine, theirs, "{name} {kind} {node}"),
                }
            }
        }
    }
    assert_eq!(
        used,
        INTENDED.iter().map(|(name, _)| *name).collect(),
        "every intended difference is needed, and no other"
    );
}
