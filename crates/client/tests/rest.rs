//! The REST side against the real server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic")]

use std::time::Duration;

use client::{Client, ClientError, FollowOptions, Item, Problem, StartRequest};
use core_events::{ExecutionId, ExecutionStatus, NodeState};
use serde_json::{Value, json};
use server::{Config, LogConfig, LogStore, Server};

async fn server() -> (Server, Client) {
    let log = LogConfig { store: LogStore::Memory, ..LogConfig::default() };
    let server = Server::start(Config { port: 0, log, ..Config::default() }).await.unwrap();
    let client = Client::new(&format!("http://{}", server.local_addr())).unwrap();
    (server, client)
}

fn request(code: &str) -> StartRequest {
    let code = serde_json::to_string(code).unwrap();
    let diagram = format!(
        "version: light\nnodes:\n- {{label: Start, type: start}}\n\
         - {{label: Work, type: code_job, language: python, code: {code}}}\n\
         connections:\n- {{from: Start, to: Work}}\n"
    );
    let Value::Object(inputs) = json!({"n": 3}) else { panic!("no object") };
    StartRequest {
        diagram,
        name: Some("w.yaml".to_owned()),
        base_dir: None,
        inputs,
        timeout: None,
        path: None,
    }
}

async fn to_the_end(client: &Client, execution: &ExecutionId) {
    let mut stream = client.follow(Some(execution), FollowOptions::default());
    while let Some(item) = stream.next().await {
        if let Item::End { .. } = item.unwrap() {
            return;
        }
    }
    panic!("the stream has no end");
}

async fn work(client: &Client, execution: &ExecutionId) -> NodeState {
    let mut nodes = client.get(execution).await.unwrap().state.nodes;
    nodes.values_mut().find(|node| node.label.as_deref() == Some("Work")).unwrap().clone()
}

fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Problem {
    match result {
        Err(ClientError::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_from_its_start_to_its_outputs() {
    let (server, client) = server().await;
    let mut small = request("result = globals['n'] + 1");
    small.timeout = Some(Duration::from_secs(60));
    let small = client.start(&small).await.unwrap().execution_id;
    to_the_end(&client, &small).await;
    let snapshot = client.get(&small).await.unwrap();
    assert_eq!(snapshot.state.status, ExecutionStatus::Completed);
    assert_eq!(Some(snapshot.cursor.offset), snapshot.state.last_seq);
    assert_eq!(work(&client, &small).await.output, Some(json!(4)));

    // Too large for its event: kept beside the log.
    let large = client.start(&request("result = 'x' * 300000")).await.unwrap().execution_id;
    to_the_end(&client, &large).await;
    let node = work(&client, &large).await;
    assert_eq!(node.output, None);
    let seq = node.output_ref.unwrap().rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(client.output(&large, seq).await.unwrap().len(), 300_002);
    assert_eq!(refused(client.output(&large, 1).await).status, 404);

    client.register_cli_session(&small, "w").await.unwrap();
    client.unregister_cli_session(&small).await.unwrap();
    // It is over.
    assert!(matches!(client.unregister_cli_session(&small).await, Err(ClientError::Answer { .. })));

    let listed: Vec<ExecutionId> = client
        .list(&client::ListRequest::default())
        .await
        .unwrap()
        .into_iter()
        .map(|run| run.execution_id)
        .collect();
    assert_eq!(listed, [large, small]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abortion_and_what_is_refused() {
    let (server, client) = server().await;
    let id = client.start(&request("import time; time.sleep(1000)")).await.unwrap().execution_id;
    client.abort(&id, "enough").await.unwrap();
    to_the_end(&client, &id).await;
    let state = client.get(&id).await.unwrap().state;
    assert_eq!((state.status, state.reason.as_deref()), (ExecutionStatus::Aborted, Some("enough")));
    assert_eq!(refused(client.abort(&id, "again").await).status, 409);

    let unknown = ExecutionId::parse("exec_unknown").unwrap();
    assert_eq!(refused(client.get(&unknown).await).status, 404);
    let mut stream = client.follow(Some(&unknown), FollowOptions::default());
    assert_eq!(refused(stream.next().await.unwrap()).status, 404);
    assert!(stream.next().await.is_none());

    let faulty = StartRequest {
        diagram: "version: light\nnodes:\n- {label: A, type: x}\n- {label: A}\n".into(),
        ..request("")
    };
    let problem = refused(client.start(&faulty).await);
    assert_eq!(problem.status, 422);
    assert!(
        problem.errors.len() >= 2 && problem.errors.iter().all(|e| e.starts_with("w.yaml:")),
        "{problem:?}"
    );
    server.stop().await;
}
