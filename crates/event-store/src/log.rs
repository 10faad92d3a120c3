use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use core_events::{
    Cursor, Epoch, ExecutionId, ExecutionState, Offset, Seq,
    ports::{
        Append, AppendError, Appended, Clock, CommitListener, EventLog, ExecutionInfo, ListQuery, LogProblem,
        LogStats, LookupError, ReadBatch, ReadError, ReadRange, RemoveError, RunSummary, Unstored,
    },
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    options::StoreOptions,
    reads::Readers,
    schema::SchemaError,
    sequencer::{Enqueued, Found, Refusal, Sequencer, Stop, look_up},
    session::{self, Files},
    shared::Shared,
    stats::{self, Counters},
    store::{Opener, StoreError},
    watchdog::{self, Signal},
    writer::{Job, Writer},
};

/// A commit waits so long at most for a lock that another process has on the store, before that counts as a failure.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How much longer than the bound on a stall closing waits for a writer that doesn't come back.
const CLOSING: Duration = Duration::from_secs(5);

/// So often the lock on the data directory is tried, and so long it waits in between.
const LOCK_TRIES: usize = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// So often a look-up is tried again because what it asked for was on its way into the store.
const LOOK_UPS: usize = 3;

/// An [`EventLog`] on SQLite.
///
/// # Ordering
///
/// An append gets its place in its caller's thread, and is encoded there; one thread commits all that waits at once. The
/// committed prefix has no hole but for what was given up.
///
/// # Lagging
///
/// What waits for the disk is bounded by [`StoreOptions::queue_bytes`]; beyond it appends wait, or are [`AppendError::Busy`].
/// When a commit fails or the oldest record waits longer than [`StoreOptions::stall_after`], the log is in trouble
/// ([`health`](EventLog::health)): records are shown without being stored, up to [`StoreOptions::backlog_bytes`]; what comes
/// then is lost, terminal events excepted. An append that asked for [`Unstored::Refuse`] and was taken before the trouble
/// began is [shown](Appended::stored) all the same: it has its place. The store is tried again until it works; one that is damaged or gone is
/// moved aside, and a new one goes on with the offsets in a new epoch.
///
/// # Resuming
///
/// A process that was killed loses nothing that was committed, and the epoch goes on (I7). Runs that it left unfinished go on where they were.
///
/// # Closing
///
/// [`close`](Self::close) stores what waits and ends the session. Dropping the log does neither: to the store it is
/// as if the process had been killed.
pub struct SqliteLog {
    shared: Arc<Shared>,
    /// Held until the threads have ended: another process must not begin while they write.
    lock: Mutex<Option<File>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Ends the watchdog.
    stop: Arc<Signal>,
    /// The writer has ended.
    written: Arc<Signal>,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns it.
    #[error("another process owns the data directory; stop it, or choose another directory")]
    Owned,
    /// A newer build, or another program wrote it.
    #[error("the store can't be used: {0}")]
    Foreign(String),
    /// The directory or its files can't be used.
    #[error("the data directory can't be used")]
    Directory(#[source] io::Error),
    /// The store says so.
    #[error("the store can't be opened: {0}")]
    Store(String),
}

// === impl SqliteLog ===

impl SqliteLog {
    /// Opens the store in [`StoreOptions::dir`], or makes one, and owns it from then on. Blocks; it reads what unfinished runs left.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A store that is damaged is none: it is moved aside and a new one is made.
    pub fn open(options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        Self::open_booted(options, clock, session::boot_id())
    }

    /// [`open`](Self::open) in the life `boot` of the machine.
    pub(crate) fn open_booted(
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        boot: Option<String>,
    ) -> Result<Arc<Self>, OpenError> {
        let files = Files::new(&options.dir, options.file());
        let lock = own(&files)?;
        let opener = Opener {
            files: files.clone(),
            durability: options.durability,
            boot,
            patience: LOCK_PATIENCE.min(options.stall_after / 2),
        };
        let (opened, (sequencer, counters)) = opener.open(clock.now(), |opened| {
            Ok((Sequencer::load(&opened.conn, &options, opened.head)?, Counters::open(&opened.conn)?))
        })?;
        let suspect = Arc::new(AtomicBool::new(false));
        let damaged = {
            let suspect = Arc::clone(&suspect);
            Arc::new(move || suspect.store(true, Ordering::Release))
        };
        let readers = Readers::open(files.main.clone(), &options, damaged);
        let shared =
            Arc::new(Shared::new(options, files, clock, opened.epoch, sequencer, readers, suspect, counters));
        let (stop, written) = (Signal::new(), Signal::new());
        let writer = Writer::new(Arc::clone(&shared), opener, opened.conn, opened.session);
        let writer = {
            let (shared, written) = (Arc::clone(&shared), Arc::clone(&written));
            spawn("log-writer", move || {
                // Also when a listener panics nobody waits for ever.
                let mut end = End { shared, written, drained: false };
                end.drained = writer.run();
            })
        };
        let watchdog = {
            let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
            spawn("log-watchdog", move || watchdog::watch(&shared, &stop))
        };
        let log =
            Self { shared, lock: Mutex::new(Some(lock)), threads: Mutex::new(Vec::new()), stop, written };
        // From here on dropping `log` ends whichever thread there is.
        for thread in [writer, watchdog] {
            log.threads.lock().push(thread.map_err(OpenError::Directory)?);
        }
        Ok(Arc::new(log))
    }

