//! What happens while nothing can be stored (the exception of I6, I12).

use std::fs;

use core_events::ports::{AppendError, ListQuery, LogProblemKind, RemoveError};

use super::{epochs::names, *};

/// Trouble comes soon.
fn hasty(dir: &Path) -> StoreOptions {
    StoreOptions { stall_after: Duration::from_secs(2), ..StoreOptions::new(dir) }
}

fn kind(log: &SqliteLog) -> Option<LogProblemKind> {
    log.health().map(|problem| problem.kind)
}

/// Another process that holds the store, until it is dropped.
fn lock(dir: &Path) -> Connection {
    let conn = Connection::open(dir.join("log.sqlite")).unwrap();
    conn.busy_timeout(Duration::from_secs(5)).unwrap();
    conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
    conn
}

#[tokio::test]
async fn a_locked_store_is_told_and_overcome() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open_with(hasty(dir.path()));
    let heard = Heard::follow(&log_);
    append(&log_, vec![begin("a")]).await;
    let other = lock(dir.path());
    let appended = log_.append(vec![log("a", "1")].into()).await.unwrap();
    assert_eq!((appended.stored, appended.records[0].offset), (false, 2));
    let problem = log_.health().unwrap();
    assert_eq!((problem.kind, problem.waiting, problem.lost), (LogProblemKind::Locked, 1, 0));
    assert!(!problem.detail.contains('/'), "{problem:?}");
    // It goes on at once, also with a run that nobody knows.
    assert!(!log_.append(vec![begin("b"), end("b")].into()).await.unwrap().stored);
    assert!(matches!(log_.append(refusing(vec![log("a", "")])).await, Err(AppendError::Unavailable(_))));
    assert!(matches!(log_.remove(&id("b")).await, Err(RemoveError::Lookup(_))));
    assert_eq!((log_.head(), heard.all().join(" ")), (1, "1 ~2 ~3 ~4".to_owned()));
    // What was shown can be asked for, with a cursor that does not promise what a restart would forget.
    let (state, cursor) = log_.state(&id("a")).await.unwrap();
    assert_eq!((state.log_lines, cursor.offset), (1, 1));
    assert_eq!(log_.find(&id("b")).await.unwrap().ended, Some(4));
    let list = async |unfinished| {
        let runs = log_.list(&ListQuery { unfinished, limit: 9, ..ListQuery::default() }).await.unwrap();
        runs.iter().map(|run| format!("{} {}", run.execution_id, run.events)).collect::<Vec<_>>()
    };
    assert_eq!((list(false).await, list(true).await), (vec!["b 2".into(), "a 2".into()], vec!["a 2".into()]));
    drop(other);
    until("it works again", || log_.health().is_none()).await;
    append(&log_, vec![log("a", "2")]).await;
    assert_eq!(heard.all().join(" "), "1 ~2 ~3 ~4 2 3 4 5");
    assert_eq!(places(&log_, Scope::All).await, [(1, 1), (2, 2), (3, 1), (4, 2), (5, 3)]);
    assert_eq!(log_.stats().store.unwrap().unstored, 3);
}

#[tokio::test]
async fn a_writer_that_does_not_come_back_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open_with(hasty(dir.path()));
    let heard = Heard::follow(&log_);
    append(&log_, vec![begin("a")]).await;
    let held = hold(&log_);
    assert!(!log_.append(vec![log("a", "1")].into()).await.unwrap().stored);
    assert_eq!(kind(&log_), Some(LogProblemKind::Stalled));
    assert!(!log_.append(vec![log("a", "2")].into()).await.unwrap().stored);
    drop(held);
    until("it works again", || log_.health().is_none()).await;
    append(&log_, vec![end("a")]).await;
    assert_eq!(heard.all().join(" "), "1 ~2 ~3 2 3 4");
}

#[tokio::test]
async fn a_full_disk_is_overcome_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open_with(hasty(dir.path()));
    append(&log_, vec![begin("a")]).await;
    let other = Connection::open(dir.path().join("log.sqlite")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("CREATE TABLE room AS SELECT randomblob(400000) AS x").unwrap();
    meddle(&log_, |conn| {
        let pages: u32 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        conn.query_row(&format!("PRAGMA max_page_count = {}", pages + 20), [], |_| Ok(())).unwrap();
    });
    let large = "x".repeat(10_000);
    for n in 0.. {
        let stored = log_.append(vec![log("a", &large)].into()).await.unwrap().stored;
        assert_eq!(stored, log_.health().is_none());
        if !stored {
            break;
        }
        assert!(n < 50, "it has no bound");
    }
    assert_eq!(kind(&log_), Some(LogProblemKind::Full));
    let appended = log_.append(vec![log("a", &large), end("a")].into()).await.unwrap();
    assert!(!appended.stored);
    other.execute_batch("DROP TABLE room").unwrap();
    until("it works again", || log_.health().is_none()).await;
    assert_eq!(log_.head(), appended.records[1].offset);
    assert_eq!(places(&log_, Scope::All).await.len() as u64, log_.head());
}

