//! `dipeo validate`.

use std::path::Path;

use diagram::{Diagnostic, ExecutableDiagram, load_light};
use serde_json::{Value, json};

use crate::{args::ValidateArgs, error::CliError, exit::Exit, input, screen::Screen, text};

/// What was found in one file.
enum Finding {
    /// It can run.
    Good { name: String, diagram: Box<ExecutableDiagram> },
    /// It can't.
    Faulty { name: String, faults: diagram::Diagnostics },
    /// It is no text.
    Unreadable { path: String, error: CliError },
}

/// Checks every file, and says of each what is wrong with it.
pub(crate) fn validate(args: &ValidateArgs, screen: &Screen) -> Exit {
    let mut exit = Exit::Done;
    for path in &args.files {
        let finding = check(path);
        if !matches!(finding, Finding::Good { .. }) {
            exit = Exit::Refused;
        }
        if args.json {
            screen.out(finding.json().to_string().as_bytes());
        } else {
            finding.show(screen);
        }
    }
    exit
}

fn check(path: &Path) -> Finding {
    match input::diagram(path) {
        Ok(read) => match load_light(&read.text, &read.name) {
            Ok(diagram) => Finding::Good { name: read.name, diagram: Box::new(diagram) },
            Err(faults) => Finding::Faulty { name: read.name, faults },
        },
        Err(error) => Finding::Unreadable { path: path.to_string_lossy().into_owned(), error },
    }
}

// === impl Finding ===

impl Finding {
    fn show(&self, screen: &Screen) {
        match self {
            Self::Good { name, diagram } => {
                for warning in diagram.warnings() {
                    screen.err(&warning.to_string());
                }
                let (nodes, edges) = (diagram.nodes().len(), diagram.edges().len());
                let line = format!("{name}: ok ({nodes} nodes, {edges} connections)");
                screen.out(text::line(&line).as_bytes());
            }
            Self::Faulty { faults, .. } => screen.err(&faults.to_string()),
            Self::Unreadable { error, .. } => screen.err(&format!("error: {error}")),
        }
    }

    fn json(&self) -> Value {
        let list = |list: Vec<&Diagnostic>| list.into_iter().map(fault).collect::<Vec<_>>();
        match self {
            Self::Good { name, diagram } => json!({
                "file": name,
                "ok": true,
                "nodes": diagram.nodes().len(),
                "connections": diagram.edges().len(),
                "errors": [],
                "warnings": list(diagram.warnings().iter().collect()),
            }),
            Self::Faulty { name, faults } => json!({
                "file": name,
                "ok": false,
                "errors": list(faults.errors().collect()),
                "warnings": list(faults.warnings().collect()),
                "more": faults.dropped(),
            }),
            Self::Unreadable { path, error } => json!({
                "file": path,
                "ok": false,
                "errors": [{ "line": null, "column": null, "message": error.to_string(), "help": null }],
                "warnings": [],
            }),
        }
    }
}

fn fault(fault: &Diagnostic) -> Value {
    let place = (fault.location != diagram::Location::NOWHERE).then_some(fault.location);
    json!({
        "line": place.map(|at| at.line),
        "column": place.map(|at| at.column),
        "message": fault.message,
        "help": fault.help,
    })
}
