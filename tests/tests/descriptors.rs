//! Watching doesn't break running (I12), even where there are more watchers than the system has sockets for.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use tests::{serve::Serve, wait};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const DIAGRAM: &str = r"
nodes:
  - {label: Start, type: start}
  - {label: Wait, type: code_job, language: bash, code: 'while [ ! -e go ]; do sleep 0.02; done'}
  - {label: Work, type: code_job, language: bash, code: 'touch done'}
connections:
  - {from: Start, to: Wait}
  - {from: Wait, to: Work}
";

#[tokio::test]
async fn a_run_starts_its_processes_when_watchers_have_taken_all_sockets() {
    let serve = Serve::with_descriptors(150);
    serve.run(DIAGRAM).await;
    let address = serve.url.strip_prefix("http://").unwrap();
    let mut watchers = Vec::new();
    for _ in 0..200 {
        let mut watcher = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /sse/executions HTTP/1.1\r\nHost: {address}\r\n\r\n");
        watcher.write_all(request.as_bytes()).await.unwrap();
        watchers.push(watcher);
    }
    // In the order in which they came.
    for watcher in watchers.iter_mut().take(60) {
        timeout(wait::PATIENCE, watcher.read_u8()).await.unwrap().unwrap();
    }
    serve.put("go", "");
    wait::until(
        "the work",
        async || {
            if serve.dir.path().join("done").exists() { Ok(()) } else { Err("not yet") }
        },
    )
    .await;
    drop(watchers);
}
