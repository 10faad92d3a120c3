//! Who owns the store, and which life of it this is (I7).

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use core_events::{Epoch, Offset, Timestamp};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::{options::Durability, schema};

/// The files of a store.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    dir: PathBuf,
    /// The main file.
    pub(crate) main: PathBuf,
}

/// What stands beside the store, so that a copy of it is told from itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sidecar {
    /// Of these the store has one in its `meta`; two while the second is being replaced by the first.
    sessions: Vec<String>,
    device: u64,
    inode: u64,
    /// The store had come at least so far.
    head: Offset,
    /// The main file was at least so large.
    bytes: u64,
}

/// The present session's half of it.
#[derive(Debug)]
pub(crate) struct Session {
    sidecar: Sidecar,
}

/// What stands at the path of the main file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// Nothing is wrong.
    None,
    /// It is shorter than it was.
    Shorter,
    /// It is empty, is missing, or is another file.
    Gone,
}

// === impl Files ===

impl Files {
    pub(crate) fn new(dir: &Path, main: PathBuf) -> Self {
        Self { dir: dir.to_owned(), main }
    }

    /// Makes the directory, and takes the lock that its owner holds for its life; `None` if somebody else has it.
    pub(crate) fn own(&self) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.dir)?;
        let lock = private()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.dir.join("owner.lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Makes the main file if it is missing, readable by its owner alone; SQLite gives its other files the same mode.
    ///
    /// Only while no connection is open: closing any descriptor of the file drops the locks that SQLite has on it.
    pub(crate) fn touch(&self) -> io::Result<()> {
        match private().write(true).create_new(true).open(&self.main) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(_) => Ok(()),
            Err(_) => fs::set_permissions(&self.main, fs::Permissions::from_mode(0o600)),
        }
    }

    /// Renames the files of a damaged store, so that a new one has room and nothing is lost for whoever may repair it.
    pub(crate) fn move_aside(&self, now: Timestamp) -> io::Result<()> {
        let seconds = now.as_micros() / 1_000_000;
        let name = |n: u32| {
            let suffix = if n == 0 { String::new() } else { format!("-{n}") };
            with_suffix(&self.main, &format!(".damaged-{seconds}{suffix}"))
        };
        let free = (0..).map(name).find(|path| !path.exists());
        let Some(target) = free else { return Ok(()) };
        for suffix in ["", "-wal", "-shm"] {
            match fs::rename(with_suffix(&self.main, suffix), with_suffix(&target, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn sidecar(&self) -> PathBuf {
        self.dir.join("log.session")
    }

    fn read_sidecar(&self) -> Option<Sidecar> {
        serde_json::from_slice(&fs::read(self.sidecar()).ok()?).ok()
    }

    fn write_sidecar(&self, sidecar: &Sidecar) -> io::Result<()> {
        let json = serde_json::to_vec(sidecar)?;
        let new = self.dir.join("log.session.new");
        let mut file = private().write(true).create(true).truncate(true).open(&new)?;
        io::Write::write_all(&mut file, &json)?;
        fs::rename(new, self.sidecar())
    }

    /// What the sidecar says of the main file, before it is opened.
    pub(crate) fn suspicion(&self) -> Suspicion {
        match (self.read_sidecar(), fs::metadata(&self.main)) {
            (Some(known), Ok(file)) if known.bytes > 0 && file.len() == 0 => Suspicion::Gone,
            (Some(known), Ok(file)) if file.len() < known.bytes => Suspicion::Shorter,
            _ => Suspicion::None,
        }
    }
}

// === impl Session ===

impl Session {
    /// Begins a session on a store that was just opened. Its epoch goes on if the store provably holds all that was handed out
    /// in it; else it is a new one. `boot` names the present life of the machine.
    pub(crate) fn begin(
        conn: &mut Connection,
        files: &Files,
        boot: Option<&str>,
        durability: Durability,
    ) -> rusqlite::Result<(Self, Epoch, Offset)> {
        let head = schema::head(conn)?;
        let session: Option<String> = schema::meta(conn, "session")?;
        let file = fs::metadata(&files.main).ok();
        let (device, inode, bytes) = file.map_or((0, 0, 0), |file| (file.dev(), file.ino(), file.len()));
        let same_store = files.read_sidecar().is_some_and(|known| {
            session.as_ref().is_some_and(|session| known.sessions.contains(session))
                && (known.device, known.inode) == (device, inode)
                && known.head <= head
        });
        let last_boot: Option<String> = schema::meta(conn, "boot")?;
        let clean = schema::meta(conn, "clean")? == Some(1_i64);
        let powered = schema::meta(conn, "power")? == Some(1_i64);
        let same_machine = boot.is_some() && last_boot.as_deref() == boot;
        let epoch: Option<String> = schema::meta(conn, "epoch")?;
        let epoch = epoch
            .and_then(|text| Epoch::parse(&text).ok())
            .filter(|_| same_store && (clean || powered || same_machine))
            .unwrap_or_else(Epoch::random);

        let next = Epoch::random().to_string();
        let sessions = std::iter::once(next.clone()).chain(session).collect();
        let mut sidecar = Sidecar { sessions, device, inode, head, bytes };
        // What can't be written here makes a new epoch next time; it is no reason not to begin.
        let told = files.write_sidecar(&sidecar);
        let tx = conn.transaction()?;
        schema::put_meta(&tx, "epoch", epoch.as_str())?;
        schema::put_meta(&tx, "session", &next)?;
        schema::put_meta(&tx, "boot", boot)?;
        schema::put_meta(&tx, "power", i64::from(durability == Durability::Power))?;
        schema::put_meta(&tx, "clean", 0_i64)?;
        tx.commit()?;
        sidecar.sessions.truncate(1);
        if let Err(error) = told.and_then(|()| files.write_sidecar(&sidecar)) {
            tracing::warn!(%error, "the session file can't be written; cursors may not outlive a restart");
        }
        Ok((Self { sidecar }, epoch, head))
    }

    /// Whether `conn`, which was opened anew, is the store of this session.
    pub(crate) fn is_of(&self, conn: &Connection) -> rusqlite::Result<bool> {
        let session: Option<String> = schema::meta(conn, "session")?;
        Ok(session.is_some() && session.as_ref() == self.sidecar.sessions.first())
    }

    /// Looks at the main file while it is open. It has its size by checkpoints of ours alone.
    pub(crate) fn suspicion(&self, files: &Files) -> Suspicion {
        match fs::metadata(&files.main) {
            Ok(file) if (file.dev(), file.ino()) != (self.sidecar.device, self.sidecar.inode) => {
                Suspicion::Gone
            }
            Ok(file) if file.len() == 0 && self.sidecar.bytes > 0 => Suspicion::Gone,
            Ok(file) if file.len() < self.sidecar.bytes => Suspicion::Shorter,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Suspicion::Gone,
            // What can't be looked at is no proof of anything; SQLite will say what it makes of it.
            _ => Suspicion::None,
        }
    }

    /// Keeps how far the store came, and how large it is if `resized`: after a checkpoint.
    pub(crate) fn progress(&mut self, files: &Files, head: Offset, resized: bool) {
        let before = self.sidecar.clone();
        self.sidecar.head = self.sidecar.head.max(head);
        if resized && let Ok(file) = fs::metadata(&files.main) {
            self.sidecar.bytes = file.len();
        }
        // A session file that is behind misses what was lost, and nothing more.
        if self.sidecar != before
            && let Err(error) = files.write_sidecar(&self.sidecar)
        {
            tracing::debug!(%error, "the session file can't be written");
        }
    }

    /// Ends a session well: all is stored and nothing will be. Also a copy made until now is told from the store from here on.
    pub(crate) fn end(&mut self, conn: &mut Connection, files: &Files, head: Offset) -> rusqlite::Result<()> {
        let next = Epoch::random().to_string();
        self.sidecar.sessions.insert(0, next.clone());
        self.sidecar.head = head;
        let told = files.write_sidecar(&self.sidecar);
        conn.pragma_update(None, "synchronous", "FULL")?;
        let tx = conn.transaction()?;
        schema::put_meta(&tx, "session", &next)?;
        schema::put_meta(&tx, "clean", 1_i64)?;
        schema::put_head(&tx, head)?;
        tx.commit()?;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.sidecar.sessions.truncate(1);
        self.sidecar.bytes = fs::metadata(&files.main).map_or(0, |file| file.len());
        if let Err(error) = told.and_then(|()| files.write_sidecar(&self.sidecar)) {
            tracing::warn!(%error, "the session file can't be written; cursors may not outlive a restart");
        }
        Ok(())
    }
}

/// Names the present life of the machine; `None` where it has no name.
pub(crate) fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}
