//! The stream against a server that misbehaves as told.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use client::{Client, ClientError, FollowFrom, FollowOptions, FollowStream, Item};
use core_events::{EndReason, Epoch, EventType, ExecutionId, NodeId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

/// What the server does with one connection.
struct Answer {
    head: &'static str,
    body: String,
    /// Keeps the connection open, silent, instead of closing it.
    hold: bool,
    /// Sends byte by byte.
    trickle: bool,
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
/// Makes reconnecting immediate.
const HELLO: &str = "retry: 1\ndata: {\"type\":\"CONNECTION_ESTABLISHED\"}\n\n";

impl Answer {
    fn stream(body: impl Into<String>) -> Self {
        Self { head: STREAM, body: format!("{HELLO}{}", body.into()), hold: false, trickle: false }
    }

    fn plain(head: &'static str, body: &str) -> Self {
        Self { head, body: body.to_owned(), hold: false, trickle: false }
    }
}

/// Serves one answer per connection, then refuses. Returns the address, and the request heads as they come.
async fn serve(answers: Vec<Answer>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heads, received) = mpsc::channel(100);
    tokio::spawn(async move {
        let mut held = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            heads.send(String::from_utf8(head).unwrap()).await.unwrap();
            let bytes = format!("{}{}", answer.head, answer.body).into_bytes();
            let size = if answer.trickle { 1 } else { bytes.len().max(1) };
            socket.set_nodelay(true).unwrap();
            for part in bytes.chunks(size) {
                socket.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            if answer.hold {
                held.push(socket);
            } else {
                socket.shutdown().await.unwrap();
            }
        }
        drop(listener);
        std::future::pending::<()>().await;
    });
    (address, received)
}

fn event(offset: u64) -> String {
    format!(
        "id: e-{offset}\ndata: {{\"type\":\"X\",\"execution_id\":\"exec_1\",\"data\":{{}},\"seq\":{offset}}}\n\n"
    )
}

fn end(reason: &str, reconnect: bool) -> String {
    format!(
        "data: {{\"type\":\"STREAM_END\",\"data\":{{\"reason\":\"{reason}\",\"reconnect\":{reconnect}}}}}\n\n"
    )
}

fn follow(address: &str, options: FollowOptions) -> FollowStream {
    let client = Client::new(address).unwrap();
    client.follow(Some(&ExecutionId::parse("exec_1").unwrap()), options)
}

/// All that comes, in short words.
async fn drain(stream: &mut FollowStream) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(item) = stream.next().await {
        words.push(match item {
            Ok(Item::Event(event)) => {
                format!(
                    "{} {}",
                    event.envelope.seq.unwrap(),
                    event.cursor.map_or("-".into(), |c| c.to_string())
                )
            }
            Ok(Item::Gap(gap)) => format!("gap {} {}", gap.gap.from, gap.gap.to),
            Ok(Item::Unreadable(frame)) => format!("unreadable {:?}", frame.json),
            Ok(Item::Reconnecting(lost)) => format!("reconnecting {}", lost.attempt),
            Ok(Item::End { reason }) => format!("end {reason:?}"),
            Err(error) => format!("error {error}"),
        });
    }
    words
}

fn last_event_id(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("last-event-id: "))
}

#[tokio::test]
async fn resumes_with_the_last_id_and_keeps_it_when_cut_before_a_new_one() {
    let (address, mut heads) = serve(vec![
        Answer::stream(format!("id: e-0\n\n{}{}", event(1), event(2))),
        // Cut in the middle of a block: its id does not count.
        Answer::stream("id: e-3\ndata: {\"type\":"),
        Answer::plain(STREAM, ""),
        // A position without an event.
        Answer::stream("id: e-7\n\n"),
        Answer::stream(format!("{}{}", event(8), end("completed", false))),
    ])
    .await;
    let mut stream = follow(&address, FollowOptions::default());
    let words = drain(&mut stream).await;
    let expected = [
        "1 e-1",
        "2 e-2",
        "reconnecting 1",
        "reconnecting 2",
        "reconnecting 3",
        "reconnecting 4",
        "8 e-8",
        "end Completed",
    ];
    assert_eq!(words, expected);
    assert!(stream.next().await.is_none());
    let mut ids = Vec::new();
    for _ in 0..5 {
        let head = heads.recv().await.unwrap();
        assert!(head.starts_with("GET /sse/unified/executions/exec_1 HTTP/1.1\r\n"), "{head}");
        ids.push(last_event_id(&head).map(str::to_owned));
    }
    let ids: Vec<Option<&str>> = ids.iter().map(Option::as_deref).collect();
    assert_eq!(ids, [None, Some("e-2"), Some("e-2"), Some("e-2"), Some("e-7")]);
}

#[tokio::test]
async fn an_end_frame_says_whether_to_come_back() {
    let (address, _heads) = serve(vec![
        Answer::stream(format!("{}{}{}", event(1), end("shutdown", true), event(99))),
        Answer::stream(format!("{}{}", event(2), end("a reason of tomorrow", true))),
        Answer::stream(end("deleted", false)),
    ])
    .await;
    let words = drain(&mut follow(&address, FollowOptions::default())).await;
    assert_eq!(words, ["1 e-1", "reconnecting 1", "2 e-2", "reconnecting 1", "end Deleted"]);
}

