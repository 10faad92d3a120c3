//! From declarations to the graph.

use crate::{
    diagnostic::{Diagnostic, Diagnostics, Report},
    graph::{EdgeDraft, ExecutableDiagram, GraphBuilder, NodeDraft, NodeIndex},
    model::{Diagram, Names, TypeName},
    nodes::{self, Fields, KNOWN_TYPES, SUPPORTED_TYPES},
};

/// Makes a graph of a diagram: types the nodes, connects them, checks the whole.
///
/// # Errors
///
/// All faults of the diagram at once, its warnings among them: node types that are unknown or not supported,
/// properties that are missing or wrong, and what [`GraphBuilder::build`] refuses.
pub fn compile(diagram: &Diagram) -> Result<ExecutableDiagram, Diagnostics> {
    let mut report = Report::new(diagram.file.as_ref());
    for warning in &diagram.warnings {
        report.push(warning.clone());
    }
    compile_with(diagram, report)
}

/// Goes on with the faults that reading found; with errors among them it only adds to them.
pub(crate) fn compile_with(diagram: &Diagram, report: Report) -> Result<ExecutableDiagram, Diagnostics> {
    let partial = report.has_errors();
    let mut builder = GraphBuilder::with_report(report, partial);
    let name = diagram.name.clone().or_else(|| name_of_file(diagram.file()));
    builder.identify(diagram.id.clone(), name);
    let names = Names::new(&diagram.nodes);
    for declaration in &diagram.nodes {
        let label = &declaration.label;
        let mut fields = Fields::new(&declaration.properties, label, declaration.location, builder.report());
        let on_error = fields.on_error();
        let kind = match &declaration.type_name {
            Some(type_name) => {
                let kind = nodes::read(&type_name.text, &mut fields, &names);
                if kind.is_some() {
                    fields.finish();
                } else {
                    refuse_type(type_name, fields.report());
                }
                kind
            }
            None => None,
        };
        match kind {
            Some(kind) => {
                let location = declaration.location;
                builder.node(NodeDraft { on_error, location, ..NodeDraft::new(label.as_str(), kind) });
            }
            None => builder.placeholder(label.clone(), declaration.location),
        }
    }
    for connection in &diagram.connections {
        builder.edge(EdgeDraft {
            id: Some(connection.id.clone()),
            source_handle: connection.source_handle,
            target_handle: connection.target_handle,
            label: connection.label.clone(),
            content_type: connection.content_type,
            location: connection.location,
            ..EdgeDraft::new(NodeIndex::new(connection.source), NodeIndex::new(connection.target))
        });
    }
    builder.build()
}

/// `reports/weekly.light.yaml` is called `weekly`; a text that came from no file (`<stdin>`) gives no name.
fn name_of_file(file: &str) -> Option<String> {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let endings = [".light.yaml", ".light.yml", ".yaml", ".yml"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending))?;
    (!stem.is_empty()).then(|| stem.to_owned())
}

fn refuse_type(type_name: &TypeName, report: &mut Report) {
    let TypeName { text, at } = type_name;
    let diagnostic = if KNOWN_TYPES.contains(&text.as_str()) {
        Diagnostic::error(*at, format!("node type `{text}` is not supported yet"))
            .help(format!("supported types: {}", SUPPORTED_TYPES.join(", ")))
    } else {
        let help = match report.nearest(text, KNOWN_TYPES) {
            _ if text == "job" => "did you mean `code_job`?".to_owned(),
            Some(near) if SUPPORTED_TYPES.contains(&near) => format!("did you mean `{near}`?"),
            Some(near) => format!("did you mean `{near}`? It is not supported yet"),
            None => format!("supported types: {}", SUPPORTED_TYPES.join(", ")),
        };
        Diagnostic::error(*at, format!("unknown node type `{text}`")).help(help)
    };
    report.push(diagnostic);
}
