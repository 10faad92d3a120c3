use core_events::{EventType, ExecutionStatus, Gap, NodeStatus};

use super::*;
use crate::testing::{append, begin, end, id, line, log, node, status, stored};

fn query(execution: &str, start: Start) -> EventsQuery {
    EventsQuery {
        execution: id(execution),
        start,
        filter: Filter::default(),
        max_events: usize::MAX,
        max_bytes: usize::MAX,
    }
}

fn offsets(page: &EventPage) -> Vec<Offset> {
    assert!(page.events.iter().all(|(cursor, record)| cursor.offset == record.offset));
    page.events.iter().map(|(cursor, _)| cursor.offset).collect()
}

/// Every page from `start` to where there is nothing more.
async fn pages(history: &LogHistory, mut query: EventsQuery) -> Vec<EventPage> {
    let mut pages = Vec::new();
    loop {
        let page = history.events(query.clone()).await.unwrap();
        query.start = Start::After(page.next.clone());
        let last = page.at_head;
        pages.push(page);
        if last {
            return pages;
        }
        assert!(pages.len() < 1_000, "it comes to no end");
    }
}

#[tokio::test]
async fn pages_have_every_event_once_and_in_order_whatever_their_size() {
    let log = log(100_000);
    append(&*log, vec![begin("a"), begin("b"), begin("a.x")]).await;
    for n in 0..40 {
        append(&*log, vec![line("a", &"l".repeat(n)), line("b", "other"), line("a.x", "sub")]).await;
    }
    append(&*log, vec![end("a.x", 2), end("a", 3), line("b", "later")]).await;
    let history = LogHistory::new(Arc::clone(&log));
    let whole = history.events(query("a", Start::Beginning)).await.unwrap();
    assert_eq!(whole.events.len(), 84);
    assert!(whole.ended && whole.at_head && whole.gap.is_none());
    for (max_events, max_bytes) in [(1, usize::MAX), (7, usize::MAX), (83, 500), (84, 1), (500, 2_000)] {
        let small = EventsQuery { max_events, max_bytes, ..query("a", Start::Beginning) };
        let pages = pages(&history, small).await;
        let bytes = |page: &EventPage| page.events.iter().map(|(_, record)| record.json.len()).sum::<usize>();
        assert!(pages.iter().all(|page| page.events.len() <= max_events));
        assert!(pages.iter().all(|page| page.events.len() <= 1 || bytes(page) <= max_bytes));
        let events: Vec<_> = pages.iter().flat_map(|page| page.events.clone()).collect();
        assert_eq!(events, whole.events, "{max_events} {max_bytes}");
        assert!(pages.last().unwrap().ended);
        assert!(pages.iter().rev().skip(1).all(|page| !page.at_head && !page.ended));
    }
    // Behind the end there is an empty page, that says so.
    for start in [Start::After(whole.next.clone()), Start::Now] {
        let page = history.events(query("a", start)).await.unwrap();
        assert!(page.events.is_empty() && page.ended && page.at_head, "{page:?}");
    }
}

#[tokio::test]
async fn a_page_of_a_run_under_way_is_continued_where_it_ended() {
    let log = log(100);
    append(&*log, vec![begin("a"), line("a", "1"), begin("b")]).await;
    let history = LogHistory::new(Arc::clone(&log));
    let page = history.events(query("a", Start::Beginning)).await.unwrap();
    assert_eq!((offsets(&page), page.next.offset, page.at_head, page.ended), (vec![1, 2], 3, true, false));
    append(&*log, vec![line("a", "2"), end("a", 2)]).await;
    let page = history.events(query("a", Start::After(page.next))).await.unwrap();
    assert_eq!((offsets(&page), page.ended), (vec![4, 5], true));
    let page = history.events(query("a", Start::Now)).await.unwrap();
    assert!(page.events.is_empty() && page.ended);
    assert!(history.events(query("b", Start::Now)).await.unwrap().events.is_empty());
}

#[tokio::test]
async fn a_sub_run_has_its_own_events_and_a_filter_lets_pass_what_matches() {
    let log = log(100_000);
    append(&*log, vec![begin("a"), begin("a.x"), begin("a.y")]).await;
    for n in 0..1_500 {
        append(&*log, vec![line("a", "noise")]).await;
        if n % 500 == 0 {
            append(&*log, vec![node("a.x", "n", 1, NodeStatus::Running), line("a.x", "log")]).await;
        }
    }
    append(&*log, vec![end("a.x", 2), line("a", "after")]).await;
    let history = LogHistory::new(Arc::clone(&log));
    let page = history.events(query("a.x", Start::Beginning)).await.unwrap();
    assert_eq!(page.events.len(), 8);
    assert!(page.events.iter().all(|(_, record)| record.execution == id("a.x")));
    assert!(page.ended, "the sub-run has ended, though its root goes on");
    let filter = Filter { types: Some([EventType::NodeStatusChanged].into()), ..Filter::default() };
    let filtered = EventsQuery { filter: filter.clone(), max_events: 2, ..query("a", Start::Beginning) };
    let pages = pages(&history, filtered).await;
    let events: Vec<_> = pages.iter().flat_map(|page| page.events.clone()).collect();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|(_, record)| filter.matches(record)));
    // Asked of a sub-run for another execution, nothing is right.
    let filter = Filter { executions: Some([id("a")].into()), ..Filter::default() };
    let none = history.events(EventsQuery { filter, ..query("a.x", Start::Beginning) }).await.unwrap();
    assert!(none.events.is_empty() && none.ended);
}

