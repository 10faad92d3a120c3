use std::time::Duration;

use core_events::{ExecutionId, ExecutionStatus};
use server::Config;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use crate::support::{ENDLESS, HELLO, Stream, config, get, run, start};

#[tokio::test]
async fn a_stop_ends_runs_streams_and_connections() {
    let server = start(config()).await;
    let address = server.local_addr();
    let done = run(address, HELLO).await;
    Stream::open(address, &format!("/sse/unified/executions/{done}")).await.until("STREAM_END").await;
    let id = run(address, ENDLESS).await;
    let mut one = Stream::open(address, &format!("/sse/unified/executions/{id}")).await;
    one.until("begun").await;
    let mut all = Stream::open(address, "/sse/executions").await;
    all.until("CONNECTION_ESTABLISHED").await;
    // Neither a connection that says nothing nor one that is kept for later holds anything up.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    idle.readable().await.unwrap();

    let executions = server.executions();
    let begin = Instant::now();
    server.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    let one = one.rest().await;
    assert!(one.contains("\"status\":\"ABORTED\""), "{one}");
    assert!(one.contains("\"reason\":\"server shutdown\""), "{one}");
    assert!(one.contains("\"reason\":\"completed\",\"reconnect\":false"), "{one}");
    let all = all.rest().await;
    assert!(all.contains("\"status\":\"ABORTED\""), "{all}");
    assert!(all.contains("\"reason\":\"shutdown\",\"reconnect\":true"), "{all}");
    let state = executions.get(&ExecutionId::parse(&id).unwrap()).await.unwrap().state;
    assert_eq!(state.status, ExecutionStatus::Aborted);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_reads_nothing() {
    let server = start(Config { drain_timeout: Duration::from_secs(1), ..config() }).await;
    let address = server.local_addr();
    let flood = HELLO.replace("echo hello", "for i in {1..4000}; do printf 'line %04000d\\\\n' $i; done");
    let id = run(address, &flood).await;
    Stream::open(address, &format!("/sse/unified/executions/{id}")).await.until("STREAM_END").await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow: TcpStream = socket.connect(address).await.unwrap();
    slow.write_all(
        format!("GET /sse/unified/executions/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes(),
    )
    .await
    .unwrap();
    crate::support::eventually("the slow client is there", async || {
        server.router().stats().subscriptions == 1
    })
    .await;
    let router = server.router();
    let begin = Instant::now();
    server.stop().await;
    assert!((1000..3000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert_eq!(router.stats().subscriptions, 0);
}

#[tokio::test]
async fn while_it_stops_it_says_so() {
    let server = start(config()).await;
    let address = server.local_addr();
    assert_eq!(get(address, "/health/ready").await.status, 200);
    // A run that takes a moment to end keeps the server in between.
    let stubborn = ENDLESS
        .replace("echo begun; sleep 1000", "trap 'sleep 1; exit' TERM; echo begun; sleep 1000 & wait; wait");
    let id = run(address, &stubborn).await;
    let mut stream = Stream::open(address, &format!("/sse/unified/executions/{id}")).await;
    stream.until("begun").await;
    let executions = server.executions();
    let stopping = tokio::spawn(server.stop());
    crate::support::eventually("starting is refused", async || {
        let source = core_events::ports::DiagramSource {
            text: HELLO.to_owned(),
            name: "x".to_owned(),
            base_dir: None,
        };
        let request = core_events::ports::StartExecution {
            diagram: source,
            inputs: Default::default(),
            timeout: None,
            path: None,
        };
        matches!(executions.start(request).await, Err(core_events::ports::StartError::Stopping))
    })
    .await;
    stopping.await.unwrap();
    let text = stream.rest().await;
    assert!(text.contains("\"reason\":\"server shutdown\"") && text.contains("STREAM_END"), "{text}");
}
