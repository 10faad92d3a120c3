//! Bash code.
//!
//! The script finds the names of its inputs in `INPUT_KEYS`, separated by blanks, and each value in `INPUT_<name>`: text
//! as it is, null as an empty text, everything else as JSON. What a shell's variable can't have in its name is `_` there:
//! the input `my data` is `my_data`. Its stdin is empty. Its output is what it writes to stdout,
//! without the blanks around it. A status other than zero fails the node with `bash exited with status 3:` and the last
//! lines of stderr.

use std::{ffi::OsString, io::Write as _};

use diagram::CodeSource;
use indexmap::IndexMap;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{Program, bad_end, find};
use crate::process::{Answer, End, Job};

/// What a system takes as one argument or variable, its name included; Linux has 128 KiB.
const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// What all inputs together may take, so that there is room for the rest of the environment.
const MAX_ENVIRONMENT: usize = 1024 * 1024;

pub(super) async fn run(program: &Program) -> Result<Value, String> {
    let bash = find("bash")?;
    let environment = environment(program)?;
    let mut arguments: Vec<OsString> = Vec::new();
    // Lives as long as the script runs.
    let mut _script: Option<NamedTempFile> = None;
    match (&program.job.source, program.file()?) {
        (_, Some(file)) => arguments.push(file.into()),
        (CodeSource::Inline(code), None) if code.len() <= MAX_ARGUMENT && !code.contains('\0') => {
            arguments.extend(["-c".into(), code.into(), program.label.replace('\0', "").into()]);
        }
        (CodeSource::Inline(code), None) => {
            let file =
                temporary(code).map_err(|error| format!("can't write the script to a file: {error}"))?;
            arguments.push(file.path().into());
            _script = Some(file);
        }
        (CodeSource::File { path }, None) => return Err(format!("{path} is no file")),
    }
    let job = Job {
        program: bash,
        arguments,
        environment,
        directory: program.base_dir.to_path_buf(),
        answer: Answer::Stdout,
        time_limit: program.time_limit(),
    };
    let finished = program.run(job).await?;
    match finished.end {
        End::Exited(0) => Ok(Value::String(String::from_utf8_lossy(&finished.answer).trim().to_owned())),
        _ => Err(bad_end("bash", &finished, "")),
    }
}

fn temporary(code: &str) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("dipeo-").suffix(".sh").tempfile()?;
    file.write_all(code.as_bytes())?;
    file.flush()?;
    Ok(file)
}

fn environment(program: &Program) -> Result<Vec<(OsString, OsString)>, String> {
    // The input that each variable is, by the variable's name.
    let mut inputs: IndexMap<String, &str> = IndexMap::new();
    for name in program.inputs.keys() {
        if let Some(other) = inputs.insert(variable(name), name) {
            return Err(format!(
                "the inputs `{other}` and `{name}` would both be `INPUT_{}`; label one connection differently",
                variable(name)
            ));
        }
    }
    let keys: Vec<&str> = inputs.keys().map(String::as_str).collect();
    let mut variables = vec![("INPUT_KEYS".to_owned(), keys.join(" "))];
    for (name, value) in &program.inputs {
        let text = match &**value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        variables.push((format!("INPUT_{}", variable(name)), text));
    }
    let mut total = 0;
    for (variable, text) in &variables {
        let size = variable.len() + text.len() + 2;
        total += size;
        if text.contains('\0') {
            return Err(format!(
                "`{variable}` would contain a NUL character, which an environment variable can't hold"
            ));
        }
        if size > MAX_ARGUMENT || total > MAX_ENVIRONMENT {
            return Err(format!(
                "the inputs are too large for bash: `{variable}` would have {} bytes, an environment variable holds \
                 {MAX_ARGUMENT} and all together {MAX_ENVIRONMENT}; hand them over in a file",
                text.len()
            ));
        }
    }
    Ok(variables.into_iter().map(|(name, text)| (name.into(), text.into())).collect())
}

/// A shell drops variables with other characters in their names.
fn variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
