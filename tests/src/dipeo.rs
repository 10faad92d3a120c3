//! The `dipeo` command.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

/// The program: the one that `DIPEO_BIN` names, else one that is built now, once per test process.
///
/// # Panics
///
/// When it can't be built.
pub fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| std::env::var_os("DIPEO_BIN").map_or_else(build, PathBuf::from))
}

/// A call of the program that the environment of the test doesn't change. Its data directory is one of its own, below the
/// directory that it is called in.
#[must_use]
pub fn command() -> Command {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let mut command = Command::new(bin());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("DIPEO_") || name_text.starts_with("CLICOLOR") {
            command.env_remove(name);
        }
    }
    command.env("DIPEO_DATA_DIR", format!(".data-{}", CALLS.fetch_add(1, Ordering::Relaxed)));
    command.env_remove("RUST_LOG").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// What became of a call.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Calls `dipeo ARGS` in `dir`, with `data` as its data directory, and waits for its end.
///
/// # Panics
///
/// When it does not end, or is killed.
pub async fn call(dir: &Path, data: &Path, args: &[&str]) -> Outcome {
    let mut command = command_on(data);
    command.args(args).current_dir(dir);
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(crate::wait::PATIENCE, output).await.expect("dipeo ends").unwrap();
    Outcome {
        code: output.status.code().unwrap_or_else(|| panic!("dipeo was killed: {}", output.status)),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// As [`command`], with `data` as data directory.
#[must_use]
pub fn command_on(data: &Path) -> Command {
    let mut command = command();
    command.env("DIPEO_DATA_DIR", data);
    command
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "cli", "--bin", "dipeo", "--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "dipeo can't be built: {}", output.status);
    let messages = String::from_utf8(output.stdout).unwrap();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the program that it built")
}
