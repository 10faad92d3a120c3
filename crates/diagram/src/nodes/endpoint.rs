//! `endpoint`: ends a path and keeps its result.

use super::Fields;

/// Configuration of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct EndpointNode {
    /// Whether the result is also written to a file.
    pub save_to_file: bool,
    /// That file's path; relative paths are relative to the run's base directory.
    pub file_name: Option<String>,
}

pub(super) fn read(fields: &mut Fields<'_>) -> EndpointNode {
    EndpointNode {
        save_to_file: fields.boolean("save_to_file").unwrap_or_default(),
        file_name: fields.text("file_name").map(|name| name.value).filter(|name| !name.is_empty()),
    }
}
