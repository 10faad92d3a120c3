//! Files and texts that come from outside.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{error::CliError, text};

/// Most bytes of a file with inputs.
const MAX_INPUT_BYTES: usize = 8 << 20;

/// Longest name of a diagram, in bytes.
const MAX_NAME_BYTES: usize = 1000;

/// A diagram's text and what errors call it.
#[derive(Debug)]
pub(crate) struct DiagramText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Reads a diagram's file, or standard input for `-`.
pub(crate) fn diagram(path: &Path) -> Result<DiagramText, CliError> {
    let name = name_of(path);
    let text = read_text(path, &name, diagram::MAX_TEXT_BYTES)?;
    if text.trim().is_empty() {
        return Err(CliError::Usage(format!("{name}: the file is empty; a diagram is expected")));
    }
    Ok(DiagramText { name, text })
}

/// Reads the variables of a run from a file or from an argument; at most one of them is given.
pub(crate) fn inputs(file: Option<&Path>, argument: Option<&str>) -> Result<Map<String, Value>, CliError> {
    match (file, argument) {
        (Some(path), _) => {
            let name = name_of(path);
            object(&read_text(path, &name, MAX_INPUT_BYTES)?, &name)
        }
        (None, Some(json)) => object(json, "--input-data"),
        (None, None) => Ok(Map::new()),
    }
}

/// The directory where relative paths start, absolute.
pub(crate) fn base_dir(given: Option<&Path>) -> Result<PathBuf, CliError> {
    let path = given.unwrap_or(Path::new("."));
    let name = name_of(path);
    let absolute = path.canonicalize().map_err(|error| unreadable(&name, &error))?;
    if absolute.is_dir() { Ok(absolute) } else { Err(CliError::Usage(format!("{name}: it is no directory"))) }
}

fn object(json: &str, name: &str) -> Result<Map<String, Value>, CliError> {
    match serde_json::from_str(json) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => {
            let kind = match other {
                Value::Array(_) => "an array",
                Value::String(_) => "a text",
                Value::Number(_) => "a number",
                Value::Bool(_) => "a truth value",
                Value::Null | Value::Object(_) => "null",
            };
            Err(CliError::Usage(format!("{name}:1:1: a JSON object is expected, and this is {kind}")))
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let problem = error.to_string();
            let place = format!(" at line {line} column {column}");
            let problem = problem.strip_suffix(&place).unwrap_or(&problem);
            Err(CliError::Usage(format!("{name}:{line}:{column}: this is no JSON: {problem}")))
        }
    }
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") {
        return "<stdin>".to_owned();
    }
    text::bounded(&text::line(&path.to_string_lossy()), MAX_NAME_BYTES)
}

fn read_text(path: &Path, name: &str, limit: usize) -> Result<String, CliError> {
    let failed = |error: io::Error| unreadable(name, &error);
    // One byte more than allowed, so that files without a size (devices, pipes) are bounded too.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(CliError::Usage(format!("{name}: it is a directory; a file is expected")));
        }
        file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() > limit {
        let limit = limit >> 20;
        return Err(CliError::Usage(format!(
            "{name}: the file has more than {limit} MiB, which is the limit"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(good.get(start..).unwrap_or_default()).chars().count();
        CliError::Usage(format!("{name}:{line}:{column}: this is no UTF-8 text"))
    })
}

fn unreadable(name: &str, error: &io::Error) -> CliError {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "there is no permission to read it".to_owned(),
        _ => error.to_string(),
    };
    CliError::Usage(format!("{name}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(inputs: Result<Map<String, Value>, CliError>) -> String {
        inputs.unwrap_err().to_string()
    }

    #[test]
    fn inputs_say_where_they_are_wrong() {
        assert_eq!(inputs(None, None).unwrap(), Map::new());
        assert_eq!(inputs(None, Some(r#"{"a": 1}"#)).unwrap()["a"], 1);
        assert_eq!(
            error(inputs(None, Some("{\n  \"a\": 1,\n  b\n}"))),
            "--input-data:3:3: this is no JSON: key must be a string"
        );
        assert_eq!(
            error(inputs(None, Some("[1]"))),
            "--input-data:1:1: a JSON object is expected, and this is an array"
        );
        assert!(error(inputs(None, Some(""))).starts_with("--input-data:1:0: this is no JSON: EOF"));
    }

    #[test]
    fn files_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let text = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            diagram(&path).map(|read| read.text).map_err(|error| error.to_string())
        };
        assert_eq!(text(b"nodes: []").unwrap(), "nodes: []");
        assert!(text(b" \n").unwrap_err().ends_with("a.yaml: the file is empty; a diagram is expected"));
        assert!(text("a\nü\u{fffd}".as_bytes()).is_ok());
        assert!(text(b"a\n\xc3\xbcb\xff").unwrap_err().ends_with("a.yaml:2:3: this is no UTF-8 text"));
        assert!(text(&vec![b' '; (8 << 20) + 1]).unwrap_err().contains("more than 8 MiB"));
        let error = diagram(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("it is a directory; a file is expected"), "{error}");
        let error = diagram(&dir.path().join("none\x1b")).unwrap_err().to_string();
        assert!(error.ends_with("none␛: there is no such file"), "{error}");
        // Endless, and without a size.
        assert!(diagram(Path::new("/dev/zero")).unwrap_err().to_string().contains("more than 8 MiB"));
    }

    #[test]
    fn a_base_directory_is_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(base_dir(Some(dir.path())).unwrap(), dir.path().canonicalize().unwrap());
        assert!(base_dir(Some(&dir.path().join("none"))).is_err());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(base_dir(Some(&file)).unwrap_err().to_string().ends_with("it is no directory"));
    }
}
