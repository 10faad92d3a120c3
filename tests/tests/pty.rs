//! `dipeo run` on a terminal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    fs::File,
    io::Read,
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
};

use client::Client;
use core_events::{ExecutionId, NodeStatus};
use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use parking_lot::Mutex;
use tempfile::TempDir;
use tests::{browser::Script, diagrams, dipeo, wait};

const COLUMNS: u16 = 80;

/// `dipeo` with a terminal as its input and outputs. Killed when dropped.
struct Terminal {
    child: Child,
    /// All that was written to the terminal.
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let mut command = dipeo::command();
        command
            .args(args)
            .current_dir(dir)
            .env("TERM", "xterm-256color")
            .stdin(Stdio::from(pty.slave.try_clone().unwrap()))
            .stdout(Stdio::from(pty.slave.try_clone().unwrap()))
            .stderr(Stdio::from(pty.slave));
        let child = command.spawn().unwrap();
        // It holds our copies of the terminal's other side: without them the end of the child is the end of the output.
        drop(command);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut side, seen) = (File::from(pty.master), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux reports the end of a terminal as an error.
            while let Ok(count @ 1..) = side.read(&mut buffer) {
                seen.lock().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { child, screen }
    }

    /// What was written, without colours.
    fn seen(&self) -> String {
        let screen = self.screen.lock().clone();
        let mut plain = String::new();
        let mut parts = screen.split("\x1b[");
        plain.push_str(parts.next().unwrap());
        for part in parts {
            let (codes, text) = part.split_at(part.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0));
            // Only colours have no effect on where the text stands.
            if !text.starts_with('m') {
                plain.push('\n');
            }
            assert!(codes.chars().all(|c| c.is_ascii_digit() || matches!(c, ';' | '?')), "{codes:?}");
            plain.push_str(text.get(1..).unwrap_or_default());
        }
        plain
    }

    async fn shows(&self, text: &str) {
        wait::until(text, async || {
            let seen = self.seen();
            if seen.contains(text) { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    async fn end(&mut self) -> i32 {
        wait::until("the end of dipeo", async || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status.code().expect("it was not killed")),
            None => Err(self.screen.lock().clone()),
        })
        .await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn folder(diagram: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("d.yaml"), diagram).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_seen_at_work_before_it_is_done() {
    let dir = folder(&diagrams::bash("until test -e go; do sleep 0.02; done; echo found"));
    let mut terminal = Terminal::start(dir.path(), &["run", "d.yaml"]);
    terminal.shows("RUNNING Work").await;

    // The server says so too, and the file that the node waits for is not there yet.
    let seen = terminal.seen();
    let link = seen.split_whitespace().find(|word| word.starts_with("http://")).expect("a monitor link");
    let (server, id) = link.split_once("/executions/").unwrap();
    let client = Client::new(server).unwrap();
    let state = client.get(&ExecutionId::parse(id).unwrap()).await.unwrap().state;
    let work = state.nodes.values().find(|node| node.label.as_deref() == Some("Work")).unwrap();
    assert_eq!(work.status, NodeStatus::Running);
    assert!(!seen.contains("COMPLETED Work"), "{seen}");
    // So does the page.
    let (server, execution) = (server.to_owned(), id.to_owned());
    let (mut page, badge) = tokio::task::spawn_blocking(move || {
        let mut page = Script::start("badge.mjs", &[&server, &execution, "node_1"]);
        let badge = page.observe();
        (page, badge)
    })
    .await
    .unwrap();
    assert_eq!(badge["status"], "RUNNING");
    assert!(!dir.path().join("go").exists());

    std::fs::write(dir.path().join("go"), "").unwrap();
    let observed = tokio::task::spawn_blocking(move || {
        page.go_on();
        [page.observe(), page.observe()]
    });
    assert_eq!(terminal.end().await, 0);
    let [badge, end] = observed.await.unwrap();
    assert_eq!(
        (&badge["status"], &end["stream"]),
        (&"COMPLETED".into(), &"ended".into()),
        "the page got the end"
    );
    terminal.shows(&format!("COMPLETED {id} in ")).await;
    let seen = terminal.seen();
    assert!(seen.contains("LOG       Work | found"), "{seen}");
    assert!(seen.contains("COMPLETED Work ("), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_takes_the_live_part_away_and_says_how_it_ended() {
    let dir = folder(&diagrams::bash("sleep 1000"));
    let mut terminal = Terminal::start(dir.path(), &["run", "d.yaml"]);
    terminal.shows("RUNNING Work").await;
    kill(Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(terminal.end().await, 130);
    terminal.shows(" (interrupted): ").await;
    let seen = terminal.seen();
    assert!(seen.contains("ending the run; once more to leave at once"), "{seen}");
    assert!(seen.contains("ABORTED   exec_"), "{seen}");
    // Nothing of the live part is drawn after the end.
    let end = seen.rfind("ABORTED   exec_").unwrap();
    assert!(!seen[end..].contains("RUNNING"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_cut_to_the_terminal_and_can_not_control_it() {
    let long = "x".repeat(500);
    let dir =
        folder(&diagrams::bash(&format!("echo {long}; printf '\\033]0;title\\007\\033[2J\\n'; echo last")));
    let mut terminal = Terminal::start(dir.path(), &["run", "d.yaml"]);
    assert_eq!(terminal.end().await, 0);
    terminal.shows("result").await;
    let seen = terminal.seen();
    let line = seen.lines().find(|line| line.contains("xxxx")).unwrap_or_else(|| panic!("{seen}"));
    let x = line.matches('x').count();
    assert!(x > 20 && x < usize::from(COLUMNS) && line.contains('…'), "{line:?}");
    assert!(seen.contains("␛]0;title␇␛[2J"), "{seen}");
    assert!(!terminal.screen.lock().contains("\x1b]0;"));
}
