//! Queries and mutations.

use std::{sync::atomic::Ordering, time::Duration};

use core_events::{
    ExecutionStatus,
    ports::{Control, MonitoringPath, StartError},
};
use serde_json::{Value, json};

use crate::fake::{World, id, summary};

const EXECUTE: &str = "mutation($input: ExecuteDiagramInput!) {
    executeDiagram(input: $input) { success message error error_type envelope data { id status is_active } } }";
const CONTROL: &str = "mutation($input: ExecutionControlInput!) {
    controlExecution(input: $input) { success error error_type data { id } } }";

async fn execute(world: &World, input: Value) -> Value {
    world.execute(EXECUTE, json!({"input": input})).await["executeDiagram"].take()
}

#[tokio::test]
async fn an_execution_has_every_field() {
    let world = World::new(Vec::new());
    let query = r#"{ getExecution(execution_id: "exec_1") {
        id status diagram_id started_at ended_at error llm_usage { input output cached total } is_active executed_nodes
        node_states node_outputs variables exec_counts metrics } }"#;
    insta::assert_json_snapshot!(world.execute(query, json!({})).await);
}

#[tokio::test]
async fn an_execution_that_is_not_there_is_null_and_a_broken_log_an_error() {
    let world = World::new(Vec::new());
    for unknown in ["exec_none", "not an id"] {
        let query = "query($id: String!) { getExecution(execution_id: $id) { id } }";
        assert_eq!(world.execute(query, json!({"id": unknown})).await, json!({"getExecution": null}));
    }
    let answer = world.answer(r#"{ getExecution(execution_id: "exec_unreadable") { id } }"#, json!({})).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn the_order_of_nodes_has_the_originals_shape() {
    let world = World::new(Vec::new());
    let query = r#"{
        known: getExecutionOrder(execution_id: "exec_1")
        unknown: getExecutionOrder(execution_id: "exec_none") }"#;
    insta::assert_json_snapshot!(world.execute(query, json!({})).await);
}