#[tokio::test]
async fn what_has_no_room_is_lost_but_never_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open_with(StoreOptions { backlog_bytes: 2_000, ..hasty(dir.path()) });
    let heard = Heard::follow(&log_);
    append(&log_, vec![begin("a")]).await;
    let other = lock(dir.path());
    for _ in 0..7 {
        log_.append(vec![log("a", &"x".repeat(300))].into()).await.unwrap();
    }
    log_.append(vec![begin("a.x"), end("a")].into()).await.unwrap();
    log_.append(vec![begin("b")].into()).await.unwrap();
    let lost = log_.health().unwrap().lost;
    assert!((2..7).contains(&lost), "{lost}");
    drop(other);
    until("it works again", || log_.health().is_none()).await;
    append(&log_, vec![log("b", "")]).await;
    let kept = 8 - (lost - 1);
    let mut expected: Vec<String> = vec!["1".to_owned()];
    expected.extend((2..=11).map(|n| format!("~{n}")));
    expected.extend((2..=kept).map(|n| n.to_string()));
    expected.extend(["..8", "9", "10", "..11", "12"].map(str::to_owned));
    assert_eq!(heard.all(), expected);
    // The hole is there for every later process, and no place is given twice.
    let seqs: Vec<u64> = places(&log_, Scope::Run(id("a"))).await.iter().map(|place| place.1).collect();
    assert_eq!(seqs, (1..=kept).chain([9, 10]).collect::<Vec<_>>());
    assert_eq!(places(&log_, Scope::Run(id("b"))).await, [(12, 2)]);
    assert_eq!(log_.stats().store.unwrap().lost, lost);
    kill(log_);
    let log_ = open_with(hasty(dir.path()));
    append(&log_, vec![log("b", "")]).await;
    assert_eq!(places(&log_, Scope::Run(id("b"))).await, [(12, 2), (13, 3)]);
}

/// Something happens to a store's main file while it is open.
async fn broken(breaks: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open_with(hasty(dir.path()));
    let epoch = log_.epoch();
    let heard = Heard::follow(&log_);
    append(&log_, vec![begin("a"), begin("a.x"), end("a.x")]).await;
    append(&log_, vec![begin("b"), end("b")]).await;
    let filler = "x".repeat(100_000);
    for _ in 0..12 {
        append(&log_, vec![log("a", &filler)]).await;
    }
    let main = dir.path().join("log.sqlite");
    let told = || fs::read_to_string(dir.path().join("log.session")).unwrap();
    let large = || {
        let told: serde_json::Value = serde_json::from_str(&told()).unwrap();
        told["bytes"].as_u64().unwrap() > 500_000
    };
    until("there was a checkpoint", large).await;
    breaks(&main);
    // The run goes on, whatever becomes of the store.
    for n in 0.. {
        log_.append(vec![log("a", "goes on")].into()).await.unwrap();
        if log_.epoch() != epoch {
            break;
        }
        assert!(n < 5_000, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    until("it works again", || log_.health().is_none()).await;
    append(&log_, vec![log("a", "stored")]).await;
    let refused = log_.append(vec![log("a.x", "")].into()).await;
    assert_eq!(refused.unwrap_err(), AppendError::Ended(id("a.x")));
    let heard = heard.all();
    let numbers = |heard: &[String]| heard.iter().filter_map(|text| text.parse().ok()).collect::<Vec<u64>>();
    assert_eq!(numbers(&heard), (1..=log_.head()).collect::<Vec<_>>(), "each is told of once, in order");
    let renewed = heard.iter().position(|text| text == "new").unwrap();
    let stored: Vec<u64> = places(&log_, Scope::All).await.iter().map(|place| place.0).collect();
    assert_eq!(stored, numbers(&heard[renewed..]), "offsets go on in the new store");
    let (state, _) = log_.state(&id("a")).await.unwrap();
    let epoch = log_.epoch();
    kill(log_);
    assert!(names(dir.path()).iter().any(|name| name.starts_with("log.sqlite.damaged-")));
    let log_ = open_with(hasty(dir.path()));
    assert_eq!(log_.epoch(), epoch, "the new store is as good as any");
    assert_eq!(log_.find(&id("a.x")).await.unwrap().ended, Some(3));
    assert_eq!(log_.state(&id("a")).await.unwrap().0.last_seq, state.last_seq);
    assert!(log_.find(&id("b")).await.is_err(), "it is in the damaged file alone");
}

#[tokio::test]
async fn a_store_that_is_truncated_while_it_is_open_is_replaced() {
    for bytes in [0, 4_096, 100_000] {
        // As another process would: closing a descriptor of ours would drop SQLite's locks.
        broken(|main| {
            let status =
                std::process::Command::new("truncate").arg(format!("--size={bytes}")).arg(main).status();
            assert!(status.unwrap().success());
        })
        .await;
    }
}

#[tokio::test]
async fn a_store_that_disappears_is_replaced() {
    broken(|main| fs::rename(main, main.with_extension("damaged-by-hand")).unwrap()).await;
    broken(|main| fs::remove_file(main).unwrap()).await;
}
