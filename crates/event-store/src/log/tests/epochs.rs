//! Which life of the log it is (I7).

use std::fs;

use super::*;
use crate::Durability;

type End = fn(Arc<SqliteLog>);

/// A store with one event, ended by `end`; its epoch.
async fn stored(options: StoreOptions, end: End) -> Epoch {
    let log_ = open_with(options);
    append(&log_, vec![begin("a")]).await;
    let epoch = log_.epoch();
    end(log_);
    epoch
}

fn close(log: Arc<SqliteLog>) {
    log.close();
    drop(log);
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

pub(super) fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn it_outlives_the_process() {
    for end in [kill as End, close] {
        let dir = tempfile::tempdir().unwrap();
        let epoch = stored(options(dir.path()), end).await;
        for _ in 0..3 {
            let log_ = open(dir.path());
            assert_eq!((log_.epoch(), log_.head()), (epoch.clone(), 1));
            end(log_);
        }
    }
}

#[tokio::test]
async fn it_outlives_the_machine_if_all_was_on_the_disk() {
    for (durability, end, kept) in [
        (Durability::Process, kill as End, false),
        (Durability::Process, close, true),
        (Durability::Power, kill, true),
        (Durability::Power, close, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let epoch = stored(StoreOptions { durability, ..options(dir.path()) }, end).await;
        let log_ = boot(options(dir.path()), "next boot");
        assert_eq!((log_.epoch() == epoch, log_.head()), (kept, 1), "{durability:?}");
    }
}

#[tokio::test]
async fn a_copy_is_another_log() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let epoch = stored(options(dir.path()), close).await;
    copy(dir.path(), other.path());
    let copied = open(other.path());
    assert_ne!(copied.epoch(), epoch);
    assert_eq!(places(&copied, Scope::All).await, [(1, 1)]);
    assert_eq!(open(dir.path()).epoch(), epoch, "the original is what it was");
}

#[tokio::test]
async fn an_old_copy_in_the_old_place_is_another_log() {
    // Made while it was open, and while it was closed; put back after a good end, and after a bad one.
    for (while_open, end) in [(true, close as End), (false, close), (false, kill)] {
        let (dir, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let epoch = stored(options(dir.path()), close).await;
        let log_ = if while_open {
            let log_ = open(dir.path());
            // Another process makes it: no descriptor of ours may touch the file.
            let to = backup.path().join("log.sqlite");
            let status = std::process::Command::new("cp").arg(dir.path().join("log.sqlite")).arg(to).status();
            assert!(status.unwrap().success());
            log_
        } else {
            copy(dir.path(), backup.path());
            open(dir.path())
        };
        append(&log_, vec![log("a", "")]).await;
        assert_eq!(log_.epoch(), epoch);
        end(log_);
        for file in ["log.sqlite-wal", "log.sqlite-shm"] {
            drop(fs::remove_file(dir.path().join(file)));
        }
        // The content alone: the file stays the same.
        let old = fs::read(backup.path().join("log.sqlite")).unwrap();
        fs::write(dir.path().join("log.sqlite"), old).unwrap();
        assert_ne!(open(dir.path()).epoch(), epoch);
    }
}

#[tokio::test]
async fn a_lost_tail_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    stored(options(dir.path()), close).await;
    let log_ = open(dir.path());
    let epoch = log_.epoch();
    append(&log_, vec![log("a", "")]).await;
    let told = || fs::read_to_string(dir.path().join("log.session")).unwrap().contains(r#""head":2"#);
    until("the session file knows", told).await;
    // Before the writer finds time for a checkpoint of its own.
    kill(log_);
    fs::remove_file(dir.path().join("log.sqlite-wal")).unwrap();
    let log_ = open(dir.path());
    assert_eq!(log_.head(), 1);
    assert_ne!(log_.epoch(), epoch);
}

#[tokio::test]
async fn without_its_session_file_or_store_it_is_a_new_one() {
    for file in ["log.session", "log.sqlite"] {
        let dir = tempfile::tempdir().unwrap();
        let epoch = stored(options(dir.path()), close).await;
        fs::remove_file(dir.path().join(file)).unwrap();
        assert_ne!(open(dir.path()).epoch(), epoch);
    }
}

#[tokio::test]
async fn a_damaged_store_is_moved_aside() {
    for (bytes, end) in
        [(0, close as End), (0, kill), (5_000, close), (5_000, kill), (30_000, kill), (30_000, close)]
    {
        let dir = tempfile::tempdir().unwrap();
        let log_ = open(dir.path());
        for _ in 0..300 {
            append(&log_, vec![log("a", &"x".repeat(200))]).await;
        }
        log_.close();
        let log_ = open(dir.path());
        let epoch = log_.epoch();
        append(&log_, vec![log("a", "")]).await;
        end(log_);
        let main = fs::OpenOptions::new().write(true).open(dir.path().join("log.sqlite")).unwrap();
        assert!(main.metadata().unwrap().len() > 60_000);
        main.set_len(bytes).unwrap();
        let log_ = open(dir.path());
        assert_ne!(log_.epoch(), epoch);
        assert_eq!(log_.head(), 0);
        append(&log_, vec![begin("a")]).await;
        assert!(names(dir.path()).iter().any(|name| name.starts_with("log.sqlite.damaged-")));
    }
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = Connection::open(dir.path().join("log.sqlite")).unwrap();
    foreign.execute_batch("CREATE TABLE t(x)").unwrap();
    let error = SqliteLog::open(options(dir.path()), Arc::new(SystemClock)).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
    let newer = tempfile::tempdir().unwrap();
    stored(options(newer.path()), close).await;
    let conn = Connection::open(newer.path().join("log.sqlite")).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteLog::open(options(newer.path()), Arc::new(SystemClock)).unwrap_err();
    assert!(error.to_string().contains("newer build"), "{error}");
}
