//! The one thread that writes.

mod commit;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use core_events::{
    ExecutionId,
    ports::{LogProblemKind, LookupError, RemoveError},
};
use rusqlite::Connection;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    checkpoint::Checkpoints,
    faults,
    queue::Batch,
    remove,
    retention::Retention,
    schema::SchemaError,
    sequencer::Stop,
    session::{Session, Suspicion},
    shared::Shared,
    store::{Opener, StoreError},
};

/// Between two looks at the store's files, the session file and retention.
const CHORES: Duration = Duration::from_secs(1);

/// Between two steps of retention while it is not quiet.
const STEPS: Duration = Duration::from_millis(20);

/// Quiet for so long, it uses the time for a checkpoint, or for the next step of retention.
const QUIET: Duration = Duration::from_millis(50);

/// Bytes of the write-ahead log, about, that are worth a checkpoint when it is quiet.
const SMALL_WAL: u64 = 1024 * 1024;

/// Bytes of the write-ahead log, about, at which a checkpoint comes in any case.
const LARGE_WAL: u64 = 64 * 1024 * 1024;

/// The first wait after a commit that failed; it doubles up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

const REFUSED: &str = "the store can't be written at present";

/// What the writer does beside appends.
#[derive(Debug)]
pub(crate) enum Job {
    Remove {
        root: ExecutionId,
        done: oneshot::Sender<Result<(), RemoveError>>,
    },
    Pin {
        id: ExecutionId,
        pinned: bool,
        done: oneshot::Sender<Result<(), LookupError>>,
    },
    /// Whatever a test wants to happen to the writer's connection.
    #[cfg(test)]
    Meddle(Meddle),
}

#[cfg(test)]
pub(crate) struct Meddle(pub(crate) Box<dyn FnOnce(&Connection) + Send>);

#[cfg(test)]
impl std::fmt::Debug for Meddle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meddle")
    }
}

/// See the module.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    opener: Opener,
    store: Store,
    session: Session,
    retention: Retention,
    /// Jobs that wait for the batch that was taken with them.
    jobs: Vec<Job>,
    checkpoints: Checkpoints,
    /// Bytes that the write-ahead log got since the last checkpoint began, about.
    wal: u64,
    /// Whether space was given free that a checkpoint hands back.
    shrinks: bool,
    /// Whether retention has more to do.
    more: bool,
    chores_at: Instant,
    /// When retention was last at work.
    stepped: Instant,
    backoff: Duration,
}

enum Store {
    Open(Connection),
    /// To be opened again.
    Closed,
    /// Damaged, or no longer there: to be replaced.
    Lost,
}

enum Next {
    Batch(Arc<Batch>),
    Jobs,
    Idle,
    Stop(Stop),
}

// === impl Job ===

impl Job {
    /// Tells whoever waits for it that it can't be done at present.
    pub(crate) fn refuse(self, why: &str) {
        let error = LookupError::Unavailable(why.to_owned());
        match self {
            Self::Remove { done, .. } => drop(done.send(Err(error.into()))),
            Self::Pin { done, .. } => drop(done.send(Err(error))),
            #[cfg(test)]
            Self::Meddle(_) => {}
        }
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, opener: Opener, conn: Connection, session: Session) -> Self {
        let retention = Retention::new(&shared.options);
        let checkpoints = Checkpoints::new(opener.files.main.clone());
        Self {
            shared,
            opener,
            checkpoints,
            store: Store::Open(conn),
            session,
            retention,
            jobs: Vec::new(),
            wal: 0,
            shrinks: false,
            more: false,
            chores_at: Instant::now() + CHORES,
            stepped: Instant::now(),
            backoff: BACKOFF.0,
        }
    }

    /// Works until the log is closed. Returns whether all is stored and the session ended well.
    pub(crate) fn run(mut self) -> bool {
        loop {
            match self.next() {
                Next::Batch(batch) => {
                    if self.store(&batch) {
                        self.work();
                        self.chores(false);
                    } else {
                        std::mem::take(&mut self.jobs).into_iter().for_each(|job| job.refuse(REFUSED));
                        if self.pause() {
                            return false;
                        }
                    }
                }
                Next::Jobs => self.work(),
                Next::Idle => self.chores(true),
                Next::Stop(Stop::AtOnce) => return false,
                Next::Stop(Stop::Drained) => return self.end(),
            }
        }
    }

