//! Streams of real runs over real sockets: cut anywhere and resumed, nothing is lost or comes twice (I5, I8, I9).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use futures_util::future::join_all;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tests::{
    diagrams,
    serve::Serve,
    sse::{Frame, Sse, seqs},
};

/// Lines enough that cuts fall into the middle, slowly enough that readers see them come.
const LINES: usize = 400;

fn talkative() -> String {
    diagrams::python(&format!(
        "import time\nfor n in range({LINES}):\n    print('line', n, 'é' * (n % 50))\n    time.sleep(0.005)\nresult = 'done'"
    ))
}

fn events(frames: &[Frame]) -> Vec<Frame> {
    frames.iter().filter(|frame| frame.is_event()).cloned().collect()
}

/// A reader that is cut after about `cut` bytes, comes back with the last id that it saw, and reads to the end.
async fn cut_reader(serve: &Serve, id: &str, query: &str, cut: usize) -> (Option<String>, Vec<Frame>) {
    let mut stream = serve.stream(id, query, None).await;
    assert_eq!(stream.status, 200);
    let mut frames = Vec::new();
    // The first block with an id is there before any event: whoever is cut before it has seen nothing.
    let mut first_id = None;
    while stream.bytes < cut || first_id.is_none() {
        let Some(frame) = stream.next().await else { break };
        first_id = first_id.or_else(|| frame.id.clone());
        frames.push(frame);
    }
    let last_id = stream.last_id.clone();
    drop(stream);
    let mut rest = serve.stream(id, "", last_id.as_deref()).await;
    if rest.status != 204 {
        assert_eq!(rest.status, 200);
        frames.extend(rest.rest().await);
    }
    (first_id, frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_cuts_of_a_running_run_lose_and_repeat_nothing() {
    let serve = Serve::start();
    let id = serve.run(&talkative()).await;
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut cuts: Vec<(&str, usize)> =
        vec![("", 0), ("?from=now", 0), ("?from=start", 0), ("?from=now", 2_000)];
    while cuts.len() < 50 {
        use proptest::prelude::Rng as _;
        let cut = (random.next_u32() % 90_000) as usize;
        cuts.push((if cut.is_multiple_of(5) { "?from=now" } else { "" }, cut));
    }
    let whole = async { serve.stream(&id, "", None).await.rest().await };
    let readers = join_all(cuts.iter().map(|(query, cut)| cut_reader(&serve, &id, query, *cut)));
    let (whole, readers) = tokio::join!(whole, readers);

    let log = events(&whole);
    assert_eq!(seqs(&log), (1..=log.len() as u64).collect::<Vec<_>>(), "gapless from 1");
    assert!(log.len() > LINES, "{} events", log.len());
    assert_eq!(whole.last().map(Frame::kind), Some("STREAM_END"));

    let mut in_the_middle = 0;
    for ((query, cut), (first_id, frames)) in cuts.iter().zip(readers) {
        let got = events(&frames);
        let from = if *query == "?from=now" {
            // What stood before its first id is what it had asked not to get.
            let first_id = first_id.unwrap();
            let offset = |id: &str| id.rsplit('-').next().unwrap().parse::<u64>().unwrap();
            log.iter()
                .position(|frame| offset(frame.id.as_deref().unwrap()) > offset(&first_id))
                .unwrap_or(log.len())
        } else {
            0
        };
        assert_eq!(seqs(&got), seqs(&log[from..]), "{query} cut at {cut} bytes");
        assert_eq!(got, log[from..], "{query} cut at {cut} bytes");
        in_the_middle +=
            usize::from(!frames.iter().any(|frame| frame.kind() == "STREAM_GAP") && got.len() > 2);
    }
    assert!(in_the_middle > 25, "only {in_the_middle} readers saw anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_the_end_gets_the_whole_run_then_the_end_then_204() {
    let serve = Serve::start();
    let id = serve.run(&diagrams::python("print('hello')\nresult = 1")).await;
    serve.ended(&id).await;

    let mut late = serve.stream(&id, "", None).await;
    let frames = late.rest().await;
    assert_eq!(frames[0].kind(), "CONNECTION_ESTABLISHED");
    assert_eq!(
        (frames[0].id.as_deref(), frames[1].data.as_ref()),
        (None, None),
        "then a block with an id only"
    );
    assert!(frames[1].id.is_some());
    let log = events(&frames);
    assert_eq!(seqs(&log), (1..=log.len() as u64).collect::<Vec<_>>());
    let end = frames.last().unwrap().data.clone().unwrap();
    assert_eq!(end["type"], "STREAM_END");
    assert_eq!(end["data"], serde_json::json!({"reason": "completed", "reconnect": false}));
    let before_end = &frames[frames.len() - 2];
    assert_eq!((before_end.data.as_ref(), before_end.id.as_ref()), (None, log.last().unwrap().id.as_ref()));

    let back = serve.stream(&id, "", late.last_id.as_deref()).await;
    assert_eq!(back.status, 204);
    assert_eq!(serve.stream(&id, "?from=now", None).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_all_runs_has_each_run_once_and_in_order() {
    let serve = Serve::start();
    let mut all = Sse::open(&format!("{}/sse/executions?from=now", serve.url), None).await;
    // Its first id is there: from here on nothing is missed.
    while all.last_id.is_none() {
        all.next().await.unwrap();
    }
    let diagram = diagrams::python("for n in range(30): print(n)\nresult = 1");
    let ids = join_all((0..5).map(|_| serve.run(&diagram))).await;
    let mut open: Vec<_> = ids.clone();
    let mut frames = Vec::new();
    while !open.is_empty() {
        let frame = all.next().await.unwrap();
        if let Some(data) = &frame.data {
            let ended = data["type"] == "EXECUTION_STATUS_CHANGED" && data["data"]["status"] == "COMPLETED";
            if ended {
                open.retain(|id| data["execution_id"] != id.as_str());
            }
        }
        frames.push(frame);
    }
    for id in &ids {
        let of_run: Vec<Frame> = frames
            .iter()
            .filter(|frame| frame.data.as_ref().is_some_and(|d| d["execution_id"] == id.as_str()))
            .cloned()
            .collect();
        let alone = events(&serve.stream(id, "", None).await.rest().await);
        assert_eq!(of_run, alone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_streams_are_the_filtered_log_and_their_ids_keep_their_promise() {
    let serve = Serve::start();
    let id = serve.run(&talkative()).await;
    let filter = "?types=NODE_STATUS_CHANGED&nodes=node_1";
    let mut live = serve.stream(&id, filter, None).await;
    let live = live.rest().await;
    let whole = events(&serve.stream(&id, "", None).await.rest().await);
    let expected: Vec<Frame> = whole
        .iter()
        .filter(|frame| frame.kind() == "NODE_STATUS_CHANGED")
        .filter(|frame| frame.data.as_ref().unwrap()["data"]["node_id"] == "node_1")
        .cloned()
        .collect();
    assert_eq!(events(&live), expected);
    let ids_only = live.iter().filter(|frame| frame.data.is_none()).count();
    assert!(ids_only >= LINES / 100, "only {ids_only} ids while {LINES} events were filtered out");
    // Whoever resumes from any id gets exactly what is left.
    for (at, frame) in live.iter().enumerate() {
        let Some(last_id) = &frame.id else { continue };
        let mut rest = serve.stream(&id, filter, Some(last_id)).await;
        let rest = if rest.status == 204 { vec![] } else { rest.rest().await };
        assert_eq!(events(&rest), events(&live[at + 1..]));
    }
}