    /// Stores what waits, ends the session and gives the store to whoever wants it next. Nothing can be appended from then on.
    /// Blocks: at most a few seconds longer than [`StoreOptions::stall_after`], when the store fails. A second call does nothing.
    pub fn close(&self) {
        self.end(Stop::Drained);
    }

    fn end(&self, how: Stop) {
        {
            let mut sequencer = self.shared.sequencer.lock();
            sequencer.stop = sequencer.stop.max(Some(how));
        }
        self.shared.wake();
        self.shared.make_room();
        self.stop.give();
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        if !self.written.wait(self.shared.options.stall_after + CLOSING) {
            tracing::error!("the store's writer does not come back; what waits is not stored");
            self.shared.abandon(false);
            return;
        }
        for thread in threads {
            // A listener is the only thing that could panic in there, and its panic was reported.
            drop(thread.join());
        }
        self.shared.readers.close();
        self.shared.publish.lock().clear();
        *self.lock.lock() = None;
    }

    /// Gives an append its place.
    async fn place(&self, append: &mut Append) -> Result<Enqueued, AppendError> {
        let shared = &*self.shared;
        let mut found = Found::default();
        let mut look_ups = 0;
        // Held by whoever is the first to wait for room: who came first goes first.
        let mut turn = None;
        let mut crowd = None;
        loop {
            if turn.is_none() && (crowd.is_some() || shared.crowd.load(Ordering::Acquire) > 0) {
                if append.unstored == Unstored::Refuse {
                    return Err(AppendError::Busy);
                }
                crowd.get_or_insert_with(|| shared.join_crowd());
                turn = Some(shared.gate.lock().await);
            }
            let mut room = std::pin::pin!(shared.room.notified());
            if turn.is_some() {
                room.as_mut().enable();
            }
            match shared.enqueue(append, &found) {
                Ok(enqueued) => return Ok(enqueued),
                Err(Refusal::Error(error)) => return Err(error),
                Err(Refusal::LookUp(ids)) => {
                    look_ups += 1;
                    found = self.look_up(append, ids).await?;
                    if look_ups >= LOOK_UPS {
                        found.insist();
                    }
                }
                Err(Refusal::Full) if append.unstored == Unstored::Refuse => return Err(AppendError::Busy),
                Err(Refusal::Full) if turn.is_none() => {
                    crowd.get_or_insert_with(|| shared.join_crowd());
                }
                Err(Refusal::Full) => room.await,
            }
        }
    }

    /// Asks the store for executions that memory doesn't know.
    async fn look_up(&self, append: &Append, ids: Vec<ExecutionId>) -> Result<Found, AppendError> {
        let in_trouble = self.shared.sequencer.lock().trouble.is_some();
        // Runs of our own must not wait for the disk (I12), and have ids that nobody else has.
        let own = append.unstored == Unstored::Deliver;
        if in_trouble && own {
            return Ok(Found::nothing(ids));
        }
        let producer = append.batch.as_ref().map(|batch| Arc::clone(&batch.producer));
        let asked = ids.clone();
        let found = self.shared.readers.with(move |conn| look_up(conn, asked, producer.as_deref())).await;
        match found {
            Ok(found) => Ok(found),
            Err(_) if own => Ok(Found::nothing(ids)),
            Err(ReadError::Unavailable(why)) => Err(AppendError::Unavailable(why)),
        }
    }

    /// Has the writer do a job, behind all that was appended until now.
    async fn job<T, E: From<LookupError>>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job,
    ) -> Result<T, E> {
        let (done, result) = oneshot::channel();
        let refusal = {
            let mut sequencer = self.shared.sequencer.lock();
            let why = match (&sequencer.trouble, sequencer.stop) {
                (Some(trouble), _) => Some(trouble.detail.clone()),
                (None, Some(_)) => Some(CLOSED.to_owned()),
                (None, None) => None,
            };
            if why.is_none() {
                sequencer.jobs.push_back(job(done));
            }
            why
        };
        if let Some(why) = refusal {
            return Err(LookupError::Unavailable(why).into());
        }
        self.shared.wake();
        result.await.unwrap_or_else(|_| Err(LookupError::Unavailable(CLOSED.to_owned()).into()))
    }
}

const CLOSED: &str = "it is closed";