#[tokio::test]
async fn i4_what_the_log_no_longer_holds_is_told_as_a_gap_in_front() {
    let log = log(10);
    append(&*log, vec![begin("a")]).await;
    for n in 0..20 {
        append(&*log, vec![line("a", &n.to_string())]).await;
    }
    let history = LogHistory::new(Arc::clone(&log));
    let at = |offset| log.epoch().at(offset);
    let small = EventsQuery { max_events: 4, ..query("a", Start::Beginning) };
    let all = pages(&history, small).await;
    let gap = Gap { from: at(0), to: at(11), reason: core_events::GapReason::Evicted, reset: false };
    assert_eq!(all[0].gap, Some(gap));
    assert!(all[1..].iter().all(|page| page.gap.is_none()));
    assert_eq!(all.iter().flat_map(offsets).collect::<Vec<_>>(), (12..=21).collect::<Vec<_>>());
    let page = history.events(query("a", Start::After(at(7)))).await.unwrap();
    assert_eq!(page.gap.map(|gap| (gap.from, gap.to)), Some((at(7), at(11))));
    // Its state there is not known; the present one is.
    assert_eq!(history.state_at(&id("a"), &at(15)).await, Err(HistoryError::Incomplete(id("a"))));
    let (now, _) = log.state(&id("a")).await.unwrap();
    assert_eq!(history.state_at(&id("a"), &at(21)).await.unwrap().state, now);
    append(&*log, vec![end("a", 9)]).await;
    let (now, _) = log.state(&id("a")).await.unwrap();
    append(&*log, vec![begin("b")]).await;
    for offset in [22, 23] {
        assert_eq!(history.state_at(&id("a"), &at(offset)).await.unwrap().state, now);
    }
}

#[tokio::test]
async fn i2_a_state_of_the_past_is_the_fold_of_the_events_up_to_there() {
    let log = log(100_000);
    append(
        &*log,
        vec![
            begin("a"),
            node("a", "n", 1, NodeStatus::Running),
            begin("b"),
            begin("a.x"),
            node("a.x", "m", 2, NodeStatus::Failed),
            end("a.x", 3),
            node("a", "n", 4, NodeStatus::Completed),
            status("b", 5, ExecutionStatus::Aborted),
            end("a", 6),
        ],
    )
    .await;
    let history = LogHistory::new(Arc::clone(&log));
    for execution in ["a", "a.x", "b"] {
        let events = stored(&*log, execution.split('.').next().unwrap()).await;
        let offsets: Vec<Offset> = match execution {
            "b" => vec![3, 8],
            _ => vec![1, 2, 4, 5, 6, 7, 9],
        };
        for at in 0..=log.head() {
            let prefix = events.iter().zip(&offsets).filter(|(_, offset)| **offset <= at).map(|(e, _)| e);
            let expected = ExecutionState::fold(id(execution), prefix);
            let cursor = log.epoch().at(at);
            let snapshot = history.state_at(&id(execution), &cursor).await.unwrap();
            assert_eq!(snapshot, ExecutionSnapshot { state: expected, cursor }, "{execution} at {at}");
        }
    }
}

#[tokio::test]
async fn i7_cursors_of_elsewhere_are_refused() {
    let log = log(100);
    append(&*log, vec![begin("a")]).await;
    let history = LogHistory::new(Arc::clone(&log));
    let foreign: Cursor = "other-1".parse().unwrap();
    let future = log.epoch().at(2);
    for (cursor, error) in [
        (&foreign, HistoryError::ForeignEpoch(foreign.clone())),
        (&future, HistoryError::FutureCursor(future.clone())),
    ] {
        assert_eq!(history.state_at(&id("a"), cursor).await, Err(error.clone()));
        assert_eq!(history.events(query("a", Start::After(cursor.clone()))).await, Err(error));
    }
}

#[tokio::test]
async fn what_is_removed_is_gone_and_what_runs_stays() {
    let log = log(100);
    append(&*log, vec![begin("a"), begin("a.x"), begin("b")]).await;
    let history = LogHistory::new(Arc::clone(&log));
    assert_eq!(history.remove(&id("a")).await, Err(RemoveError::Running(id("a"))));
    append(&*log, vec![end("a.x", 1), end("a", 1)]).await;
    let root = RemoveError::NotARoot { execution: id("a.x"), root: id("a") };
    assert_eq!(history.remove(&id("a.x")).await, Err(root));
    history.pin(&id("a.x"), true).await.unwrap();
    assert_eq!(history.stats().pinned, 1, "a part pins the whole");
    history.remove(&id("a")).await.unwrap();
    for gone in ["a", "a.x"] {
        let deleted = LookupError::Deleted(id(gone));
        assert_eq!(
            history.events(query(gone, Start::Beginning)).await,
            Err(HistoryError::Lookup(deleted.clone()))
        );
        let at = log.epoch().at(1);
        assert_eq!(history.state_at(&id(gone), &at).await, Err(HistoryError::Lookup(deleted.clone())));
        assert_eq!(history.pin(&id(gone), true).await, Err(deleted));
    }
    let unknown = HistoryError::Lookup(LookupError::Unknown(id("c")));
    assert_eq!(history.events(query("c", Start::Now)).await, Err(unknown));
    assert_eq!(history.events(query("b", Start::Beginning)).await.unwrap().events.len(), 1);
}
