use std::time::Duration;

use server::Config;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{ENDLESS, HELLO, Stream, config, eventually, get, raw, run, send, start};

#[tokio::test]
async fn head_and_http_1_0_behave() {
    let server = start(config()).await;
    let address = server.local_addr();
    let id = run(address, HELLO).await;
    let mut stream = Stream::open(address, &format!("/sse/unified/executions/{id}")).await;
    stream.until("STREAM_END").await;
    for path in
        ["/", "/health/live", &format!("/sse/unified/executions/{id}"), &format!("/api/v1/executions/{id}")]
    {
        let response = send(address, "HEAD", path, &[], "").await;
        assert_eq!((response.status, response.body.as_str()), (200, ""), "{path}");
        let old = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let response = raw(address, &old).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("transfer-encoding"), None, "{path}");
        assert!(!response.body.is_empty());
    }
    assert_eq!(server.router().stats().subscriptions, 0);
    server.stop().await;
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = start(config()).await;
    let address = server.local_addr();
    let one = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let response = raw(address, &format!("{one}{one}{last}")).await;
    let text = format!("{}{}", response.head, response.body);
    assert_eq!(
        (text.matches("HTTP/1.1 200").count(), text.matches("\"ready\"").count()),
        (2 + 1, 1),
        "{text}"
    );
    server.stop().await;
}

#[tokio::test]
async fn i13_a_client_that_goes_away_is_forgotten() {
    let server = start(config()).await;
    let address = server.local_addr();
    let id = run(address, ENDLESS).await;
    let mut stream = Stream::open(address, &format!("/sse/unified/executions/{id}")).await;
    stream.until("begun").await;
    assert_eq!(server.router().stats().subscriptions, 1);
    drop(stream);
    eventually("the subscription is gone", async || server.router().stats().subscriptions == 0).await;
    server.stop().await;
}

/// Lines of a log that no socket's buffers hold.
const FLOOD: &str = r#"
version: light
nodes:
  - {label: Start, type: start, position: {x: 0, y: 0}, props: {trigger_mode: manual}}
  - {label: Job, type: code_job, position: {x: 1, y: 0}, props: {language: bash, code: "for i in {1..2500}; do printf 'line %04000d\n' $i >&2; done"}}
connections:
  - {from: Start, to: Job}
"#;

#[tokio::test]
async fn i4_a_client_that_reads_nothing_holds_up_nobody_and_loses_its_connection() {
    let server = start(Config { write_timeout: Duration::from_millis(500), ..config() }).await;
    let address = server.local_addr();
    let id = run(address, FLOOD).await;
    let path = format!("/sse/unified/executions/{id}");
    // A small window, so that little of the flood fits into the system's buffers.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow: TcpStream = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    eventually("the slow client is there", async || server.router().stats().subscriptions == 1).await;

    let mut stream = Stream::open(address, &path).await;
    stream.until("STREAM_END").await;
    let events = stream.text.matches("\ndata: {").count() as u64;
    assert!(events > 2500, "{events}: {}", &stream.text[stream.text.len() - 2000..]);
    eventually("the slow client lost its connection", async || server.router().stats().subscriptions == 0)
        .await;
    let delivered = server.router().stats().delivered;
    assert!(
        delivered < 2 * events - 500,
        "{delivered} events went out, {events} of them to the one who reads"
    );
    drop(slow);
    assert_eq!(get(address, &path).await.status, 200);
    server.stop().await;
}
