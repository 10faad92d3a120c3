//! Process groups, and their end.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use parking_lot::Mutex;
use tokio::{process::Child, time::sleep};

use super::{DEATH, Guardian, leader};

/// A program's process group. Dropping it kills what is left of it.
#[derive(Debug)]
pub(super) struct Group {
    id: Pid,
    /// Whether it was killed. Then its number may soon be another's: it must not be killed again.
    killed: bool,
    guardian: Arc<Guardian>,
    groups: Groups,
}

/// The groups of one run that may have living members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    ids: Arc<Mutex<BTreeSet<Pid>>>,
}

/// Groups whose end somebody waits for.
#[derive(Debug)]
pub(crate) struct Ending {
    ids: Vec<Pid>,
}

// === impl Group ===

impl Group {
    /// Takes charge of the group that `child` leads, and tells the guardian.
    pub(super) fn of(child: &Child, guardian: &Arc<Guardian>, groups: &Groups) -> io::Result<Self> {
        let id = leader(child)?;
        groups.ids.lock().insert(id);
        let group = Self { id, killed: false, guardian: Arc::clone(guardian), groups: groups.clone() };
        group.guardian.add(id)?;
        Ok(group)
    }

    /// Kills every member. To be called before or right after the leader was reaped, while the number is still theirs.
    pub(super) fn kill(&mut self) {
        if !self.killed {
            self.killed = true;
            kill(self.id);
        }
    }

    /// Waits until no member lives, or too long.
    pub(super) async fn gone(&self) {
        wait_for(&[self.id]).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        self.guardian.remove(self.id);
        self.groups.ids.lock().remove(&self.id);
    }
}

// === impl Groups, Ending ===

impl Groups {
    pub(crate) fn snapshot(&self) -> Ending {
        Ending { ids: self.ids.lock().iter().copied().collect() }
    }
}

impl Ending {
    #[cfg(test)]
    pub(super) const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Waits until no member lives, or too long.
    pub(crate) async fn gone(&self) {
        wait_for(&self.ids).await;
    }
}

fn kill(group: Pid) {
    match killpg(group, Signal::SIGKILL) {
        // No such group: all of it is gone already.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!(%group, %error, "a process group can't be killed"),
    }
}

async fn wait_for(groups: &[Pid]) {
    let mut pause = Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    while groups.iter().any(|&group| lives(group)) {
        if waited >= DEATH {
            tracing::warn!(?groups, "killed processes are still there");
            return;
        }
        sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn lives(group: Pid) -> bool {
    killpg(group, None).is_ok() && has_living_member(group)
}

/// Members that are dead but not reaped by whoever inherited them don't count: that may take for ever.
#[cfg(target_os = "linux")]
fn has_living_member(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    processes.flatten().any(|process| {
        let is_process =
            process.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        let stat = if is_process { std::fs::read_to_string(process.path().join("stat")).ok() } else { None };
        // pid (name) state ppid pgrp …; the name may hold anything.
        let mut fields =
            stat.as_deref().and_then(|stat| stat.rsplit_once(") ")).map_or("", |(_, rest)| rest).split(' ');
        let dead = matches!(fields.next(), None | Some("" | "Z" | "X" | "x"));
        !dead && fields.nth(1).and_then(|id| id.parse().ok()).map(Pid::from_raw) == Some(group)
    })
}

#[cfg(not(target_os = "linux"))]
fn has_living_member(_group: Pid) -> bool {
    true
}
