//! The light format, `*.light.yaml`: nodes and connections as lists, nodes named by label.

use crate::{
    compile::compile_with,
    diagnostic::{Diagnostic, Diagnostics, Location, Report},
    graph::ExecutableDiagram,
    model::{Diagram, Names, NodeDeclaration, TypeName},
    yaml::{self, Data, Mapping, Value},
};

mod connections;
mod properties;
mod reference;

/// Keys that a file may have at its top. The last two are what some files say outside `metadata`.
const TOP_KEYS: [&str; 11] = [
    "nodes",
    "connections",
    "persons",
    "version",
    "metadata",
    "api_keys",
    "handles",
    "$schema",
    "description",
    "name",
    "id",
];

/// Keys of a node that are not properties in short form.
const NODE_KEYS: [&str; 5] = ["label", "type", "position", "props", "id"];

/// Longest label, in bytes.
const MAX_LABEL_BYTES: usize = 400;

/// Reads a file in the light format. `file` is what diagnostics call it; nothing is opened.
///
/// # Errors
///
/// All faults of syntax and structure at once: no YAML, a shape that the format doesn't have, connections between
/// nodes that aren't there. Types and properties of nodes are [`crate::compile`]'s matter.
pub fn parse_light(text: &str, file: &str) -> Result<Diagram, Diagnostics> {
    let mut report = Report::new(file);
    let diagram = read(text, &mut report);
    let warnings = report.finish()?;
    Ok(Diagram { warnings, ..diagram.unwrap_or_else(|| Diagram::empty(file)) })
}

/// Reads and compiles a file in the light format. `file` is what diagnostics call it; nothing is opened.
///
/// # Errors
///
/// All faults at once: those of [`parse_light`], and those of [`crate::compile`] in whatever could be read.
pub fn load_light(text: &str, file: &str) -> Result<ExecutableDiagram, Diagnostics> {
    let mut report = Report::new(file);
    let diagram = read(text, &mut report).unwrap_or_else(|| Diagram::empty(file));
    compile_with(&diagram, report)
}

/// The text of a file in the light format as JSON: the same model, whether or not it can run.
///
/// # Errors
///
/// What makes it no YAML, and an empty text.
pub fn light_to_json(text: &str, file: &str) -> Result<serde_json::Value, Diagnostics> {
    let mut report = Report::new(file);
    let root = yaml::load(text, &mut report);
    if root.is_none() && !report.has_errors() {
        report.push(Diagnostic::error(Location::START, "the file is empty"));
    }
    report.finish()?;
    Ok(root.map_or(serde_json::Value::Null, |root| root.to_json()))
}

/// As much of the diagram as can be read; none when that is nothing. Whatever is left out was reported as an error.
fn read(text: &str, report: &mut Report) -> Option<Diagram> {
    let Some(root) = yaml::load(text, report) else {
        if !report.has_errors() {
            report.push(
                Diagnostic::error(Location::START, "the file is empty")
                    .help("a diagram has at least a list `nodes:`"),
            );
        }
        return None;
    };
    let Data::Map(top) = &root.data else {
        report.push(
            Diagnostic::error(root.at, format!("a diagram should be a map, not {}", root.describe()))
                .help("begin with `version: light`, then `nodes:` and `connections:`"),
        );
        return None;
    };
    check_top(top, report);
    let nodes = read_nodes(top, root.at, report)?;
    check_persons(top, report);
    let names = Names::new(&nodes);
    let connections = connections::read(top.get("connections"), &nodes, &names, report);
    let about = |key: &str| {
        let metadata = match top.get("metadata").map(|metadata| &metadata.data) {
            Some(Data::Map(metadata)) => metadata.get(key),
            _ => None,
        };
        metadata.or_else(|| top.get(key)).and_then(Value::text).map(str::to_owned)
    };
    let (id, name) = (about("id"), about("name"));
    Some(Diagram { file: report.file().clone(), id, name, nodes, connections, warnings: Vec::new() })
}

fn check_top(top: &Mapping, report: &mut Report) {
    if top.get("version").and_then(Value::text) == Some("readable") {
        let at = top.entry("version").map_or(Location::START, |version| version.value.at);
        report.push(
            Diagnostic::error(at, "the readable format is not supported yet")
                .help("write it in the light format"),
        );
    }
    for entry in top.iter().filter(|entry| !TOP_KEYS.contains(&&*entry.key)) {
        let help = match report.nearest(&entry.key, TOP_KEYS) {
            Some(near) if !top.contains(near) => format!("did you mean `{near}`?"),
            _ => "it is ignored".to_owned(),
        };
        report
            .push(Diagnostic::warning(entry.at, format!("a diagram has no key `{}`", entry.key)).help(help));
    }
}

