//! Queues, late clients, ends.

use std::time::Duration;

use core_events::{
    End, EndReason, Epoch, Filter, GapReason,
    ports::{
        Budget, Delivery, ExecutionObserver, LookupError, Start, StreamSource, SubscribeError, Subscribed,
    },
};
use observer_legacy::{
    KEPT_BYTES, KEPT_MESSAGES, LINGER, MonitoringStreamObserver, QUEUE_BYTES, QUEUE_MESSAGES, REMEMBERED_RUNS,
};
use tokio::time::Instant;

use crate::{
    calls::{RUN, at, begin, complete, end, id, log},
    reader::{PLENTY, lines, next, open, ready, subscribe, to_the_end},
};

async fn running() -> MonitoringStreamObserver {
    let observer = MonitoringStreamObserver::new();
    begin(&observer, RUN).await;
    observer
}

/// Numbered lines, which `numbers` reads.
async fn logs(observer: &MonitoringStreamObserver, range: std::ops::Range<usize>) {
    for number in range {
        log(observer, RUN, &format!("#{number}#")).await;
    }
}

fn numbers(messages: &[String]) -> Vec<usize> {
    messages
        .iter()
        .filter_map(|message| message.split('#').nth(1))
        .map(|text| text.parse().unwrap())
        .collect()
}

fn all(range: std::ops::Range<usize>) -> Vec<usize> {
    range.collect()
}

#[tokio::test(start_paused = true)]
async fn a_late_client_gets_what_was_before_and_then_what_comes() {
    let observer = running().await;
    logs(&observer, 0..10).await;
    let mut stream = open(&observer, RUN, Start::Beginning).await;
    logs(&observer, 10..20).await;
    end(&observer, RUN).await;
    let (messages, _) = to_the_end(&mut *stream).await;
    assert_eq!(numbers(&messages), all(0..20));
    assert_eq!(messages.len(), 22);
}

#[tokio::test(start_paused = true)]
async fn from_now_on_only_what_comes() {
    let observer = running().await;
    logs(&observer, 0..10).await;
    let mut stream = open(&observer, RUN, Start::Now).await;
    assert_eq!(ready(&mut *stream, PLENTY), None);
    logs(&observer, 10..12).await;
    assert_eq!(numbers(&lines(&next(&mut *stream).await)), all(10..12));
}