    fn next(&mut self) -> Next {
        let busy = self.more || self.shrinks || self.wal >= SMALL_WAL || self.checkpoints.is_running();
        let timeout = if busy { QUIET } else { CHORES };
        let shared = Arc::clone(&self.shared);
        let mut sequencer = shared.sequencer.lock();
        let mut timed_out = false;
        loop {
            if sequencer.stop == Some(Stop::AtOnce) {
                return Next::Stop(Stop::AtOnce);
            }
            self.jobs.extend(sequencer.jobs.drain(..));
            if let Some(batch) = sequencer.take(self.shared.clock.now()) {
                return Next::Batch(batch);
            }
            if !self.jobs.is_empty() {
                return Next::Jobs;
            }
            if let Some(stop) = sequencer.stop {
                return Next::Stop(stop);
            }
            if timed_out {
                return Next::Idle;
            }
            sequencer.writer_sleeps = true;
            timed_out = shared.work.wait_for(&mut sequencer, timeout).timed_out();
            sequencer.writer_sleeps = false;
        }
    }

    /// Waits before another attempt. Returns whether there won't be one.
    fn pause(&mut self) -> bool {
        let until = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        let mut sequencer = self.shared.sequencer.lock();
        while sequencer.stop.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if self.shared.work.wait_for(&mut sequencer, left).timed_out() {
                return false;
            }
        }
        // Who closes the log while the store fails does not wait until it works again.
        true
    }

    /// Commits `batch` and shows it. Returns whether that worked; else there must be a pause.
    fn store(&mut self, batch: &Batch) -> bool {
        let begun = Instant::now();
        // One that was just replaced takes more than `batch`.
        let (true, Store::Open(conn)) = (self.ready(), &self.store) else { return false };
        match commit::commit(conn, batch) {
            Ok(()) => {
                self.shared.committed(batch, begun.elapsed());
                self.backoff = BACKOFF.0;
                // A commit writes whole pages: some of each table, one of the index for each run, and the contents.
                self.wal += (4 + batch.runs.len() as u64) * 4096 + batch.content.bytes as u64 * 3 / 2;
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Something went wrong with the store.
    fn failed(&mut self, error: &rusqlite::Error) {
        let kind = faults::classify(error);
        self.shared.degrade(kind, faults::words(error));
        if faults::is_damage(error) || self.session.suspicion(&self.opener.files) == Suspicion::Gone {
            self.store = Store::Lost;
        } else if matches!(kind, LogProblemKind::ReadOnly | LogProblemKind::Io) {
            // A connection that was opened while the disk could not be written stays unable to.
            self.store = Store::Closed;
        }
    }

    /// Sees to it that the store is open. Returns whether it is, and is still the same.
    fn ready(&mut self) -> bool {
        let result = match self.store {
            Store::Open(_) => return true,
            Store::Closed => self.opener.reopen(&self.session).map(|conn| {
                self.store = Store::Open(conn);
                true
            }),
            Store::Lost => self.replace().map(|()| false),
        };
        result.unwrap_or_else(|error| {
            self.shared.degrade(error.kind(), error.words());
            if error.is_damage() {
                self.store = Store::Lost;
            }
            false
        })
    }

    /// Begins anew with an empty store; the damaged one is moved aside. Offsets go on, and so do runs.
    fn replace(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        // No connection may be left that writes into the old files.
        self.checkpoints.wait();
        self.store = Store::Lost;
        shared.readers.renew();
        let opened = self.opener.replace(shared.clock.now(), shared.head())?;
        shared.readers.renew();
        shared.counters.recount(&opened.conn).map_err(SchemaError::from)?;
        shared.suspect.store(false, Ordering::Release);
        (self.session, self.wal, self.store) = (opened.session, 0, Store::Open(opened.conn));
        tracing::error!("the store was damaged or gone; it is moved aside, and the log begins anew");
        shared.renewed(&opened.epoch);
        Ok(())
    }

    /// Does the jobs that wait.
    fn work(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            let Store::Open(conn) = &mut self.store else {
                job.refuse(REFUSED);
                continue;
            };
            let counters = &self.shared.counters;
            let failed = match job {
                #[cfg(test)]
                Job::Meddle(Meddle(meddle)) => {
                    meddle(conn);
                    continue;
                }
                Job::Remove { root, done } => match remove::run(conn, &root, self.shared.head(), counters) {
                    Ok(result) => {
                        self.more = true;
                        if result.is_ok() {
                            self.shared.removed(&root);
                        }
                        drop(done.send(result));
                        continue;
                    }
                    Err(error) => {
                        Job::Remove { root, done }.refuse(&faults::words(&error));
                        error
                    }
                },
                Job::Pin { id, pinned, done } => match remove::pin(conn, &id, pinned, counters) {
                    Ok(result) => {
                        drop(done.send(result));
                        continue;
                    }
                    Err(error) => {
                        Job::Pin { id, pinned, done }.refuse(&faults::words(&error));
                        error
                    }
                },
            };
            self.chore_failed(&failed);
        }
    }

    /// What is due beside appends and jobs, when it is quiet or time for it.
    fn chores(&mut self, quiet: bool) {
        let now = Instant::now();
        let due = now >= self.chores_at;
        if due {
            self.chores_at = now + CHORES;
            // A checkpoint may be making the file smaller just now.
            if !self.checkpoints.is_running() {
                self.look();
            }
            self.session.progress(&self.opener.files, self.shared.head(), false);
        }
        let Store::Open(conn) = &mut self.store else { return };
        // Under load, too, or the store would grow faster than it can shrink.
        if due || (self.more && (quiet || now >= self.stepped + STEPS)) {
            self.stepped = now;
            match self.retention.step(
                conn,
                self.shared.clock.now(),
                self.shared.head(),
                &self.shared.counters,
            ) {
                Ok(step) => {
                    // Space that was set free is handed back by a checkpoint.
                    self.shrinks |= self.more || !step.removed.is_empty();
                    self.more = step.more;
                    step.removed.iter().for_each(|root| self.shared.removed(root));
                }
                Err(error) => return self.chore_failed(&error),
            }
        }
        match self.checkpoints.finish(conn) {
            Some(Ok(())) => {
                self.wal = 0;
                self.session.progress(&self.opener.files, self.shared.head(), true);
            }
            Some(Err(error)) => self.chore_failed(&error),
            None if self.checkpoints.is_running() => {}
            None => {
                let quiet_enough = quiet && (self.wal >= SMALL_WAL || (self.shrinks && !self.more));
                if quiet_enough || self.wal >= LARGE_WAL {
                    // One that fails is tried again when there is as much to copy again.
                    (self.wal, self.shrinks) = (0, false);
                    // It would make a file that somebody has cut look whole again.
                    self.look();
                    let Store::Open(conn) = &self.store else { return };
                    if let Err(error) = self.checkpoints.begin(conn) {
                        self.chore_failed(&error);
                    }
                }
            }
        }
    }

    /// Looks whether the store's files are what they should be.
    fn look(&mut self) {
        let suspicion = self.session.suspicion(&self.opener.files);
        let suspect = self.shared.suspect.swap(false, Ordering::AcqRel);
        let damage = match suspicion {
            Suspicion::None if !suspect => return,
            Suspicion::Gone => Some("the store's file is gone".to_owned()),
            _ => match self.opener.inspect() {
                Err(error) if faults::is_damage(&error) => Some(faults::words(&error)),
                // Not to be told at present: the next look will.
                Err(_) => None,
                // Somebody else made it smaller, and well.
                Ok(()) => {
                    self.session.progress(&self.opener.files, self.shared.head(), true);
                    None
                }
            },
        };
        if let Some(damage) = damage {
            self.shared.degrade(LogProblemKind::Corrupt, damage);
            self.store = Store::Lost;
            self.ready();
        }
    }

    /// Something beside an append went wrong. Others are told only if appends would fail too: those will tell.
    fn chore_failed(&mut self, error: &rusqlite::Error) {
        tracing::warn!(problem = %faults::words(error), "a chore of the store failed; it is tried again");
        if faults::is_damage(error) {
            self.failed(error);
            self.ready();
        }
    }

    /// All is stored: ends the session.
    fn end(mut self) -> bool {
        self.checkpoints.wait();
        let head = self.shared.head();
        let Store::Open(conn) = &mut self.store else { return false };
        match self.session.end(conn, &self.opener.files, head) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(problem = %faults::words(&error), "the store was not closed well");
                false
            }
        }
    }
}
