//! `endpoint`: ends a path and keeps its result.
//!
//! Its output is the map of its inputs; if that has only the key `default`, the value of it. With `save_to_file` it also
//! writes the output to a file: maps and lists as JSON with an indent of two, text as it is, other values as JSON text.
//! A relative path starts at the base directory; missing directories are made; without a name the file is
//! `output_<node id>.json`. Readers never see half a file. A failure to write fails the node.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use diagram::EndpointNode;
use futures_util::FutureExt as _;
use serde_json::Value;

use super::{Execution, Work};
use crate::{
    inputs::{self, DEFAULT, Inputs},
    schedule::Exit,
};

pub(super) fn begin(endpoint: &EndpointNode, execution: &Execution<'_>) -> Work {
    let output = output(&execution.inputs);
    if !endpoint.save_to_file {
        return Work::Done(Ok((output, Exit::Default)));
    }
    let name = match &endpoint.file_name {
        Some(name) => name.clone(),
        None => format!("output_{}.json", execution.node.id),
    };
    let path = execution.base_dir.join(name);
    let saving = tokio::task::spawn_blocking(move || {
        let written = text(&output).and_then(|text| save(&path, text.as_bytes()));
        match written {
            Ok(()) => Ok((output, Exit::Default)),
            Err(error) => Err(format!("can't write {}: {error}", path.display())),
        }
    });
    let saved =
        saving.map(|joined| joined.unwrap_or_else(|error| Err(format!("can't write the file: {error}"))));
    Work::Waits(saved.boxed())
}

fn output(inputs: &Inputs) -> Value {
    match inputs.get(DEFAULT) {
        Some(value) if inputs.len() == 1 => Value::clone(value),
        _ => Value::Object(inputs::to_map(inputs)),
    }
}

fn text(value: &Value) -> io::Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => serde_json::to_string_pretty(value)?,
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    })
}

/// Writes beside the file and renames, so that nobody reads half of it. What isn't a plain file (a device, a pipe) is
/// written to as it is, and a link stays a link.
fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, permissions): (PathBuf, _) = match fs::metadata(path) {
        Ok(found) if found.is_file() => (fs::canonicalize(path)?, found.permissions()),
        Ok(_) => return fs::write(path, bytes),
        Err(_) => (path.to_owned(), fs::Permissions::from_mode(0o666)),
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(directory)?;
    let mut file =
        tempfile::Builder::new().prefix(".output-").permissions(permissions).tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/out.json");
        save(&path, text(&json!({"x": [1]})).unwrap().as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"x\": [\n    1\n  ]\n}");
        save(&path, text(&json!("plain")).unwrap().as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "plain");
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1, "no left-over");
    }

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        save(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        save(Path::new("/dev/null"), b"nothing").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_directory_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(save(dir.path(), b"x").is_err());
    }
}