#[tokio::test]
async fn lists_are_paged_filtered_and_folded_only_where_that_is_asked_for() {
    let world = World::new(Vec::new());
    let mut runs: Vec<_> =
        (0..1200).map(|n| summary(&format!("run_{n:04}"), if n % 2 == 0 { "even" } else { "odd" })).collect();
    runs[7].status = ExecutionStatus::Failed;
    runs[8].started_at = Some("2026-02-01T00:00:00Z".parse().unwrap());
    *world.runs.runs.lock() = runs;
    let ids = async |arguments: &str| {
        let data = world.execute(&format!("{{ listExecutions{arguments} {{ id }} }}"), json!({})).await;
        let ids = data["listExecutions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids("").await.len(), 100);
    assert_eq!(ids("(limit: 2)").await, ["run_0000", "run_0001"]);
    assert_eq!(ids("(limit: 2, offset: 3)").await, ["run_0003", "run_0004"]);
    assert_eq!(ids("(limit: 2, offset: 1199)").await, ["run_1199"]);
    assert_eq!(
        ids(r#"(filter: {diagram_id: "odd"}, limit: 2, offset: 590)"#).await,
        ["run_1181", "run_1183"]
    );
    assert_eq!(ids("(filter: {status: FAILED})").await, ["run_0007"]);
    assert_eq!(ids(r#"(filter: {started_after: "2026-01-31T13:00:00+00:00"})"#).await, ["run_0008"]);
    assert_eq!(ids(r#"(filter: {started_before: "2026-01-31T12:00:00Z"})"#).await, [""; 0]);
    assert_eq!(world.runs.folds.load(Ordering::SeqCst), 0);
    let data = world
        .execute("{ listExecutions(limit: 2) { id status executed_nodes exec_counts } }", json!({}))
        .await;
    assert_eq!(data["listExecutions"][1]["executed_nodes"], json!(["n1"]));
    assert_eq!(world.runs.folds.load(Ordering::SeqCst), 2, "once for each");
    for wrong in ["(limit: 1.5)", "(limit: -1)", "(limit: 1001)", "(offset: -1)"] {
        let answer = world.answer(&format!("{{ listExecutions{wrong} {{ id }} }}"), json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{wrong}");
    }
    let answer =
        world.answer(r#"{ listExecutions(filter: {started_after: "noon"}) { id } }"#, json!({})).await;
    assert!(answer["errors"][0]["message"].is_string());
}

#[tokio::test]
async fn a_light_diagram_runs_as_the_text_of_its_json() {
    let world = World::new(Vec::new());
    let input = json!({
        "diagram_data": {"version": "light", "nodes": [{"label": "a", "type": "start"}]},
        "variables": {"x": [1, 2.5]},
        "timeout_seconds": 30,
        "max_iterations": 5,
    });
    let result = execute(&world, input).await;
    let message = "execution exec_1 was started on the unified monitoring path; `debug_mode` and `max_iterations` have no \
                   effect\nline 3: unused";
    let data = json!({"id": "exec_1", "status": "RUNNING", "is_active": true});
    let expected = json!({
        "success": true, "message": message, "error": null, "error_type": null, "envelope": null, "data": data,
    });
    assert_eq!(result, expected);
    let started = world.runs.started.lock();
    assert_eq!(started[0].diagram.text, r#"{"version":"light","nodes":[{"label":"a","type":"start"}]}"#);
    assert_eq!(started[0].diagram.name, "diagram_data");
    assert_eq!(Value::Object(started[0].inputs.clone()), json!({"x": [1, 2.5]}));
    assert_eq!(started[0].timeout, Some(Duration::from_secs(30)));
    assert_eq!(started[0].path, None);
}

#[tokio::test]
async fn a_diagram_of_the_base_directory_runs_by_its_id_on_the_path_that_is_asked_for() {
    let world = World::new(Vec::new());
    for (unified, path) in [(true, MonitoringPath::Unified), (false, MonitoringPath::Legacy)] {
        let result =
            execute(&world, json!({"diagram_id": "a.light.yaml", "use_unified_monitoring": unified})).await;
        assert_eq!(result["success"], true, "{result}");
        let started = world.runs.started.lock().pop().unwrap();
        assert_eq!(
            (started.diagram.text.as_str(), started.diagram.name.as_str()),
            ("nodes: []\n", "a.light.yaml")
        );
        assert_eq!(started.path, Some(path));
    }
}

#[tokio::test]
async fn what_can_not_be_run_is_told_in_the_result() {
    let world = World::new(Vec::new());
    for (input, kind, text) in [
        (json!({}), "ValidationError", "either diagram_data or diagram_id must be provided"),
        (json!({"diagram_data": null}), "ValidationError", "either diagram_data"),
        (json!({"diagram_data": [1]}), "ValidationError", "no object"),
        (json!({"diagram_data": {"nodes": {}, "arrows": {}}}), "NotImplementedError", "native"),
        (json!({"diagram_data": {"nodes": {"n1": {}}}}), "NotImplementedError", "native"),
        (json!({"diagram_data": {"nodes": []}, "variables": [1]}), "ValidationError", "`variables`"),
        (
            json!({"diagram_data": {"nodes": []}, "timeout_seconds": 0}),
            "ValidationError",
            "`timeout_seconds`",
        ),
        (json!({"diagram_id": "none"}), "NotFoundError", "none"),
    ] {
        let result = execute(&world, input.clone()).await;
        assert_eq!(
            (&result["success"], &result["error_type"]),
            (&json!(false), &json!(kind)),
            "{input} {result}"
        );
        assert!(result["error"].as_str().unwrap().contains(text), "{result}");
    }
    assert!(world.runs.started.lock().is_empty());
    for (refusal, kind, text) in [
        (
            StartError::Diagram(vec!["a:1: bad".to_owned(), "a:2: worse".to_owned()]),
            "ValidationError",
            "a:2: worse",
        ),
        (StartError::NoPath(MonitoringPath::Legacy), "NotImplementedError", "legacy"),
        (StartError::Stopping, "UnavailableError", "stopping"),
        (StartError::TooMany(3), "UnavailableError", "3 runs"),
    ] {
        *world.runs.refusal.lock() = Some(refusal);
        let result = execute(&world, json!({"diagram_data": {"nodes": []}})).await;
        assert_eq!((&result["success"], &result["error_type"]), (&json!(false), &json!(kind)), "{result}");
        assert!(result["error"].as_str().unwrap().contains(text), "{result}");
    }
}

#[tokio::test]
async fn abort_ends_a_run_and_nothing_else_is_there_yet() {
    let world = World::new(Vec::new());
    for (execution, action, success, kind) in [
        ("exec_1", "abort", true, json!(null)),
        ("exec_over", "abort", false, json!("ConflictError")),
        ("exec_none", "abort", false, json!("NotFoundError")),
        ("no id", "abort", false, json!("ValidationError")),
        ("exec_1", "pause", false, json!("NotImplementedError")),
        ("exec_1", "resume", false, json!("NotImplementedError")),
        ("exec_1", "explode", false, json!("ValidationError")),
    ] {
        let input = json!({"execution_id": execution, "action": action, "reason": "enough"});
        let result = world.execute(CONTROL, json!({"input": input})).await["controlExecution"].take();
        assert_eq!((&result["success"], &result["error_type"]), (&json!(success), &kind), "{result}");
    }
    let controlled = world.runs.controlled.lock();
    assert_eq!(*controlled, [(id("exec_1"), Control::Abort { reason: "enough".to_owned() })]);
}

#[tokio::test]
async fn terminals_say_what_they_show() {
    let world = World::new(Vec::new());
    let active =
        async || world.execute("{ getActiveCliSession }", json!({})).await["getActiveCliSession"].take();
    assert_eq!(active().await, json!({}));
    let register = "mutation($input: RegisterCliSessionInput!) { registerCliSession(input: $input) {
        success message error error_type data session_id execution_id } }";
    let input = json!({
        "execution_id": "exec_9", "diagram_name": "d", "diagram_format": "LIGHT", "diagram_data": {"nodes": []},
    });
    insta::assert_json_snapshot!(world.execute(register, json!({"input": input})).await);
    assert_eq!(active().await["session_id"], "cli_exec_9");
    assert_eq!(active().await["diagram_data"], r#"{"nodes":[]}"#);
    let unregister = "mutation($input: UnregisterCliSessionInput!) { unregisterCliSession(input: $input) {
        success error_type } }";
    for expected in [
        json!({"success": true, "error_type": null}),
        json!({"success": false, "error_type": "NotFoundError"}),
    ] {
        let data = world.execute(unregister, json!({"input": {"execution_id": "exec_9"}})).await;
        assert_eq!(data["unregisterCliSession"], expected);
    }
    assert_eq!(active().await, json!({}));
}

#[tokio::test]
async fn the_process_says_what_it_is() {
    insta::assert_json_snapshot!(
        World::new(Vec::new()).execute("{ healthCheck getSystemInfo }", json!({})).await
    );
}

#[tokio::test]
async fn diagrams_are_listed_read_and_checked() {
    let world = World::new(Vec::new());
    let query = r#"{
        listDiagrams
        second: listDiagrams(limit: 1, offset: 1)
        getDiagram(diagram_id: "a.light.yaml") }"#;
    insta::assert_json_snapshot!("diagrams", world.execute(query, json!({})).await);
    let validate = r#"mutation {
        well: validateDiagram(content: "nodes: []", format: YAML)
        wrong: validateDiagram(content: "x: 1", format: LIGHT)
        native: validateDiagram(content: "{}", format: NATIVE) }"#;
    insta::assert_json_snapshot!("validation", world.execute(validate, json!({})).await);
}
