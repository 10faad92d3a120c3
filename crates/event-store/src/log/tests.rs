mod epochs;
mod rules;
mod troubles;
mod writing;

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use core_events::{
    Epoch, ExecutionId, Fact, Offset, Record,
    ports::{Append, CommitListener, EventLog, ReadRange, Scope, SystemClock},
};
use parking_lot::Mutex;
use rusqlite::Connection;

use super::SqliteLog;
use crate::{
    StoreOptions,
    testing::{begin, end, id, log},
    writer::{Job, Meddle},
};

/// On a machine that is busy with other things a commit takes its time; that is no trouble here.
pub(super) fn options(dir: &Path) -> StoreOptions {
    StoreOptions { stall_after: Duration::from_secs(60), ..StoreOptions::new(dir) }
}

pub(super) fn open(dir: &Path) -> Arc<SqliteLog> {
    open_with(options(dir))
}

pub(super) fn open_with(options: StoreOptions) -> Arc<SqliteLog> {
    boot(options, "this boot")
}

pub(super) fn boot(options: StoreOptions, boot: &str) -> Arc<SqliteLog> {
    SqliteLog::open_booted(options, Arc::new(SystemClock), Some(boot.to_owned())).unwrap()
}

/// Ends a log as `kill -9` does.
pub(super) fn kill(log: Arc<SqliteLog>) {
    drop(Arc::into_inner(log).expect("nobody else has it"));
}

/// Has the writer run `meddle` behind all that was appended.
pub(super) fn meddle(log: &SqliteLog, meddle: impl FnOnce(&Connection) + Send + 'static) {
    log.shared.sequencer.lock().jobs.push_back(Job::Meddle(Meddle(Box::new(meddle))));
    log.shared.wake();
}

/// Has the writer stand still until what it returns is dropped.
pub(super) fn hold(log: &SqliteLog) -> mpsc::SyncSender<()> {
    let (hold, held) = mpsc::sync_channel::<()>(1);
    let (there, is_there) = mpsc::sync_channel(1);
    meddle(log, move |_| {
        there.send(()).unwrap();
        held.recv().unwrap_err();
    });
    is_there.recv().unwrap();
    hold
}

pub(super) async fn append(log: &SqliteLog, facts: Vec<Fact>) {
    assert!(log.append(facts.into()).await.unwrap().stored);
}

pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came that {what}");
}

/// (offset, seq) of the records of a run, or of all.
pub(super) async fn places(log: &SqliteLog, scope: Scope) -> Vec<(u64, u64)> {
    let records = read(log, scope).await;
    records.iter().map(|record| (record.offset, record.seq)).collect()
}

pub(super) async fn read(log: &SqliteLog, scope: Scope) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    let mut after = 0;
    loop {
        let range = ReadRange {
            scope: scope.clone(),
            after,
            up_to: Offset::MAX,
            max_records: 500,
            max_bytes: usize::MAX,
        };
        let batch = log.read(range).await.unwrap();
        if batch.records.is_empty() && (batch.pruned.is_none() || batch.scanned_to == after) {
            return records;
        }
        after = batch.scanned_to;
        records.extend(batch.records);
    }
}

/// What listeners are told, in short.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub(super) fn follow(log: &SqliteLog) -> Arc<Self> {
        let heard = Arc::new(Self::default());
        log.follow(Arc::clone(&heard) as Arc<dyn CommitListener>);
        heard
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    fn push(&self, texts: impl IntoIterator<Item = String>) {
        self.0.lock().extend(texts);
    }
}

impl CommitListener for Heard {
    fn committed(&self, records: &[Arc<Record>]) {
        self.push(records.iter().map(|record| record.offset.to_string()));
    }

    fn unstored(&self, records: &[Arc<Record>]) {
        self.push(records.iter().map(|record| format!("~{}", record.offset)));
    }

    fn lost(&self, up_to: Offset) {
        self.push([format!("..{up_to}")]);
    }

    fn removed(&self, root: &ExecutionId) {
        self.push([format!("-{root}")]);
    }

    fn renewed(&self, _: &Epoch) {
        self.push(["new".to_owned()]);
    }
}

pub(super) fn refusing(facts: Vec<Fact>) -> Append {
    Append { unstored: core_events::ports::Unstored::Refuse, ..facts.into() }
}
