//! Sets up what the tests need and runs all of them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Programs that tests start, with what to do when one is missing.
const PROGRAMS: &[(&[&str], &str)] = &[
    (&["python3"], "install Python 3"),
    (&["bash"], "install bash"),
    (&["node"], "install Node.js 20 or newer"),
    (&["npm"], "install npm"),
    (
        &["chromium", "chromium-browser", "google-chrome"],
        "install Chromium, on Debian: apt-get install chromium",
    ),
];

/// Runs every test of the workspace; `long` with soak sizes.
pub(crate) fn run(long: bool) -> Result<(), String> {
    let root = root()?;
    let missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(names, _)| find(names).is_none())
        .map(|(names, remedy)| format!("{}: {remedy}", names.join(" or ")))
        .collect();
    if !missing.is_empty() {
        return Err(format!("the tests need programs that are not on the PATH:\n  {}", missing.join("\n  ")));
    }
    let browser = root.join("tests/browser");
    if is_older(&browser.join("node_modules/.package-lock.json"), &browser.join("package-lock.json")) {
        step("npm", Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&browser))?;
    }
    step("build", cargo(&root).args(["build", "--package", "cli"]))?;
    let mut tests = cargo(&root);
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    if let Some(chromium) = find(&["chromium", "chromium-browser", "google-chrome"]) {
        tests.env("DIPEO_TEST_CHROMIUM", chromium);
    }
    if long {
        tests.env("DIPEO_LONG", "1");
    }
    step("test", &mut tests)?;
    step(
        "example",
        cargo(&root).args(["run", "--quiet", "--package", "tests", "--example", "webhook_adapter"]),
    )
}

/// Whether what was installed is not what is locked now.
fn is_older(installed: &Path, locked: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    time(installed) < time(locked)
}

pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root);
    command
}

pub(crate) fn root() -> Result<PathBuf, String> {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(Path::to_owned).ok_or_else(|| "xtask has no parent folder".to_owned())
}

pub(crate) fn step(name: &str, command: &mut Command) -> Result<(), String> {
    println!("xtask: {name}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} failed ({status})")),
        Err(error) => Err(format!("{name} could not be started: {error}")),
    }
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|p| p.is_file())
}
