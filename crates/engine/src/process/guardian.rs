//! The helper process that outlives us, to end what we started.

use std::{
    collections::BTreeSet,
    io::{self, PipeWriter, Write},
    process::Stdio,
};

use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::process::{Child, Command};

/// Reads `+group` and `-group` until we close the pipe, by our death at the latest; then kills the groups that are left.
/// It has a group of its own and ignores what a terminal or an impatient user sends.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
groups=' '
while read -r line; do
    group=${line#?}
    case $line in
        +*) groups="$groups$group " ;;
        -*) case $groups in
                *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
            esac ;;
    esac
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
"#;

/// Kills the process groups that are left when this process ends, however it ends.
#[derive(Debug, Default)]
pub(crate) struct Guardian {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeSet<Pid>,
    /// Started with the first group; started again when it has died.
    helper: Option<Helper>,
}

#[derive(Debug)]
struct Helper {
    /// Lines are far shorter than what a pipe takes in one piece, and the helper only reads: writing hardly waits.
    pipe: PipeWriter,
    /// Reaped by the runtime when dropped.
    _process: Child,
}

// === impl Guardian ===

impl Guardian {
    /// Returns when the guardian is sure to kill `group` after us.
    ///
    /// # Errors
    ///
    /// When there is no guardian and none can be started.
    pub(super) fn add(&self, group: Pid) -> io::Result<()> {
        let mut state = self.state.lock();
        state.groups.insert(group);
        if state.tell('+', group) {
            return Ok(());
        }
        let helper = Helper::start(&state.groups);
        if helper.is_err() {
            state.groups.remove(&group);
        }
        state.helper = Some(helper?);
        Ok(())
    }

    /// Forgets `group`, whose number may soon be another's.
    pub(super) fn remove(&self, group: Pid) {
        let mut state = self.state.lock();
        state.groups.remove(&group);
        if !state.tell('-', group) {
            // It is dead, and with it what it knew. The next one starts with what is left.
            state.helper = None;
        }
    }

    /// The process id of the helper, if it runs.
    #[cfg(test)]
    pub(super) fn helper(&self) -> Option<u32> {
        self.state.lock().helper.as_ref().and_then(|helper| helper._process.id())
    }
}

// === impl State ===

impl State {
    /// Whether a helper was there to hear it.
    fn tell(&mut self, sign: char, group: Pid) -> bool {
        self.helper
            .as_mut()
            .is_some_and(|helper| helper.pipe.write_all(format!("{sign}{group}\n").as_bytes()).is_ok())
    }
}

// === impl Helper ===

impl Helper {
    fn start(groups: &BTreeSet<Pid>) -> io::Result<Self> {
        let (reader, mut pipe) = io::pipe()?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "dipeo-guardian"]).current_dir("/").process_group(0);
        command.stdin(Stdio::from(reader)).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn()?;
        // Our copy of the reading end: with it, writing to a dead helper would succeed.
        drop(command);
        for group in groups {
            pipe.write_all(format!("+{group}\n").as_bytes())?;
        }
        Ok(Self { pipe, _process: process })
    }
}