#[tokio::test]
async fn no_content_is_the_end() {
    let (address, mut heads) = serve(vec![Answer::plain(NO_CONTENT, "")]).await;
    let from = FollowFrom::Cursor(Epoch::parse("e").unwrap().at(9));
    let words = drain(&mut follow(&address, FollowOptions { from, ..FollowOptions::default() })).await;
    assert_eq!(words, ["end Completed"]);
    assert_eq!(last_event_id(&heads.recv().await.unwrap()), Some("e-9"));
}

#[tokio::test]
async fn a_refusal_is_final_and_an_outage_is_not() {
    let (address, _heads) = serve(vec![
        Answer::stream(event(1)),
        Answer::plain("HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n", "busy"),
        Answer::plain(
            "HTTP/1.1 410 Gone\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n",
            "{\"title\":\"Gone\",\"status\":410,\"detail\":\"execution exec_1 is no longer kept\"}",
        ),
    ])
    .await;
    let words = drain(&mut follow(&address, FollowOptions::default())).await;
    assert_eq!(
        words,
        ["1 e-1", "reconnecting 1", "reconnecting 2", "error execution exec_1 is no longer kept"]
    );
}

#[tokio::test]
async fn something_else_than_a_stream_is_refused() {
    let (address, _heads) = serve(vec![Answer::plain(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n",
        "hi",
    )])
    .await;
    let words = drain(&mut follow(&address, FollowOptions::default())).await;
    assert_eq!(words.len(), 1);
    assert!(words[0].contains("\"text/html\" instead of text/event-stream"), "{words:?}");
}

#[tokio::test]
async fn nobody_there_says_where_and_what_to_do() {
    let (address, _heads) = serve(vec![]).await;
    let options = FollowOptions { max_attempts: 1, ..FollowOptions::default() };
    let mut stream = follow(&address, options);
    let Some(Ok(Item::Reconnecting(lost))) = stream.next().await else { panic!("no attempt") };
    assert!(lost.delay <= Duration::from_millis(250), "{lost:?}");
    let Some(Err(error @ ClientError::Connect { .. })) = stream.next().await else { panic!("no error") };
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("refused") && text.contains("dipeo serve"), "{text}");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn silence_is_a_dead_connection() {
    let mut silent = Answer::stream(event(1));
    silent.hold = true;
    // Not even the head of an answer.
    let mut mute = Answer::plain("", "");
    mute.hold = true;
    let (address, mut heads) = serve(vec![silent, mute, Answer::stream(end("completed", false))]).await;
    let options = FollowOptions { silence: Duration::from_millis(200), ..FollowOptions::default() };
    let words = drain(&mut follow(&address, options)).await;
    assert_eq!(words, ["1 e-1", "reconnecting 1", "reconnecting 2", "end Completed"]);
    heads.recv().await.unwrap();
    assert_eq!(last_event_id(&heads.recv().await.unwrap()), Some("e-1"));
}

#[tokio::test]
async fn gaps_ephemeral_events_and_strange_frames_come_through() {
    let gap = "{\"type\":\"STREAM_GAP\",\"data\":{\"from\":\"e-1\",\"to\":\"e-5\",\"reason\":\"evicted\",\"reset\":false}}";
    let mut answer = Answer::stream(format!(
        "data: {gap}\n\ndata: {{\"type\":\"Y\",\"execution_id\":\"exec_1\",\"seq\":6,\n\
         data:  \"new\": [1]}}\n\ndata: no json\n\ndata: {{\"type\":\"HEARTBEAT\"}}\n\n: comment\n\n{}",
        end("completed", false)
    ));
    answer.trickle = true;
    let (address, _heads) = serve(vec![answer]).await;
    let mut stream = follow(&address, FollowOptions::default());
    let Some(Ok(Item::Gap(item))) = stream.next().await else { panic!("no gap") };
    assert_eq!(item.json, gap);
    let Some(Ok(Item::Event(item))) = stream.next().await else { panic!("no event") };
    assert_eq!(item.json, "{\"type\":\"Y\",\"execution_id\":\"exec_1\",\"seq\":6,\n \"new\": [1]}");
    assert_eq!(item.cursor, None);
    assert_eq!(drain(&mut stream).await, ["unreadable b\"no json\"", "end Completed"]);
}

#[tokio::test]
async fn the_query_names_start_and_filters() {
    let (address, mut heads) = serve(vec![Answer::stream(end("completed", false))]).await;
    let options = FollowOptions {
        from: FollowFrom::Now,
        types: vec![EventType::ExecutionLog, EventType::ExecutionError],
        nodes: vec![NodeId::from("a b,c")],
        ..FollowOptions::default()
    };
    let mut stream = Client::new(&address).unwrap().follow(None, options);
    assert!(matches!(stream.next().await, Some(Ok(Item::End { reason: EndReason::Completed }))));
    let head = heads.recv().await.unwrap();
    let line = head.lines().next().unwrap();
    assert_eq!(
        line,
        "GET /sse/executions?types=EXECUTION_LOG&types=EXECUTION_ERROR&nodes=a+b%2Cc&from=now HTTP/1.1"
    );
}
