//! `code_job`: runs a program.

use std::time::Duration;

use super::Fields;
use crate::diagnostic::Diagnostic;

/// The time that a program has when its node names none (or 0).
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Configuration of a node that runs a program.
#[derive(Debug, Clone)]
pub struct CodeJobNode {
    /// What runs it.
    pub language: Language,
    /// The program.
    pub source: CodeSource,
    /// The function to call.
    pub function: String,
    /// Whether the file names that function; else it is `main`.
    pub function_given: bool,
    /// How long it may take.
    pub timeout: Duration,
}

/// What runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `python`
    Python,
    /// `bash`, also called `shell`.
    Bash,
}

/// Where a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeSource {
    /// In the diagram.
    Inline(String),
    /// In a file of its own; a relative path is relative to the run's base directory.
    File {
        /// As the diagram names it.
        path: String,
    },
}

const LANGUAGES: [&str; 3] = ["python", "bash", "shell"];
const DEFAULT_FUNCTION: &str = "main";

// === impl CodeJobNode ===

impl CodeJobNode {
    /// A program in the diagram, with the default function and time.
    pub fn inline(language: Language, code: impl Into<String>) -> Self {
        Self {
            language,
            source: CodeSource::Inline(code.into()),
            function: DEFAULT_FUNCTION.to_owned(),
            function_given: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_>) -> CodeJobNode {
    let language = language(fields);
    let source = source(fields);
    let function = function(fields);
    CodeJobNode {
        source,
        function_given: function.is_some(),
        function: function.unwrap_or_else(|| DEFAULT_FUNCTION.to_owned()),
        timeout: fields.seconds("timeout").unwrap_or(DEFAULT_TIMEOUT),
        ..CodeJobNode::inline(language, "")
    }
}

fn language(fields: &mut Fields<'_>) -> Language {
    let Some(word) = fields.word("language") else { return Language::Python };
    let label = fields.label();
    let diagnostic = match word.value.as_str() {
        "python" => return Language::Python,
        "bash" | "shell" => return Language::Bash,
        "typescript" => {
            Diagnostic::error(word.at, format!("`{label}`: language `typescript` is not supported yet"))
                .help("use `python` or `bash`")
        }
        other => {
            let help = match fields.report().nearest(other, LANGUAGES) {
                Some(near) => format!("write `{near}`"),
                None => "write `python` or `bash`".to_owned(),
            };
            Diagnostic::error(word.at, format!("`{label}` has an unknown language `{other}`")).help(help)
        }
    };
    fields.report().push(diagnostic);
    Language::Python
}

/// `code` wins over a file; without either there is nothing to run.
fn source(fields: &mut Fields<'_>) -> CodeSource {
    let label = fields.label();
    let given_code = fields.value("code");
    let code = fields.text("code").filter(|code| !code.value.is_empty());
    let paths = [fields.text("filePath"), fields.text("file_path")];
    let path = paths.into_iter().flatten().find(|path| !path.value.is_empty());
    match (code, path) {
        (Some(code), None) => CodeSource::Inline(code.value),
        (None, Some(path)) => CodeSource::File { path: path.value },
        (Some(code), Some(path)) => {
            fields.report().push(
                Diagnostic::warning(path.at, format!("`{label}` has both `code` and a file: `code` runs"))
                    .help("remove one of them"),
            );
            CodeSource::Inline(code.value)
        }
        (None, None) => {
            // A `code` of the wrong type has been reported.
            if given_code.is_none_or(|code| code.text().is_some()) {
                let at = given_code.map_or(fields.location(), |code| code.at);
                fields.report().push(
                    Diagnostic::error(at, format!("`{label}` has nothing to run"))
                        .help("give it `code`, or `filePath` with the path of a file"),
                );
            }
            CodeSource::Inline(String::new())
        }
    }
}

fn function(fields: &mut Fields<'_>) -> Option<String> {
    let names = [fields.text("functionName"), fields.text("function_name")];
    names.into_iter().flatten().map(|name| name.value).find(|name| !name.is_empty())
}
