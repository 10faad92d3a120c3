//! The project's own tasks: `cargo xtask help`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to a terminal")]

mod arrows;
mod parity;
mod test;
mod without_legacy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask TASK

  test [--long]   set up what the tests need and run all of them; --long with soak sizes
  parity          compare what both monitoring paths say of the same runs
  without-legacy  delete the legacy path in a temporary copy, and pass all tests that are left
  arrows          check that crates depend on each other only as docs/architecture.md says
  help            this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["test"] => test::run(false),
        ["test", "--long"] => test::run(true),
        ["parity"] => parity::run(),
        ["without-legacy"] => without_legacy::run(),
        ["arrows"] => arrows::run(),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("unknown task `{}`\n\n{HELP}", other.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
