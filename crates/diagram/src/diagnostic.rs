//! Faults with their places.

use std::{fmt, sync::Arc};

use core_events::limits;

use crate::nearest;

/// Most errors, and most warnings, that one file is given in full; the rest is counted.
const MAX_EACH: usize = 100;

/// A place in a text: line and column, both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Line, from 1; 0 when the thing has no place ([`Location::NOWHERE`]).
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The diagram can't run.
    Error,
    /// The diagram runs, though perhaps not as meant.
    Warning,
}

/// One fault: where, what, and what would be right.
///
/// Displays as `file:line:column: error: message`, and a second line `  help: …` if there is help. No final newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the diagram can still run.
    pub severity: Severity,
    /// The file as its caller named it.
    pub file: Arc<str>,
    /// Where in it.
    pub location: Location,
    /// What is wrong: one lowercase sentence without final period.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// The faults of one file, sorted by place; at least one of them is an error when it comes as an `Err`.
///
/// At most 100 errors and 100 warnings are kept; [`Diagnostics::dropped`] tells how many more there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    dropped: usize,
}

/// Collects the faults of one file.
#[derive(Debug)]
pub(crate) struct Report {
    file: Arc<str>,
    list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    dropped: usize,
    search: nearest::Budget,
}

/// A text that quotes megabytes of the file helps nobody: its middle goes.
fn clipped(text: String) -> String {
    const LONGEST: usize = 2_000;
    const TAIL: usize = 300;
    if text.len() <= LONGEST {
        return text;
    }
    let head = limits::head(&text, LONGEST - TAIL);
    let tail = text.get(text.ceil_char_boundary(text.len() - TAIL)..).unwrap_or_default();
    format!("{head} … {tail}")
}

// === impl Location ===

impl Location {
    /// The place of what no text holds, for instance of a node that a program built.
    pub const NOWHERE: Self = Self { line: 0, column: 0 };

    /// The beginning of a text.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

// === impl Severity ===

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// The file is filled in by [`Report::push`].
    fn new(severity: Severity, location: Location, message: impl Into<String>) -> Self {
        Self { severity, file: "".into(), location, message: message.into(), help: None }
    }

    pub(crate) fn error(location: Location, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, location, message)
    }

    pub(crate) fn warning(location: Location, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, location, message)
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.location != Location::NOWHERE {
            write!(f, ":{}", self.location)?;
        }
        write!(f, ": {}: {}", self.severity, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

// === impl Diagnostics ===

impl Diagnostics {
    /// All that were kept, by place.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// The errors among them.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.iter().filter(|d| d.severity == Severity::Error)
    }

    /// The warnings among them.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.iter().filter(|d| d.severity == Severity::Warning)
    }

    /// How many there were beyond those that were kept.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        match self.dropped {
            0 => Ok(()),
            n => write!(f, "\nand {n} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

// === impl Report ===

impl Report {
    pub(crate) fn new(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            list: Vec::new(),
            errors: 0,
            warnings: 0,
            dropped: 0,
            search: nearest::Budget::default(),
        }
    }

    pub(crate) fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let count = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count > MAX_EACH {
            self.dropped += 1;
        } else {
            let Diagnostic { severity, location, message, help, .. } = diagnostic;
            let (message, help) = (clipped(message), help.map(clipped));
            self.list.push(Diagnostic { severity, file: Arc::clone(&self.file), location, message, help });
        }
    }

    pub(crate) const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The candidate most like `name`, if one is like it. Gives up after a bounded amount of work per file, so that
    /// a large file full of faults can't keep us busy.
    pub(crate) fn nearest<'a>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        self.search.nearest(name, candidates)
    }

    /// The warnings if there are no errors, else everything.
    pub(crate) fn finish(mut self) -> Result<Vec<Diagnostic>, Diagnostics> {
        self.list
            .sort_by(|a, b| (a.location, a.severity, &a.message).cmp(&(b.location, b.severity, &b.message)));
        self.list.dedup();
        if self.errors == 0 {
            Ok(self.list)
        } else {
            Err(Diagnostics { list: self.list, dropped: self.dropped })
        }
    }
}
