//! GraphQL as its most used client speaks it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use serde_json::{Value, json};
use tests::{diagrams, serve::Serve};

/// What `executionUpdates` calls each of our events.
fn update_type(event: &Value) -> &'static str {
    match (event["type"].as_str().unwrap(), event["data"]["status"].as_str().unwrap_or_default()) {
        ("EXECUTION_STATUS_CHANGED", "RUNNING") => "EXECUTION_STARTED",
        ("EXECUTION_STATUS_CHANGED", "COMPLETED") => "EXECUTION_COMPLETED",
        ("NODE_STATUS_CHANGED", "RUNNING") => "NODE_STARTED",
        ("NODE_STATUS_CHANGED", "COMPLETED") => "NODE_COMPLETED",
        ("NODE_STATUS_CHANGED", "FAILED") => "NODE_ERROR",
        ("NODE_STATUS_CHANGED", _) => "NODE_STATUS_CHANGED",
        ("EXECUTION_LOG", _) => "EXECUTION_LOG",
        other => panic!("{other:?} is not expected here"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graphql_ws_client_gets_what_sse_gets_and_resumes_without_a_seam() {
    let serve = Serve::start();
    let slow = "import time\nfor n in range(60):\n    print('line', n)\n    time.sleep(0.01)\nresult = 1 / 0";
    let id = serve.run(&diagrams::python(slow)).await;
    let (url, execution) = (serve.url.clone(), id.clone());
    let output = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/graphql.mjs");
        std::process::Command::new("node").args([script, &url, &execution, "17"]).output().unwrap()
    })
    .await
    .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&seen["first"]["end"], &seen["second"]["end"]),
        (&json!("cut"), &json!("complete")),
        "{seen}"
    );

    let frames = serve.stream(&id, "", None).await.rest().await;
    let log: Vec<_> = frames.iter().filter(|frame| frame.is_event()).collect();
    let items: Vec<&Value> =
        ["first", "second"].iter().flat_map(|part| seen[part]["items"].as_array().unwrap()).collect();
    assert_eq!(items.len(), log.len(), "nothing lost, nothing twice");
    assert_eq!(seen["first"]["items"].as_array().unwrap().len(), 17);
    for (item, frame) in items.iter().zip(log) {
        let event = frame.data.as_ref().unwrap();
        assert_eq!(&item["event"], event);
        assert_eq!(item["cursor"].as_str(), frame.id.as_deref());
        assert_eq!(item["seq"], event["seq"]);
        assert_eq!(item["type"], update_type(event));
        assert_eq!(item["execution_id"], id.as_str());
    }
}
