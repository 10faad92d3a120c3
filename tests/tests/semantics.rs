//! What a diagram does, from its text to its last event: branches, merges, loops, what never runs, dead-lock, errors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails is a test that fails")]

use serde_json::{Value, json};
use tests::serve::Serve;

const PROBES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/diagram/tests/probe");

async fn run(serve: &Serve, diagram: &str) -> Value {
    let id = serve.run(diagram).await;
    serve.ended(&id).await
}

async fn probe(serve: &Serve, name: &str) -> Value {
    let text = std::fs::read_to_string(format!("{PROBES}/{name}.light.yaml")).unwrap();
    run(serve, &text).await
}

/// `LABEL STATUS xN` per node, sorted.
fn nodes(state: &Value) -> Vec<String> {
    let nodes = state["nodes"].as_object().unwrap();
    let mut lines: Vec<_> = nodes
        .values()
        .map(|node| {
            let (label, status) = (node["label"].as_str().unwrap(), node["status"].as_str().unwrap());
            match node["iterations"].as_u64().unwrap() {
                0 => format!("{label} {status}"),
                count => format!("{label} {status} x{count}"),
            }
        })
        .collect();
    lines.sort();
    lines
}

fn output<'a>(state: &'a Value, label: &str) -> &'a Value {
    let nodes = state["nodes"].as_object().unwrap();
    &nodes.values().find(|node| node["label"] == label).unwrap()["output"]
}

