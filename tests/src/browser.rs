//! A real browser.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");

/// A script that drives Chromium; its observations come line by line. Killed when dropped.
#[derive(Debug)]
pub struct Script {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Script {
    /// Starts a script of `tests/browser`.
    ///
    /// # Panics
    ///
    /// When there is no node.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let chromium =
            std::env::var("DIPEO_TEST_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        let mut child = Command::new("node")
            .arg(format!("{SCRIPTS}/{name}"))
            .arg(chromium)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("browser tests need node, chromium and playwright-core: run `cargo xtask test` once");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Its next observation.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn observe(&mut self) -> Value {
        let line = self
            .lines
            .next()
            .expect("the script ended early; is playwright-core installed? run `cargo xtask test` once");
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    /// Lets it go on, where it waits for that.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
