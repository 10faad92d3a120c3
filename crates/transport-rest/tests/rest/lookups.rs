use core_events::{ExecutionStatus, ports::RunSummary};
use serde_json::json;

use crate::fake::{App, id};

#[tokio::test]
async fn a_state_comes_with_the_cursor_up_to_which_it_goes() {
    let app = App::new();
    let answer = app.get("/api/v1/executions/exec_1").await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!(answer.body);
}

#[tokio::test]
async fn an_output_is_served_as_it_is() {
    let app = App::new();
    let answer = app.get("/api/v1/executions/exec_1/outputs/3").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.body, json!([1, 2]));
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_is_no_id() {
    let app = App::new();
    let long = format!("/api/v1/executions/{}", "x".repeat(129));
    for (path, status) in [
        ("/api/v1/executions/exec_0", 404),
        ("/api/v1/executions/exec_gone", 410),
        ("/api/v1/executions/a%20b", 400),
        ("/api/v1/executions/a%0Ab", 400),
        ("/api/v1/executions/%FF", 400),
        (long.as_str(), 400),
        ("/api/v1/executions/exec_1/outputs/4", 404),
        ("/api/v1/executions/exec_0/outputs/3", 404),
        ("/api/v1/executions/exec_1/outputs/0", 400),
        ("/api/v1/executions/exec_1/outputs/-1", 400),
        ("/api/v1/executions/exec_1/outputs/x", 400),
        ("/api/v1/executions/exec_1/outputs/99999999999999999999", 400),
    ] {
        assert_eq!(app.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_list_is_paged() {
    let app = App::new();
    let summary = |text: &str| RunSummary {
        execution_id: id(text),
        status: ExecutionStatus::Running,
        diagram_id: None,
        diagram_name: Some("A".into()),
        started_at: None,
        ended_at: None,
        error: None,
        nodes: [("RUNNING".to_owned(), 1)].into(),
        failed_nodes: 0,
        events: 2,
        source: None,
        pinned: false,
    };
    *app.executions.runs.lock() = ["exec_3", "exec_2", "exec_1"].map(summary).into();
    let answer = app.get("/api/v1/executions?status=RUNNING&limit=2").await;
    assert_eq!(answer.body["executions"].as_array().unwrap().len(), 2);
    assert_eq!(answer.body["executions"][0]["execution_id"], "exec_3");
    assert_eq!(answer.body["next"], "/api/v1/executions?status=RUNNING&before=exec_2&limit=2");
    let answer = app.get("/api/v1/executions?before=exec_9").await;
    assert_eq!(answer.body["next"], json!(null));
    let listed = app.executions.listed.lock();
    assert_eq!((&listed[0].status, &listed[0].before), (&Some(ExecutionStatus::Running), &None));
    assert_eq!((listed[1].before.clone(), listed[1].limit), (Some(id("exec_9")), 50));
}

#[tokio::test]
async fn wrong_parameters_of_a_list_are_named() {
    let app = App::new();
    for (query, part) in [
        ("status=running", "one of PENDING, RUNNING, PAUSED, COMPLETED, FAILED, ABORTED is expected"),
        ("limit=0", "`limit`: a number from 1 to 500"),
        ("limit=501", "`limit`"),
        ("limit=x", "`limit`"),
        ("before=a%20b", "`before`"),
        ("befor=exec_1", "did you mean `before`?"),
    ] {
        let answer = app.get(&format!("/api/v1/executions?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.body["detail"].as_str().unwrap().contains(part), "{}", answer.body);
    }
    assert!(app.executions.listed.lock().is_empty());
}
