//! Threads that read the store, apart from the one that writes it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{faults, schema};

/// So many requests wait for a thread; more wait to be among these.
const QUEUE: usize = 256;
/// How long a reader waits for a lock. In WAL mode it meets one only while the file is recovered or replaced.
const BUSY: Duration = Duration::from_secs(1);
/// Pages that a connection keeps, in KiB (negative by SQLite's convention): the inner pages of the trees, and what several
/// readers that go through the same run want one after the other.
const CACHE_KIB: i32 = -4_096;

/// Why the store could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// SQLite says so.
    #[error("{}", faults::words(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// What was read is not what was written.
    #[error("the event at position {offset} can't be read: {problem}")]
    Event {
        /// Which.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The log was closed.
    #[error("it was closed")]
    Closed,
}

/// Told when a reader meets a damaged store.
pub(crate) type OnDamage = Arc<dyn Fn() + Send + Sync>;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// A few threads, each with a connection of its own that can't write.
///
/// # Closing
///
/// Requests that were taken by then are answered; [`close`](Self::close) and dropping wait for them.
pub(crate) struct Pool {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    path: PathBuf,
    /// Grows whenever another file takes the place of the one that is open.
    generation: AtomicU64,
    reads: AtomicU64,
    /// Where the system counts what each thread reads.
    counts: Mutex<Vec<PathBuf>>,
    damage: OnDamage,
}

/// A thread's connection, opened when it is first needed.
struct Session {
    shared: Arc<Shared>,
    open: Option<(u64, Connection)>,
}

// === impl Pool ===

impl Pool {
    /// Starts `threads` of them on the store at `path`, which is opened when it is first needed.
    pub(crate) fn start(path: PathBuf, threads: usize, damage: OnDamage) -> Self {
        let shared = Arc::new(Shared {
            path,
            generation: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            counts: Mutex::new(Vec::new()),
            damage,
        });
        let (sender, receiver) = mpsc::channel::<Job>(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let spawn = |n| {
            let (shared, receiver) = (Arc::clone(&shared), Arc::clone(&receiver));
            std::thread::Builder::new()
                .name(format!("log-reader-{n}"))
                .spawn(move || serve(shared, &receiver))
        };
        // Where the system gives fewer threads, those answer; where it gives none, every request says so.
        let threads = (0..threads.max(1))
            .filter_map(|n| {
                spawn(n).inspect_err(|error| tracing::error!(%error, "no thread to read the log")).ok()
            })
            .collect();
        Self { queue: Mutex::new(Some(sender)), shared, threads: Mutex::new(threads) }
    }

    /// Has `job` done by one of the threads. A request whose caller has gone by then is passed over.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Unreadable> + Send + 'static,
    ) -> Result<T, Unreadable> {
        let queue = self.queue.lock().clone().ok_or(Unreadable::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            if !reply.is_closed() {
                // Whoever went meanwhile does not want it.
                reply.send(session.answer(job)).ok();
            }
        });
        queue.send(job).await.map_err(|_| Unreadable::Closed)?;
        answer.await.map_err(|_| Unreadable::Closed)?
    }

    /// Has every thread open the store anew before it reads again: another file is there.
    pub(crate) fn reopen(&self) {
        self.shared.generation.fetch_add(1, Ordering::Release);
    }

    /// Requests answered so far.
    pub(crate) fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    /// Bytes that the threads took from files so far, as the system counts them; 0 where it does not.
    ///
    /// SQLite's own count of missed pages is not to be had without `unsafe`. Nothing is mapped into memory, so that
    /// every page that a connection lacks is read by the thread that wants it.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.shared.counts.lock().iter().filter_map(|path| read_count(path)).sum()
    }

    /// Answers what it has, and stops.
    pub(crate) fn close(&self) {
        self.queue.lock().take();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a reader of the log panicked");
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("reads", &self.reads()).finish_non_exhaustive()
    }
}

// === impl Session ===

impl Session {
    fn answer<T>(&mut self, job: impl FnOnce(&Connection) -> Result<T, Unreadable>) -> Result<T, Unreadable> {
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
        let answer = self.connection().and_then(job);
        if let Err(error) = &answer {
            // Whatever it was, the next request starts from the file.
            self.open = None;
            if error.is_damage() {
                (self.shared.damage)();
            }
        }
        answer
    }

    fn connection(&mut self) -> Result<&Connection, Unreadable> {
        let generation = self.shared.generation.load(Ordering::Acquire);
        let open = match self.open.take() {
            Some(open) if open.0 == generation => open,
            // The old one is closed first.
            _ => (generation, open(&self.shared.path)?),
        };
        Ok(&self.open.insert(open).1)
    }
}

fn serve(shared: Arc<Shared>, receiver: &Mutex<mpsc::Receiver<Job>>) {
    shared.counts.lock().extend(own_counts());
    let mut session = Session { shared, open: None };
    loop {
        // The lock is held while waiting: one thread waits for a request, the others for the lock.
        let job = receiver.lock().blocking_recv();
        match job {
            Some(job) => job(&mut session),
            None => return,
        }
    }
}

fn open(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let connection = schema::open_reader(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // A damaged page is noticed when it is read, rather than taken for a hole.
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

// === impl Unreadable ===

impl Unreadable {
    /// Whether the store is damaged. Only SQLite's own verdict counts: what follows from it is that the store is moved aside.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => faults::is_damage(error),
            Self::Event { .. } | Self::Closed => false,
        }
    }
}

/// The file in which the system counts what this thread reads.
fn own_counts() -> Option<PathBuf> {
    let task = std::fs::read_link("/proc/thread-self").ok()?;
    Some(PathBuf::from("/proc").join(task).join("io"))
}

fn read_count(path: &std::path::Path) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("rchar:")?.trim().parse().ok())
}