fn error<'a>(state: &'a Value, label: &str) -> &'a str {
    let nodes = state["nodes"].as_object().unwrap();
    nodes.values().find(|node| node["label"] == label).unwrap()["error"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_diagrams_do_what_their_authors_meant() {
    let serve = Serve::start();

    let state = probe(&serve, "g01_linear_code").await;
    assert_eq!(state["status"], "COMPLETED");
    assert_eq!(output(&state, "Make"), &json!({"x": 1, "got": {"default": {"seed": 3}}}));
    assert_eq!(output(&state, "Use"), "keys=made");
    assert_eq!(std::fs::read_to_string(serve.dir.path().join("files/results/g01.txt")).unwrap(), "keys=made");

    for (name, taken, other) in [("g02_condition_true", "Yes", "No"), ("g02_condition_false", "No", "Yes")] {
        let state = probe(&serve, name).await;
        assert_eq!(state["status"], "COMPLETED");
        let mut expected = vec![
            "Check COMPLETED x1".to_owned(),
            format!("End {taken} COMPLETED x1"),
            format!("End {other} SKIPPED"),
            format!("{taken} COMPLETED x1"),
            format!("{other} SKIPPED"),
            "Start COMPLETED x1".to_owned(),
            "Value COMPLETED x1".to_owned(),
        ];
        expected.sort();
        assert_eq!(nodes(&state), expected);
        assert_eq!(output(&state, &format!("End {taken}")), &json!(taken.to_lowercase()));
    }

    let state = probe(&serve, "g04_parallel_join").await;
    assert_eq!(output(&state, "End"), &json!({"a": "slow", "b": "fast", "c": "mid"}));

    let state = probe(&serve, "g07_code_error").await;
    assert_eq!((&state["status"], &state["failed_nodes"]), (&json!("COMPLETED"), &json!(["node_1"])));
    assert!(error(&state, "Boom").contains("ValueError: boom"));
    let after = output(&state, "After").as_str().unwrap();
    assert!(after.contains("ValueError: boom"), "the message flows on: {after}");

    let state = probe(&serve, "g08_bash").await;
    assert_eq!(output(&state, "Sh"), "got=hi");
    assert!(
        error(&state, "Fail").contains('3') && error(&state, "Fail").contains("oops"),
        "{}",
        error(&state, "Fail")
    );
    assert_eq!(state["failed_nodes"], json!(["node_3"]));

    let state = probe(&serve, "g09_sub_child").await;
    assert_eq!(output(&state, "endpoint"), "child saw {'default': {}}");

    serve.put(
        "files/results/g19_fn.py",
        "def double(inputs):\n    return {'n2': 2 * inputs['default']['n']}\n",
    );
    let state = probe(&serve, "g19_function_file").await;
    assert_eq!(output(&state, "End"), &json!({"n2": 8}));
}

#[test]
fn the_probe_diagrams_that_need_more_are_refused_with_the_type_and_its_place() {
    for (name, kind, line) in [
        ("g05_db_write_read", "db", 5),
        ("g06_template", "template_job", 12),
        ("g09_sub_parent", "sub_diagram", 5),
        ("g11_schema_bad", "json_schema_validator", 12),
        ("g11_schema_ok", "json_schema_validator", 12),
        ("g13_user_response", "user_response", 4),
        ("g15_variables", "db", 5),
        ("g20_person_single", "person_job", 5),
        ("g21_person_loop", "person_job", 4),
        ("g31_fail_parallel", "hook", 5),
    ] {
        let file = format!("{PROBES}/{name}.light.yaml");
        let output = tests::dipeo::command().args(["validate", &file]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        let place = format!("{name}.light.yaml:{line}:");
        assert!(told.contains(&place), "{place} is not in\n{told}");
        assert!(told.contains(&format!("`{kind}` is not supported yet")), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_runs_once_whichever_branch_was_taken() {
    let serve = Serve::start();
    for (seed, taken) in [(1, "Low"), (9, "High")] {
        let state = run(
            &serve,
            &format!(
                "nodes:
- {{label: Start, type: start, trigger_mode: manual, custom_data: {{n: {seed}}}}}
- {{label: Check, type: condition, expression: v.n > 5}}
- {{label: High, type: code_job, language: bash, code: echo High}}
- {{label: Low, type: code_job, language: bash, code: echo Low}}
- {{label: Merge, type: code_job, language: python, code: 'result = got'}}
- {{label: End, type: endpoint}}
connections:
- {{from: Start, to: Check, label: v}}
- {{from: 'Check[condtrue]', to: High}}
- {{from: 'Check[condfalse]', to: Low}}
- {{from: High, to: Merge, label: got}}
- {{from: Low, to: Merge, label: got}}
- {{from: Merge, to: End}}
"
            ),
        )
        .await;
        assert_eq!(state["status"], "COMPLETED");
        assert_eq!(output(&state, "End"), taken);
        assert!(nodes(&state).contains(&"Merge COMPLETED x1".to_owned()), "{:?}", nodes(&state));
        let skipped = nodes(&state).into_iter().filter(|line| line.ends_with("SKIPPED")).count();
        assert_eq!(skipped, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_entered_from_a_node_that_is_no_start_runs_to_its_condition() {
    let serve = Serve::start();
    let state = run(
        &serve,
        "nodes:
- {label: Start, type: start}
- {label: Seed, type: code_job, language: python, code: 'result = {\"n\": 0}'}
- {label: Body, type: code_job, language: python, code: 'result = {\"n\": state[\"n\"] + 1}'}
- {label: Check, type: condition, expression: default.n >= 4}
- {label: End, type: endpoint}
connections:
- {from: Start, to: Seed}
- {from: Seed, to: Body, label: state}
- {from: Body, to: Check}
- {from: Check_condfalse, to: Body, label: state}
- {from: Check_condtrue, to: End}
",
    )
    .await;
    assert_eq!(state["status"], "COMPLETED");
    assert_eq!(output(&state, "End"), &json!({"n": 4}));
    let expected = [
        "Body COMPLETED x4",
        "Check COMPLETED x4",
        "End COMPLETED x1",
        "Seed COMPLETED x1",
        "Start COMPLETED x1",
    ];
    assert_eq!(nodes(&state), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_starts_meet() {
    let serve = Serve::start();
    let state = run(
        &serve,
        "nodes:
- {label: One, type: start, trigger_mode: manual, custom_data: {n: 1}}
- {label: Two, type: start, trigger_mode: manual, custom_data: {n: 2}}
- {label: Slow, type: code_job, language: bash, code: 'sleep 0.2; echo 2'}
- {label: Meet, type: code_job, language: python, code: 'result = [one[\"n\"], two]'}
connections:
- {from: One, to: Meet, label: one}
- {from: Two, to: Slow}
- {from: Slow, to: Meet, label: two}
",
    )
    .await;
    assert_eq!(state["status"], "COMPLETED");
    assert_eq!(output(&state, "Meet"), &json!([1, "2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_can_reach_is_skipped() {
    let serve = Serve::start();
    let state = run(
        &serve,
        "nodes:
- {label: Start, type: start}
- {label: Island, type: code_job, language: bash, code: echo never}
- {label: Beach, type: endpoint}
- {label: End, type: endpoint}
connections:
- {from: Start, to: End}
- {from: Island, to: Beach}
",
    )
    .await;
    assert_eq!(state["status"], "COMPLETED");
    assert_eq!(nodes(&state), ["Beach SKIPPED", "End COMPLETED x1", "Island SKIPPED", "Start COMPLETED x1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_lock_is_told_with_the_names_of_those_who_wait() {
    let serve = Serve::start();
    let id = serve
        .run(
            "nodes:
- {label: Start, type: start}
- {label: Chicken, type: code_job, language: bash, code: echo c}
- {label: Egg, type: code_job, language: bash, code: echo e}
- {label: End, type: endpoint}
connections:
- {from: Start, to: Chicken}
- {from: Start, to: Egg}
- {from: Chicken, to: Egg}
- {from: Egg, to: Chicken}
- {from: Egg, to: End}
",
        )
        .await;
    let state = serve.ended(&id).await;
    assert_eq!((&state["status"], &state["reason"]), (&json!("FAILED"), &json!("deadlock")));
    let error = state["error"].as_str().unwrap();
    assert!(error.contains("Chicken") && error.contains("Egg"), "{error}");
    let frames = serve.stream(&id, "", None).await.rest().await;
    let last_two: Vec<&str> =
        frames.iter().filter(|frame| frame.is_event()).rev().take(2).map(|frame| frame.kind()).collect();
    assert_eq!(
        last_two,
        ["EXECUTION_STATUS_CHANGED", "EXECUTION_ERROR"],
        "I9: the error stands right before the end"
    );
    assert!(nodes(&state).contains(&"End SKIPPED".to_owned()), "{:?}", nodes(&state));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_decides_what_a_failure_does() {
    let serve = Serve::start();
    let diagram = |on_error: &str| {
        format!(
            "nodes:
- {{label: Start, type: start}}
- {{label: Boom, type: code_job, language: bash, code: exit 9{on_error}}}
- {{label: After, type: endpoint}}
connections:
- {{from: Start, to: Boom}}
- {{from: Boom, to: After}}
"
        )
    };
    let unset = run(&serve, &diagram("")).await;
    assert_eq!((&unset["status"], &unset["failed_nodes"]), (&json!("COMPLETED"), &json!(["node_1"])));
    assert!(output(&unset, "After").as_str().unwrap().contains('9'));
    let tolerated = run(&serve, &diagram(", on_error: continue")).await;
    assert_eq!((&tolerated["status"], &tolerated["failed_nodes"]), (&json!("COMPLETED"), &json!([])));
    assert_eq!(nodes(&tolerated), ["After COMPLETED x1", "Boom FAILED x1", "Start COMPLETED x1"]);
    let fatal = run(&serve, &diagram(", on_error: fail")).await;
    assert_eq!((&fatal["status"], &fatal["reason"]), (&json!("FAILED"), &json!("node_failed")));
    assert_eq!(nodes(&fatal), ["After SKIPPED", "Boom FAILED x1", "Start COMPLETED x1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_nodes_executed_looks_at_what_has_run() {
    let serve = Serve::start();
    let diagram = |indices: &str| {
        format!(
            "nodes:
- {{label: Start, type: start}}
- {{label: A, type: code_job, language: bash, code: echo a}}
- {{label: Check, type: condition, condition_type: check_nodes_executed, node_indices: {indices}}}
- {{label: All ran, type: endpoint}}
- {{label: Not yet, type: endpoint}}
connections:
- {{from: Start, to: A}}
- {{from: A, to: Check}}
- {{from: 'Check[condtrue]', to: All ran}}
- {{from: 'Check[condfalse]', to: Not yet}}
"
        )
    };
    let state = run(&serve, &diagram("[node_0, node_1]")).await;
    assert!(nodes(&state).contains(&"All ran COMPLETED x1".to_owned()), "{:?}", nodes(&state));
    let state = run(&serve, &diagram("[node_1, node_4]")).await;
    assert!(nodes(&state).contains(&"Not yet COMPLETED x1".to_owned()), "{:?}", nodes(&state));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_cannot_be_evaluated_fails_with_the_place() {
    let serve = Serve::start();
    let state = run(
        &serve,
        "nodes:
- {label: Start, type: start}
- {label: Check, type: condition, expression: 'default.x > 3'}
- {label: 'True', type: endpoint}
- {label: 'False', type: endpoint}
connections:
- {from: Start, to: Check}
- {from: 'Check[condtrue]', to: 'True'}
- {from: 'Check[condfalse]', to: 'False'}
",
    )
    .await;
    assert_eq!(state["failed_nodes"], json!(["node_1"]));
    let error = error(&state, "Check");
    assert!(error.contains("column") || error.contains("1:"), "{error}");
    assert!(error.contains("None"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_reach_the_start_node() {
    let serve = Serve::start();
    let diagram = "nodes:
- {label: Start, type: start}
- {label: Use, type: code_job, language: python, code: 'result = start[\"name\"].upper()'}
connections:
- {from: Start, to: Use, label: start}
";
    let body = json!({"diagram": diagram, "inputs": {"name": "ada"}});
    let (status, started) = serve.post("/api/v1/executions", &body).await;
    assert_eq!(status, 201, "{started}");
    let state = serve.ended(started["execution_id"].as_str().unwrap()).await;
    assert_eq!(output(&state, "Use"), "ADA");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_do_what_they_say() {
    let serve = Serve::start();
    let example = async |name: &str| {
        let path = format!("{}/../examples/{name}.light.yaml", env!("CARGO_MANIFEST_DIR"));
        run(&serve, &std::fs::read_to_string(path).unwrap()).await
    };
    let hello = example("hello").await;
    assert_eq!(output(&hello, "End"), "HELLO, WORLD");
    let branch = example("branch").await;
    assert_eq!(output(&branch, "End"), "the report was published");
    assert!(nodes(&branch).contains(&"Reject SKIPPED".to_owned()), "{:?}", nodes(&branch));
    let repeated = example("loop").await;
    assert_eq!(output(&repeated, "End"), &json!({"value": 3, "steps": 5}));
    assert!(nodes(&repeated).contains(&"Halve COMPLETED x5".to_owned()), "{:?}", nodes(&repeated));
    let parallel = example("parallel").await;
    assert_eq!(output(&parallel, "End"), &json!({"primes": 46, "squares": 14, "words": 4}));
    let saved = std::fs::read_to_string(serve.dir.path().join("out/counts.json")).unwrap();
    assert_eq!(&serde_json::from_str::<Value>(&saved).unwrap(), output(&parallel, "End"));
    let failure = example("failure").await;
    assert_eq!((&failure["status"], &failure["failed_nodes"]), (&json!("COMPLETED"), &json!(["node_2"])));
}