#[tokio::test(start_paused = true)]
async fn any_cursor_resumes_a_run_that_is_at_work() {
    let observer = running().await;
    logs(&observer, 0..10).await;
    let mut stream = open(&observer, RUN, Start::Beginning).await;
    let first = stream.start();
    let Some(Delivery::Block(block)) = ready(&mut *stream, Budget { events: 5, bytes: 1 << 20 }) else {
        panic!("there are messages");
    };
    assert_eq!(block.events, 5);
    begin(&observer, "other").await;
    logs(&observer, 10..12).await;
    for (cursor, expected) in [(first, all(0..12)), (block.last, all(4..12))] {
        let mut resumed = open(&observer, RUN, Start::After(cursor.clone())).await;
        assert_eq!(resumed.start(), cursor);
        assert_eq!(numbers(&lines(&next(&mut *resumed).await)), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_no_use_starts_over_and_says_so() {
    let observer = running().await;
    logs(&observer, 0..3).await;
    let own = open(&observer, RUN, Start::Now).await.start();
    let foreign = Epoch::parse("zz").unwrap().at(2);
    let future = own.epoch.at(own.offset + 1);
    for (cursor, reason) in [(foreign, GapReason::ForeignEpoch), (future, GapReason::FutureCursor)] {
        let mut stream = open(&observer, RUN, Start::After(cursor.clone())).await;
        let Delivery::Gap(gap) = next(&mut *stream).await else { panic!("a gap comes first") };
        assert_eq!((gap.from, gap.reason, gap.reset), (cursor, reason, true));
        assert_eq!(numbers(&lines(&next(&mut *stream).await)), all(0..3));
    }
}

#[tokio::test(start_paused = true)]
async fn i4_who_comes_after_the_first_thousand_is_told_what_is_missing() {
    let observer = running().await;
    logs(&observer, 0..KEPT_MESSAGES + 50).await;
    let mut stream = open(&observer, RUN, Start::Beginning).await;
    let mut messages = Vec::new();
    let gap = loop {
        match next(&mut *stream).await {
            Delivery::Gap(gap) => break gap,
            delivery => messages.extend(lines(&delivery)),
        }
    };
    assert_eq!(messages.len(), KEPT_MESSAGES);
    assert_eq!(gap.to.offset - gap.from.offset, 51);
    assert_eq!((gap.reason, gap.reset), (GapReason::Evicted, false));
    logs(&observer, 2000..2001).await;
    assert_eq!(numbers(&lines(&next(&mut *stream).await)), [2000]);
    let mut resumed = open(&observer, RUN, Start::After(gap.to)).await;
    let Delivery::Gap(missed) = next(&mut *resumed).await else { panic!("that message was not kept either") };
    assert_eq!(missed.from, resumed.start());
}

#[tokio::test(start_paused = true)]
async fn i4_a_full_queue_ends_its_client_and_no_other() {
    let observer = running().await;
    let mut slow = open(&observer, RUN, Start::Now).await;
    let mut quick = open(&observer, RUN, Start::Now).await;
    logs(&observer, 0..QUEUE_MESSAGES).await;
    assert_eq!(lines(&next(&mut *quick).await).len(), PLENTY.events);
    assert_eq!(observer.clients(), 2);
    logs(&observer, QUEUE_MESSAGES..QUEUE_MESSAGES + 2).await;
    assert_eq!(observer.clients(), 1, "the slow one is no longer published to");
    let (messages, over) = to_the_end(&mut *slow).await;
    assert_eq!(numbers(&messages), all(0..QUEUE_MESSAGES));
    assert_eq!(over.reason, EndReason::Slow);
    end(&observer, RUN).await;
    let (messages, over_quick) = to_the_end(&mut *quick).await;
    assert_eq!(messages.len(), QUEUE_MESSAGES - PLENTY.events + 2 + 1);
    assert_eq!(over_quick.reason, EndReason::Completed);
    assert!(over.cursor.offset < over_quick.cursor.offset);
}

#[tokio::test(start_paused = true)]
async fn i4_a_queue_is_also_bounded_in_bytes() {
    let observer = running().await;
    let mut slow = open(&observer, RUN, Start::Now).await;
    let line = "x".repeat(16 * 1024);
    for _ in 0..QUEUE_MESSAGES {
        log(&observer, RUN, &line).await;
    }
    assert_eq!(observer.clients(), 1, "a thousand lines of the largest size fit");
    let large = complete("a", "x".repeat(120 * 1024).into());
    for _ in 0..QUEUE_BYTES / (120 * 1024) {
        observer.on_node_complete(&at(RUN, 3), &large).await;
    }
    let (_, over) = to_the_end(&mut *slow).await;
    assert_eq!(over.reason, EndReason::Slow);
}

#[tokio::test(start_paused = true)]
async fn i4_the_terminal_message_is_never_missed() {
    let observer = running().await;
    let mut full = open(&observer, RUN, Start::Now).await;
    logs(&observer, 0..QUEUE_MESSAGES).await;
    end(&observer, RUN).await;
    let (messages, over) = to_the_end(&mut *full).await;
    assert_eq!((messages.len(), over.reason), (QUEUE_MESSAGES + 1, EndReason::Completed));

    begin(&observer, "long").await;
    for _ in 0..KEPT_MESSAGES + 50 {
        log(&observer, "long", "x").await;
    }
    end(&observer, "long").await;
    let mut late = open(&observer, "long", Start::Beginning).await;
    let mut kept = 0;
    let gap = loop {
        match next(&mut *late).await {
            Delivery::Gap(gap) => break gap,
            delivery => kept += lines(&delivery).len(),
        }
    };
    assert_eq!((kept, gap.to.offset - gap.from.offset), (KEPT_MESSAGES, 51));
    let (last, over) = to_the_end(&mut *late).await;
    assert!(matches!(&last[..], [one] if one.contains("COMPLETED")), "{last:?}");
    assert_eq!((over.reason, over.cursor.offset), (EndReason::Completed, gap.to.offset + 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_in_bytes_and_has_no_hole() {
    let observer = running().await;
    let large = complete("a", "x".repeat(120 * 1024).into());
    let count = KEPT_BYTES / (120 * 1024) + 3;
    for _ in 0..count {
        observer.on_node_complete(&at(RUN, 3), &large).await;
    }
    logs(&observer, 0..3).await;
    let mut late = open(&observer, RUN, Start::Beginning).await;
    let mut kept = 0;
    let gap = loop {
        match next(&mut *late).await {
            Delivery::Gap(gap) => break gap,
            delivery => kept += lines(&delivery).len(),
        }
    };
    assert!(kept < count, "{kept} large messages are more than {KEPT_BYTES} bytes");
    assert_eq!(gap.from.offset, kept as u64);
    assert_eq!(
        gap.to.offset,
        (count + 4) as u64,
        "small ones behind a large one that was not kept are not kept either"
    );
}

#[tokio::test(start_paused = true)]
async fn streams_close_a_fifth_of_a_second_behind_the_terminal_message() {
    let observer = running().await;
    let mut early = open(&observer, RUN, Start::Beginning).await;
    let begun = Instant::now();
    end(&observer, RUN).await;
    tokio::time::sleep(LINGER / 2).await;
    let mut late = open(&observer, RUN, Start::Beginning).await;
    for stream in [&mut early, &mut late] {
        let (messages, over) = to_the_end(&mut **stream).await;
        assert_eq!(messages.len(), 2);
        assert_eq!(over.reason, EndReason::Completed);
        assert_eq!(begun.elapsed(), LINGER);
        assert_eq!(ready(&mut **stream, PLENTY), None, "the end comes once");
    }
    for start in [Start::Beginning, Start::Now, Start::After(early.start())] {
        let subscribed = subscribe(&observer, RUN, start, Filter::default()).await.unwrap();
        assert!(matches!(subscribed, Subscribed::Finished));
    }
}

#[tokio::test(start_paused = true)]
async fn i9_nothing_follows_the_terminal_message() {
    let observer = running().await;
    let mut stream = open(&observer, RUN, Start::Beginning).await;
    end(&observer, RUN).await;
    logs(&observer, 0..3).await;
    end(&observer, RUN).await;
    assert_eq!(observer.lost(), 4);
    let (messages, _) = to_the_end(&mut *stream).await;
    assert_eq!(messages.len(), 2);
    log(&observer, "never_begun", "x").await;
    assert_eq!(observer.lost(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_client_is_woken() {
    let observer = std::sync::Arc::new(running().await);
    let mut stream = open(&*observer, RUN, Start::Now).await;
    let waiting = tokio::spawn(async move {
        let first = next(&mut *stream).await;
        (numbers(&lines(&first)), to_the_end(&mut *stream).await.1.reason)
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    logs(&observer, 7..8).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    end(&*observer, RUN).await;
    assert_eq!(waiting.await.unwrap(), (vec![7], EndReason::Completed));
}

#[tokio::test(start_paused = true)]
async fn i13_dropping_a_stream_unregisters_it() {
    let observer = running().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(open(&observer, RUN, Start::Now).await);
    }
    assert_eq!(observer.clients(), 3);
    drop(streams.remove(1));
    assert_eq!(observer.clients(), 2);
    streams.push(open(&observer, RUN, Start::Now).await);
    logs(&observer, 0..1).await;
    for stream in &mut streams {
        assert_eq!(numbers(&lines(&next(&mut **stream).await)), [0]);
    }
    drop(streams);
    assert_eq!(observer.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_is_at_work_and_lets_the_rest_complete() {
    let observer = running().await;
    begin(&observer, "over").await;
    let mut cut = open(&observer, RUN, Start::Beginning).await;
    let mut over = open(&observer, "over", Start::Beginning).await;
    end(&observer, "over").await;
    observer.close(EndReason::Shutdown);
    let (messages, End { reason, .. }) = to_the_end(&mut *cut).await;
    assert_eq!((messages.len(), reason), (1, EndReason::Shutdown));
    assert_eq!(to_the_end(&mut *over).await.1.reason, EndReason::Completed);
    begin(&observer, "later").await;
    for run in [RUN, "over", "later"] {
        let refused = subscribe(&observer, run, Start::Beginning, Filter::default()).await.unwrap_err();
        assert_eq!(refused, SubscribeError::Closed(EndReason::Shutdown));
    }
    assert_eq!(observer.lost(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_sees_the_execution_that_it_asked_for() {
    let observer = running().await;
    begin(&observer, "exec_10").await;
    let mut stream = open(&observer, RUN, Start::Now).await;
    log(&observer, "exec_10", "#1#").await;
    logs(&observer, 2..3).await;
    assert_eq!(numbers(&lines(&next(&mut *stream).await)), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_forgotten_after_a_thousand_others() {
    let observer = running().await;
    let unknown = SubscribeError::Lookup(LookupError::Unknown(id("nobody")));
    let subscribed = subscribe(&observer, "nobody", Start::Beginning, Filter::default()).await;
    assert_eq!(subscribed.unwrap_err(), unknown);
    end(&observer, RUN).await;
    let over = async |run: usize| {
        begin(&observer, &format!("exec_{run}")).await;
        end(&observer, &format!("exec_{run}")).await;
        tokio::time::advance(LINGER).await;
    };
    for run in 2..=REMEMBERED_RUNS {
        over(run).await;
    }
    let first = async || subscribe(&observer, RUN, Start::Beginning, Filter::default()).await;
    assert!(matches!(first().await, Ok(Subscribed::Finished)));
    over(REMEMBERED_RUNS + 1).await;
    assert_eq!(first().await.unwrap_err(), SubscribeError::Lookup(LookupError::Unknown(id(RUN))));
}

#[tokio::test]
async fn there_is_no_stream_of_all_runs() {
    let observer = running().await;
    let stream = open(&observer, RUN, Start::Now).await;
    drop(stream);
    let request = core_events::ports::SubscribeRequest {
        execution: None,
        start: Start::Now,
        filter: Filter::default(),
        encoder: std::sync::Arc::new(crate::reader::Lines),
    };
    assert_eq!(observer.subscribe(request).await.unwrap_err(), SubscribeError::Closed(EndReason::Moved));
}