/// Tells of the writer's end when it is dropped.
struct End {
    shared: Arc<Shared>,
    written: Arc<Signal>,
    drained: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.abandon(self.drained);
        self.written.give();
    }
}

/// Becomes the owner. One that is just going may leave the lock behind for a moment, in a child that it has started.
fn own(files: &Files) -> Result<File, OpenError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = files.own().map_err(OpenError::Directory)? {
            return Ok(lock);
        }
        Signal::new().wait(LOCK_PAUSE);
    }
    Err(OpenError::Owned)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

#[async_trait]
impl EventLog for SqliteLog {
    fn epoch(&self) -> Epoch {
        self.shared.epoch()
    }

    fn head(&self) -> Offset {
        self.shared.head()
    }

    fn follow(&self, listener: Arc<dyn CommitListener>) -> Offset {
        let mut listeners = self.shared.publish.lock();
        listeners.push(listener);
        self.shared.head()
    }

    async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        let Enqueued { records, done, wake, tell, lost } = self.place(&mut append).await?;
        if wake {
            self.shared.wake();
        }
        if lost > 0 {
            self.shared.counters.lost(lost);
        }
        if tell {
            self.shared.tell();
        }
        let stored = done.await.map_err(|_| AppendError::Unavailable(CLOSED.to_owned()))?;
        Ok(Appended { records, stored })
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        self.shared.readers.read(range, self.shared.head()).await
    }

    async fn find(&self, execution: &ExecutionId) -> Result<ExecutionInfo, LookupError> {
        let shown = self.shared.shown();
        let live = self.shared.sequencer.lock().find(execution, shown);
        match live {
            Some(info) => Ok(info),
            None => self.shared.readers.find(execution).await,
        }
    }

    async fn state(&self, execution: &ExecutionId) -> Result<(ExecutionState, Cursor), LookupError> {
        let shown = self.shared.shown();
        let live = self.shared.sequencer.lock().state(execution, shown);
        let Some(live) = live else {
            // Nothing follows in a run that ended: its state is that of any later head, too.
            let head = self.shared.head();
            let state = self.shared.readers.state(execution, head).await?;
            return Ok((state, self.shared.epoch().at(head)));
        };
        if let Some(done) = live.done {
            done.await.map_err(|_| LookupError::Unavailable(CLOSED.to_owned()))?;
        }
        // What is shown and not stored has no cursor; who goes on from the head meets it again, and the fold passes over it.
        let at = live.at.min(self.shared.head());
        Ok((Arc::unwrap_or_clone(live.state), self.shared.epoch().at(at)))
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        let mut runs = self.shared.readers.list(query).await?;
        // What the store can't take at present is listed all the same; which of it is on which page tells the store alone.
        let ahead = self.shared.sequencer.lock().ahead(self.shared.head(), self.shared.shown());
        let fits = |run: &RunSummary| {
            query.status.as_ref().is_none_or(|status| &run.status == status)
                && !(query.unfinished && run.status.is_terminal())
        };
        for mut run in ahead.into_iter().rev() {
            let known = runs.iter().position(|known| known.execution_id == run.execution_id);
            if let Some(known) = known {
                run.pinned = runs.remove(known).pinned;
            }
            match known {
                _ if !fits(&run) => {}
                Some(known) => runs.insert(known, run),
                None if query.before.is_none() => runs.insert(0, run),
                None => {}
            }
        }
        runs.truncate(query.limit);
        Ok(runs)
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Option<Bytes>, LookupError> {
        let shown = self.shared.shown();
        let waiting = self.shared.sequencer.lock().record(execution, seq, shown);
        if let Some(attachment) = waiting.and_then(|record| record.attachment.clone()) {
            return Ok(Some(attachment));
        }
        self.shared.readers.output(execution, seq, self.shared.head()).await
    }

    async fn remove(&self, root: &ExecutionId) -> Result<(), RemoveError> {
        self.job(|done| Job::Remove { root: root.clone(), done }).await
    }

    async fn pin(&self, root: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        self.job(|done| Job::Pin { id: root.clone(), pinned, done }).await
    }

    fn health(&self) -> Option<LogProblem> {
        self.shared.problem()
    }

    fn stats(&self) -> LogStats {
        let queued = self.shared.sequencer.lock().bytes();
        let shared = &*self.shared;
        stats::gather(
            &shared.counters,
            &shared.readers,
            &shared.files.main,
            queued,
            shared.options.queue_bytes,
        )
    }
}

impl std::fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLog").field("epoch", &self.shared.epoch()).finish_non_exhaustive()
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.end(Stop::AtOnce);
    }
}

// === impl OpenError ===

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Files(error) => Self::Directory(error),
            StoreError::Schema(error @ SchemaError::Sqlite(_)) => {
                Self::Store(StoreError::Schema(error).words())
            }
            StoreError::Schema(error) => Self::Foreign(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
