use core_events::ports::Control;

use crate::fake::{App, id};

#[tokio::test]
async fn a_wish_to_end_is_passed_on_with_its_words() {
    let app = App::new();
    for body in ["", "{}", r#"{"reason":" "}"#, r#"{"reason":"enough"}"#] {
        let answer = app.post("/api/v1/executions/exec_1/abort", body).await;
        assert_eq!(answer.status, 202, "{body}");
        assert_eq!(answer.body["execution_id"], "exec_1");
    }
    let reasons: Vec<_> = app
        .executions
        .controlled
        .lock()
        .iter()
        .map(|(execution, Control::Abort { reason })| {
            assert_eq!(*execution, id("exec_1"));
            reason.clone()
        })
        .collect();
    let default = "aborted through the API";
    assert_eq!(reasons, [default, default, default, "enough"]);
}

#[tokio::test]
async fn what_cannot_be_aborted_says_why() {
    let app = App::new();
    for (execution, body, status) in [
        ("exec_ended", "{}", 409),
        ("exec_0", "{}", 404),
        ("exec_gone", "{}", 410),
        ("a%20b", "{}", 400),
        ("exec_1", "[]", 422),
        ("exec_1", r#"{"reason":1}"#, 422),
        ("exec_1", r#"{"reasons":"x"}"#, 422),
        ("exec_1", "{", 400),
    ] {
        let answer = app.post(&format!("/api/v1/executions/{execution}/abort"), body).await;
        assert_eq!(answer.status, status, "{execution} {body}");
    }
    assert!(app.executions.controlled.lock().is_empty());
}