/// Nothing that can run uses persons yet, but a file whose persons can't be read is broken all the same.
fn check_persons(top: &Mapping, report: &mut Report) {
    let Some(persons) = top.get("persons").filter(|persons| !persons.is_null()) else { return };
    let help = "write `name: {service: …, model: …}` for each person";
    let Data::Map(map) = &persons.data else {
        let message = format!("`persons` should be a map, not {}", persons.describe());
        let diagnostic = match persons.data {
            // Some files have it, and nobody can refer to persons without names.
            Data::List(_) => Diagnostic::warning(persons.at, message),
            _ => Diagnostic::error(persons.at, message),
        };
        report.push(diagnostic.help(help));
        return;
    };
    for entry in
        map.iter().filter(|entry| !matches!(entry.value.data, Data::Map(_)) && !entry.value.is_null())
    {
        report.push(
            Diagnostic::error(
                entry.value.at,
                format!("the person `{}` should be a map, not {}", entry.key, entry.value.describe()),
            )
            .help(help),
        );
    }
}

/// Every item of `nodes` in its place, so that positions and ids hold even around faulty ones.
fn read_nodes(top: &Mapping, root: Location, report: &mut Report) -> Option<Vec<NodeDeclaration>> {
    let Some(nodes) = top.get("nodes").filter(|nodes| !nodes.is_null()) else {
        let at = top.entry("nodes").map_or(root, |entry| entry.at);
        report.push(
            Diagnostic::error(at, "the diagram has no nodes")
                .help("list at least one under `nodes:`, for instance `- {label: Start, type: start}`"),
        );
        return None;
    };
    let Data::List(items) = &nodes.data else {
        report.push(
            Diagnostic::error(nodes.at, format!("`nodes` should be a list, not {}", nodes.describe()))
                .help("write each node as `- label: …` with its `type`"),
        );
        return None;
    };
    if items.is_empty() {
        report.push(
            Diagnostic::error(nodes.at, "the diagram has no nodes")
                .help("list at least one, for instance `- {label: Start, type: start}`"),
        );
        return None;
    }
    Some(items.iter().enumerate().map(|(i, item)| read_node(i, item, report)).collect())
}

fn read_node(position: usize, item: &Value, report: &mut Report) -> NodeDeclaration {
    let id = format!("node_{position}");
    let Data::Map(node) = &item.data else {
        report.push(
            Diagnostic::error(item.at, format!("a node should be a map, not {}", item.describe()))
                .help("write `- label: …` and its `type`"),
        );
        return NodeDeclaration {
            label: id,
            type_name: None,
            properties: Mapping::default(),
            location: item.at,
        };
    };
    let label = read_label(node, report);
    if let (None, Some(given)) = (&label, node.entry("id")) {
        report.push(
            Diagnostic::warning(given.at, format!("an `id` names nothing here: this node is called `{id}`"))
                .help("give it a `label`; connections name nodes by label"),
        );
    }
    let label = label.unwrap_or(id);
    let type_name = read_type(node, &label, item.at, report);
    let kind = type_name.as_ref().map_or("", |name| &name.text);
    let properties = properties::read(node, kind, &label, report);
    NodeDeclaration { label, type_name, properties, location: item.at }
}

fn read_label(node: &Mapping, report: &mut Report) -> Option<String> {
    let value = node.get("label").filter(|value| !value.is_null())?;
    let Some(text) = value.text() else {
        report
            .push(Diagnostic::error(value.at, format!("`label` should be a text, not {}", value.describe())));
        return None;
    };
    if text.len() > MAX_LABEL_BYTES {
        report.push(Diagnostic::error(
            value.at,
            format!("this label has {} bytes, and at most {MAX_LABEL_BYTES} are allowed", text.len()),
        ));
        return None;
    }
    (!text.is_empty()).then(|| text.to_owned())
}

fn read_type(node: &Mapping, label: &str, at: Location, report: &mut Report) -> Option<TypeName> {
    let Some(value) = node.get("type").filter(|value| !value.is_null()) else {
        report.push(
            Diagnostic::error(at, format!("`{label}` has no type"))
                .help("add one, for instance `type: code_job`"),
        );
        return None;
    };
    match value.text() {
        Some(text) => Some(TypeName { text: text.trim().to_lowercase(), at: value.at }),
        None => {
            report.push(Diagnostic::error(
                value.at,
                format!("`type` of `{label}` should be a text, not {}", value.describe()),
            ));
            None
        }
    }
}
