//! Python code.
//!
//! **Inline.** When the code defines the function (`main`, or what `functionName` says) at its top level, that function
//! is called with one dict. Otherwise the code runs with one global name per input, and answers with its variable
//! `result`, or with a top-level `return`. Besides the inputs there are `inputs` (all of them), `node_id` and `globals`
//! (the execution's variables), unless an input has that name.
//!
//! **From a file.** The module is loaded, with its directory and the base directory on `sys.path`, and its function is
//! called with one dict. A coroutine is awaited, here and inline.
//!
//! The dict has the inputs; it also answers for the keys `inputs`, `node_id` and `globals`. An input that is a text with
//! JSON of a list or map in it arrives as that list or map.
//!
//! The answer travels as JSON on a socket of its own, so that `print` doesn't disturb it. Tuples and sets become lists,
//! bytes text, keys as in `json.dumps`, other foreign objects `str(…)`; numbers that JSON lacks (nan, infinity) and whole
//! numbers beyond 64 bits fail the node. `sys.exit()` without a status ends the code like its last line. An exception fails it with `ValueError: boom (line 3)`; the traceback goes to the log.

use core_events::limits::{self, MAX_NESTING, MAX_OUTPUT_BYTES};
use diagram::CodeSource;
use serde_json::{Map, Value, json};

use super::{Program, bad_end, find};
use crate::{
    inputs,
    process::{Answer, Job},
};

/// Runs in the program's process.
const DRIVER: &str = include_str!("driver.py");

/// The first byte of an answer.
const RESULT: u8 = b'R';
const ERROR: u8 = b'E';

pub(super) async fn run(program: &Program) -> Result<Value, String> {
    let python = find("python3")?;
    let file = program.file()?;
    let code = match &program.job.source {
        CodeSource::Inline(code) => Some(code.as_str()),
        CodeSource::File { .. } => None,
    };
    let question = json!({
        "code": code,
        "path": file.as_deref().map(|file| file.to_string_lossy()),
        "label": program.label,
        "function": program.job.function,
        "inputs": inputs::to_map(&program.inputs),
        "globals": Map::clone(&program.variables),
        "node_id": program.node_id,
        "base_dir": program.base_dir.to_string_lossy(),
        "max_bytes": MAX_OUTPUT_BYTES,
        "too_long": inputs::too_long(),
    });
    let job = Job {
        program: python,
        arguments: ["-u", "-c", DRIVER].into_iter().map(Into::into).collect(),
        environment: vec![("PYTHONUNBUFFERED".into(), "1".into())],
        directory: program.base_dir.to_path_buf(),
        answer: Answer::Socket { question: question.to_string().into_bytes() },
        time_limit: program.time_limit(),
    };
    let finished = program.run(job).await?;
    match finished.answer.split_first() {
        Some((&RESULT, json)) => read(json),
        Some((&ERROR, message)) => {
            Err(limits::head(&String::from_utf8_lossy(message), limits::MAX_TEXT_BYTES).to_owned())
        }
        _ => Err(bad_end("python3", &finished, " before it had a result")),
    }
}

fn read(json: &[u8]) -> Result<Value, String> {
    // The reader gives up a little above our own limit of nesting; it has no type for that error.
    let depth = |text: &str| text.contains("recursion limit");
    serde_json::from_slice(json).map_err(|error| match error.to_string() {
        text if depth(&text) => inputs::too_deep(),
        text => format!("the result can't be handed on as JSON: {text}"),
    })
}

const _: () = assert!(MAX_NESTING < 127, "the JSON reader must reach deeper than values may nest");
