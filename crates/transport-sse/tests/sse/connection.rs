//! A stream on a connection, as a server has it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use core_events::{End, EndReason, ports::Delivery};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};
use transport_sse::{SseMessageRouterAdapter, WINDOW_EVENTS, WriteDeadline};

use crate::fake::{FakeSource, StoppedClock, at, block, no_history};

const EVENTS: u64 = 1000;

/// A client whose connection holds so many bytes that it has not read.
async fn connect(source: &FakeSource, holds: usize) -> (DuplexStream, JoinHandle<hyper::Result<()>>) {
    source.script.push(block(1..=EVENTS));
    source.script.push(Delivery::End(End { reason: EndReason::Completed, cursor: at(EVENTS) }));
    let source = Arc::new(source.clone());
    let adapter =
        SseMessageRouterAdapter::new(Arc::clone(&source) as _, source, no_history(), Arc::new(StoppedClock));
    let (mut client, server) = duplex(holds);
    let io = TokioIo::new(WriteDeadline::new(server, Duration::from_secs(60)));
    let service = TowerToHyperService::new(adapter.into_router());
    let connection = tokio::spawn(http1::Builder::new().keep_alive(false).serve_connection(io, service));
    client.write_all(b"GET /sse/executions/exec_1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    (client, connection)
}

#[tokio::test(start_paused = true)]
async fn i4_what_is_not_written_counts_until_it_is() {
    let source = FakeSource::default();
    let (mut client, connection) = connect(&source, 1024).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // All that the connection's buffers could take is far more: it is the window that stops it.
    let taken = source.script.taken.load(Ordering::SeqCst);
    assert!((WINDOW_EVENTS..WINDOW_EVENTS + 40).contains(&taken), "{taken}");

    let mut stream = String::new();
    client.read_to_string(&mut stream).await.unwrap();
    assert_eq!(stream.matches("\ndata: {\"seq\"").count() as u64, EVENTS);
    assert!(stream.contains("STREAM_END"));
    connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn i4_who_takes_nothing_for_a_minute_is_let_go() {
    let source = FakeSource::default();
    let (client, connection) = connect(&source, 1024).await;
    let begin = tokio::time::Instant::now();
    let error = connection.await.unwrap().unwrap_err();
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert!(format!("{error:?}").contains("TimedOut"), "{error:?}");
    assert_eq!(source.script.open.load(Ordering::SeqCst), 0);
    drop(client);
}
