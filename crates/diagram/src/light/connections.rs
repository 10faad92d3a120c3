//! The list of connections.

use super::reference::{self, Direction};
use crate::{
    diagnostic::{Diagnostic, Location, Report},
    graph::{ContentType, Handle},
    model::{Connection, Names, NodeDeclaration},
    yaml::{Data, Entry, Mapping, Value},
};

const KEYS: [&str; 7] = ["from", "to", "label", "content_type", "type", "data", "id"];

/// What a connection's `data` may ask to be done to the value; nothing does it yet.
const TRANSFORMS: [&str; 3] = ["extractVariable", "format", "transform"];

/// The connections whose both ends exist. Whatever is left out was reported as an error.
pub(super) fn read(
    value: Option<&Value>,
    nodes: &[NodeDeclaration],
    names: &Names<'_>,
    report: &mut Report,
) -> Vec<Connection> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Vec::new() };
    let Data::List(items) = &value.data else {
        report.push(
            Diagnostic::error(value.at, format!("`connections` should be a list, not {}", value.describe()))
                .help("write each one as `- {from: …, to: …}`"),
        );
        return Vec::new();
    };
    let mut connections = Vec::with_capacity(items.len());
    // Which of them say what they carry.
    let mut explicit = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if let Some((connection, says)) = read_one(i, item, nodes, names, report) {
            connections.push(connection);
            explicit.push(says);
        }
    }
    carry_through_conditions(&mut connections, &explicit, nodes);
    connections
}

fn read_one(
    position: usize,
    item: &Value,
    nodes: &[NodeDeclaration],
    names: &Names<'_>,
    report: &mut Report,
) -> Option<(Connection, bool)> {
    let Data::Map(map) = &item.data else {
        report.push(
            Diagnostic::error(item.at, format!("a connection should be a map, not {}", item.describe()))
                .help("write `{from: …, to: …}`"),
        );
        return None;
    };
    warn_unknown(map, report);
    let from = end(map, "from", item.at, report);
    let to = end(map, "to", item.at, report);
    let source =
        from.and_then(|(text, at)| reference::resolve(text, at, Direction::Output, nodes, names, report));
    let target =
        to.and_then(|(text, at)| reference::resolve(text, at, Direction::Input, nodes, names, report));
    let content_type = content_type(map, report);
    let label = label(map, report);
    let data = data(map, report);
    let (source, target) = (source?, target?);
    let branch = match data.and_then(|data| data.get("branch")).and_then(Value::text) {
        Some("true" | "True") if is_condition(nodes, source.node) => Some(Handle::CondTrue),
        Some("false" | "False") if is_condition(nodes, source.node) => Some(Handle::CondFalse),
        _ => None,
    };
    let id = data.and_then(|data| data.get("id")).and_then(Value::text);
    let connection = Connection {
        id: id.map_or_else(|| format!("arrow_{position}"), str::to_owned),
        source: source.node,
        source_handle: source.handle.or(branch).unwrap_or_default(),
        target: target.node,
        target_handle: target.handle.unwrap_or_default(),
        label,
        content_type: content_type.unwrap_or_default(),
        location: item.at,
    };
    Some((connection, content_type.is_some()))
}

fn warn_unknown(map: &Mapping, report: &mut Report) {
    for entry in map.iter().filter(|entry| !KEYS.contains(&&*entry.key)) {
        let help = match report.nearest(&entry.key, KEYS) {
            Some(near) if !map.contains(near) => format!("did you mean `{near}`?"),
            _ => "it is ignored".to_owned(),
        };
        report.push(
            Diagnostic::warning(entry.at, format!("a connection has no key `{}`", entry.key)).help(help),
        );
    }
}

fn end<'a>(map: &'a Mapping, key: &str, at: Location, report: &mut Report) -> Option<(&'a str, Location)> {
    let fault = match map.entry(key) {
        Some(Entry { value, .. }) if !value.is_null() => match value.text() {
            Some(text) => return Some((text, value.at)),
            None => Diagnostic::error(
                value.at,
                format!("`{key}` should be the label of a node, not {}", value.describe()),
            ),
        },
        Some(Entry { at, .. }) => Diagnostic::error(*at, format!("`{key}` of this connection is empty")),
        None => Diagnostic::error(at, format!("this connection has no `{key}`")),
    };
    report.push(fault.help("write `{from: <label>, to: <label>}`"));
    None
}

/// `type` is another name for it; the proper name wins.
fn content_type(map: &Mapping, report: &mut Report) -> Option<ContentType> {
    let value =
        ["content_type", "type"].into_iter().filter_map(|key| map.get(key)).find(|value| !value.is_null())?;
    let text = value.text().map(|text| text.trim().to_lowercase());
    let known = text.as_deref().and_then(ContentType::from_name);
    if known.is_none() {
        let names = ContentType::ALL.map(ContentType::as_str);
        let help = match report.nearest(text.as_deref().unwrap_or_default(), names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", names.join(", ")),
        };
        report
            .push(Diagnostic::error(value.at, format!("no content type is {}", value.describe())).help(help));
    }
    known
}

fn label(map: &Mapping, report: &mut Report) -> Option<String> {
    let value = map.get("label").filter(|value| !value.is_null())?;
    let text = value.text();
    if text.is_none() {
        report.push(Diagnostic::error(
            value.at,
            format!("the label of a connection should be a text, not {}", value.describe()),
        ));
    }
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn data<'a>(map: &'a Mapping, report: &mut Report) -> Option<&'a Mapping> {
    let value = map.get("data").filter(|value| !value.is_null())?;
    let Data::Map(data) = &value.data else {
        report.push(Diagnostic::error(
            value.at,
            format!("`data` of a connection should be a map, not {}", value.describe()),
        ));
        return None;
    };
    for entry in data.iter().filter(|entry| TRANSFORMS.contains(&&*entry.key) && !entry.value.is_null()) {
        report.push(
            Diagnostic::warning(entry.at, format!("`{}` is not supported yet", entry.key))
                .help("the value travels as it was produced"),
        );
    }
    Some(data)
}

fn is_condition(nodes: &[NodeDeclaration], node: usize) -> bool {
    let type_name = nodes.get(node).and_then(|node| node.type_name.as_ref());
    type_name.is_some_and(|name| name.text == "condition")
}

/// A condition hands on what it gets: where all that comes in is of one content type, so is what goes out, unless the
/// connection says otherwise.
fn carry_through_conditions(connections: &mut [Connection], explicit: &[bool], nodes: &[NodeDeclaration]) {
    let mut incoming: Vec<Option<Option<ContentType>>> = vec![None; nodes.len()];
    for connection in connections.iter() {
        if let Some(known) = incoming.get_mut(connection.target) {
            *known = match *known {
                None => Some(Some(connection.content_type)),
                Some(other) => Some(other.filter(|other| *other == connection.content_type)),
            };
        }
    }
    for (connection, _) in connections.iter_mut().zip(explicit).filter(|(_, explicit)| !**explicit) {
        if is_condition(nodes, connection.source)
            && let Some(Some(Some(content_type))) = incoming.get(connection.source)
        {
            connection.content_type = *content_type;
        }
    }
}
