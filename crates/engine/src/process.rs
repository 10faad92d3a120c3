//! Runs programs.
//!
//! Each program has a process group of its own. The group is killed when the program ends, when its node ends for any
//! other reason, and, by the [`Guardian`], when we are killed ourselves; so nothing that a program started survives it,
//! except what left its group on purpose (`setsid`).
//!
//! A program is started through a gate (a line of `sh`) that waits until the guardian knows of the group: there is no
//! moment at which our death would leave it behind.

mod group;
mod guardian;
mod lines;
mod stream;

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream, unix::process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    io::{AsyncWriteExt as _, WriteHalf},
    net::UnixStream,
    process::{Child, Command},
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use self::{
    group::Group,
    stream::{Collected, StderrTail, collect, log_lines},
};
pub(crate) use self::{group::Groups, guardian::Guardian};
use crate::reporter::NodeLog;

/// Waits for the word that the guardian knows of us; at our death there is none.
const GATE_KEEPS_INPUT: &str = r#"read -r word && [ "$word" = go ] && exec "$@""#;
const GATE_CLOSES_INPUT: &str = r#"read -r word && [ "$word" = go ] && exec "$@" </dev/null"#;
const GO: &[u8] = b"go\n";

/// How long the end of a killed process may take: a kernel may be busy.
const DEATH: Duration = Duration::from_secs(2);

/// A program to run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: PathBuf,
    pub(crate) answer: Answer,
    pub(crate) time_limit: Duration,
}

/// How a program answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// By what it writes to stdout. Its stdin is empty.
    Stdout,
    /// On a socket at descriptor 0, from which it first reads this question up to its end.
    Socket { question: Vec<u8> },
}

/// What came of it. The whole group is gone.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) end: End,
    /// At most [`MAX_OUTPUT_BYTES`](core_events::limits::MAX_OUTPUT_BYTES); for [`Answer::Stdout`] with room for blanks around it.
    pub(crate) answer: Vec<u8>,
    /// The end of what it wrote to stderr.
    pub(crate) stderr: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Exited(i32),
    /// By a signal that was not ours.
    Killed(i32),
    /// It passed its time limit.
    TimedOut,
    /// Its answer was too long.
    TooLong,
}

/// Runs a program to its end; its lines go to `log`, each awaited, all before this returns.
///
/// Dropping the future kills the program's group at once.
///
/// # Errors
///
/// When it could not be started.
pub(crate) async fn run(
    job: Job,
    log: &NodeLog,
    guardian: &Arc<Guardian>,
    groups: &Groups,
) -> io::Result<Finished> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (answers, gate) = tokio::io::split(UnixStream::from_std(ours)?);

    let (script, question) = match job.answer {
        Answer::Stdout => (GATE_CLOSES_INPUT, None),
        Answer::Socket { question } => (GATE_KEEPS_INPUT, Some(question)),
    };
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(&job.program).args(&job.arguments).envs(job.environment);
    command.current_dir(&job.directory).stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    // It holds our copy of their end, and with it the answer's end would never come.
    drop(command);
    let mut group = Group::of(&child, guardian, groups)?;

    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("the program has no output"));
    };
    let (ended, has_ended) = watch::channel(false);
    let too_long = Notify::new();
    let mut answer = Collected::new(&too_long);
    let mut unasked = Collected::new(&too_long);
    let mut tail = StderrTail::default();
    let by_stdout = question.is_none();
    let (to_stdout, to_socket) =
        if by_stdout { (Some(&mut answer), &mut unasked) } else { (None, &mut answer) };

    let end = async {
        let end = tokio::select! {
            status = child.wait() => status.map(End::from),
            () = too_long.notified() => Ok(End::TooLong),
            () = sleep(job.time_limit) => Ok(End::TimedOut),
        };
        group.kill();
        reap(&mut child).await;
        // From now on the pipes hold what is left to read, and nothing more comes.
        ended.send_replace(true);
        end
    };
    let (end, (), (), (), ()) = tokio::join!(
        end,
        ask(gate, question, has_ended.clone()),
        log_lines(stdout, has_ended.clone(), log, stream::STDOUT, to_stdout, None),
        log_lines(stderr, has_ended.clone(), log, stream::STDERR, None, Some(&mut tail)),
        collect(answers, has_ended, to_socket),
    );
    group.gone().await;
    let end = if answer.overflowed { End::TooLong } else { end? };
    Ok(Finished { end, answer: answer.bytes, stderr: tail.text() })
}

/// Where a program is, by `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;

    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let is_program = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| is_program(file))
}

/// `SIGKILL (9)`
pub(crate) fn signal_name(number: i32) -> String {
    Signal::try_from(number)
        .map_or_else(|_| format!("signal {number}"), |signal| format!("{signal} ({number})"))
}

/// Opens the gate, asks the question, and says that it is complete.
async fn ask(mut gate: WriteHalf<UnixStream>, question: Option<Vec<u8>>, mut ended: watch::Receiver<bool>) {
    let asking = async {
        gate.write_all(GO).await?;
        gate.write_all(&question.unwrap_or_default()).await?;
        gate.shutdown().await
    };
    tokio::select! {
        // A program need not read its question; how it ended will tell.
        _ = asking => {}
        _ = ended.wait_for(|ended| *ended) => {}
    }
}

async fn reap(child: &mut Child) {
    // One that doesn't die in time is left to the runtime, which reaps it later.
    let _reaped = timeout(DEATH, child.wait()).await;
}

// === impl End ===

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Killed(signal.unwrap_or_default()),
        }
    }
}

/// The process group that `child` leads.
fn leader(child: &Child) -> io::Result<Pid> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    id.map(Pid::from_raw).ok_or_else(|| io::Error::other("the program has no process id"))
}

#[cfg(test)]
mod tests;
