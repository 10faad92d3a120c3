//! `code_job`: runs a program, `python` or `bash`, from the diagram or from a file.
//!
//! The program runs in the base directory, as long as `timeout` allows (30 s by default); then it and all that it
//! started are killed. What it writes to stdout and stderr is the node's log. See [`python`] and [`bash`] for what it
//! receives and how it answers.

mod bash;
mod python;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use core_events::limits;
use diagram::{CodeJobNode, CodeSource, Language};
use futures_util::FutureExt as _;
use serde_json::{Map, Value};

use super::{Execution, Work};
use crate::{
    inputs::{self, Inputs},
    process::{self, End, Finished, Groups, Guardian, Job},
    reporter::NodeLog,
    run::{Outcome, seconds},
    schedule::Exit,
};

/// What a program's run owns.
struct Program {
    job: CodeJobNode,
    node_id: String,
    label: String,
    inputs: Inputs,
    variables: Arc<Map<String, Value>>,
    base_dir: Arc<Path>,
    guardian: Arc<Guardian>,
    groups: Groups,
    log: NodeLog,
}

pub(super) fn begin(job: &CodeJobNode, execution: Execution<'_>) -> Work {
    let program = Program {
        job: job.clone(),
        node_id: execution.node.id.as_str().to_owned(),
        label: execution.node.label.clone(),
        inputs: execution.inputs,
        variables: Arc::clone(execution.variables),
        base_dir: Arc::clone(execution.base_dir),
        guardian: Arc::clone(execution.guardian),
        groups: execution.groups.clone(),
        log: execution.log,
    };
    Work::Waits(run(program).boxed())
}

async fn run(program: Program) -> Outcome {
    let value = match program.job.language {
        Language::Python => python::run(&program).await?,
        Language::Bash => bash::run(&program).await?,
    };
    Ok((value, Exit::Default))
}

// === impl Program ===

impl Program {
    /// Runs `job`; an end that says all by itself is already an error.
    async fn run(&self, job: Job) -> Result<Finished, String> {
        let program = job.program.clone();
        let directory = job.directory.clone();
        let finished = process::run(job, &self.log, &self.guardian, &self.groups).await.map_err(|error| {
            if directory.is_dir() {
                format!("can't start {}: {error}", program.display())
            } else {
                format!("the base directory {} is not there", directory.display())
            }
        })?;
        match finished.end {
            End::TimedOut => Err(format!("code execution timed out after {}", seconds(self.job.timeout))),
            End::TooLong => Err(inputs::too_long()),
            End::Exited(_) | End::Killed(_) => Ok(finished),
        }
    }

    /// The file that the node names, if it names one and it is there.
    fn file(&self) -> Result<Option<PathBuf>, String> {
        match &self.job.source {
            CodeSource::Inline(_) => Ok(None),
            CodeSource::File { path } => {
                let file = self.base_dir.join(path);
                match std::fs::metadata(&file) {
                    Ok(found) if found.is_file() => Ok(Some(file)),
                    Ok(_) => Err(format!("{} is no file", file.display())),
                    Err(error) => Err(format!("can't read {}: {error}", file.display())),
                }
            }
        }
    }

    const fn time_limit(&self) -> Duration {
        self.job.timeout
    }
}

fn find(program: &str) -> Result<PathBuf, String> {
    process::find_program(program)
        .ok_or_else(|| format!("{program} was not found; install it, or add its directory to PATH"))
}

/// How a program ended that should have gone on: `python3 exited with status 3: <the end of stderr>`.
fn bad_end(program: &str, finished: &Finished, what: &str) -> String {
    let how = match finished.end {
        End::Killed(signal) => format!("{program} was killed by {}{what}", process::signal_name(signal)),
        End::Exited(status) => format!("{program} exited with status {status}{what}"),
        End::TimedOut | End::TooLong => format!("{program} was stopped{what}"),
    };
    if finished.stderr.is_empty() {
        how
    } else {
        limits::head(&format!("{how}: {}", finished.stderr), limits::MAX_TEXT_BYTES).to_owned()
    }
}
