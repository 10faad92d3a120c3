//! A node's properties: `props` and short form merged, dotted keys expanded, old names renamed.

use super::NODE_KEYS;
use crate::{
    diagnostic::{Diagnostic, Location, Report},
    yaml::{Data, Entry, MAX_DEPTH, Mapping, Value},
};

/// Most properties of one node.
const MAX_PROPERTIES: usize = 1_000;

/// Type, old name, new name. The old name counts unless the new one is there.
const RENAMES: [(&str, &str, &str); 2] =
    [("endpoint", "file_path", "file_name"), ("code_job", "code_type", "language")];

pub(super) fn read(node: &Mapping, type_name: &str, label: &str, report: &mut Report) -> Mapping {
    let props = match node.get("props") {
        Some(Value { data: Data::Map(props), .. }) => props,
        _ => &Mapping::default(),
    };
    if node.len() + props.len() > MAX_PROPERTIES {
        let at = node.iter().next().map_or(Location::START, |entry| entry.at);
        report.push(Diagnostic::error(at, format!("`{label}` has more than {MAX_PROPERTIES} properties")));
        return Mapping::default();
    }
    let mut entries: Vec<Entry> =
        node.iter().filter(|entry| !NODE_KEYS.contains(&&*entry.key)).cloned().collect();
    if let Some(position) = node.get("position").filter(|position| !position.is_null()) {
        check_position(position, label, report);
    }
    if let Some(props) = node.get("props")
        && !matches!(props.data, Data::Map(_))
        && !props.is_null()
    {
        report.push(Diagnostic::error(
            props.at,
            format!("`props` of `{label}` should be a map, not {}", props.describe()),
        ));
    }
    entries.extend(props.iter().filter(|entry| !node_has(node, &entry.key)).cloned());
    entries.retain(|entry| !entry.value.is_null());
    let mut properties = expand(entries, report);
    for (_, old, new) in RENAMES.iter().filter(|(of, ..)| *of == type_name) {
        if !properties.contains(new)
            && let Some(entry) = properties.iter_mut().find(|entry| &*entry.key == *old)
        {
            entry.key = (*new).into();
        }
    }
    properties
}

/// Whether `key` stands beside `props` in short form, which wins.
fn node_has(node: &Mapping, key: &str) -> bool {
    !NODE_KEYS.contains(&key) && node.contains(key)
}

/// Editors need it, runs don't.
fn check_position(position: &Value, label: &str, report: &mut Report) {
    let complete = matches!(&position.data, Data::Map(map) if map.contains("x") && map.contains("y"));
    if !complete {
        report.push(
            Diagnostic::warning(position.at, format!("the position of `{label}` is incomplete"))
                .help("write `position: {x: 0, y: 0}`, or leave it out"),
        );
    }
}

/// Turns `a.b: 1` into `a: {b: 1}`.
fn expand(entries: Vec<Entry>, report: &mut Report) -> Mapping {
    let (dotted, plain): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key.contains('.'));
    let mut map = Mapping::new(plain);
    for Entry { key, at, value } in dotted {
        let path: Vec<&str> = key.split('.').collect();
        if path.len() > MAX_DEPTH {
            report.push(Diagnostic::error(at, format!("a key has at most {MAX_DEPTH} parts")));
        } else if !insert(&mut map, &path, at, value) {
            report.push(
                Diagnostic::error(at, format!("`{key}` can't be put in its place"))
                    .help("a part of it is given already, and not as a map"),
            );
        }
    }
    map
}

/// Puts `value` at `path`, making maps on the way, in place of what is there. False when something on the way isn't a
/// map.
fn insert(map: &mut Mapping, path: &[&str], at: Location, value: Value) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    if rest.is_empty() {
        match map.iter_mut().find(|entry| &*entry.key == *first) {
            Some(entry) => entry.value = value,
            None => map.push(Entry { key: (*first).into(), at, value }),
        }
        return true;
    }
    if !map.contains(first) {
        let empty = Value { at, data: Data::Map(Mapping::default()) };
        map.push(Entry { key: (*first).into(), at, value: empty });
    }
    match map.iter_mut().find(|entry| &*entry.key == *first).map(|entry| &mut entry.value.data) {
        Some(Data::Map(inner)) => insert(inner, rest, at, value),
        _ => false,
    }
}
