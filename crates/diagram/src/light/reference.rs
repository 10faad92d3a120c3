//! The ends of connections: `Label`, `Label[handle]`, `Label_handle`.

use super::MAX_LABEL_BYTES;
use crate::{
    diagnostic::{Diagnostic, Location, Report, Severity},
    graph::Handle,
    model::{Names, NodeDeclaration},
    nodes,
};

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// It leaves this node.
    Output,
    /// It enters this node.
    Input,
}

/// A node, and the handle if the text names one.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) handle: Option<Handle>,
}

/// A text split into label and handle.
struct Split<'a> {
    positions: &'a [usize],
    label: String,
    handle: String,
}

/// The node and handle that `text` names; none when there is no such thing, which is reported.
pub(super) fn resolve(
    text: &str,
    at: Location,
    direction: Direction,
    nodes: &[NodeDeclaration],
    names: &Names<'_>,
    report: &mut Report,
) -> Option<End> {
    let whole = names.labelled(text);
    if !whole.is_empty() {
        return names.only(text, whole, at, report).map(|node| End { node, handle: None });
    }
    if let Some((label, handle)) = brackets(text) {
        let positions = names.labelled(label);
        if positions.is_empty() {
            unknown(label, &|near| format!("{near}[{handle}]"), at, nodes, names, report);
            return None;
        }
        let node = names.only(label, positions, at, report)?;
        return strict(node, handle, at, direction, nodes, report);
    }
    let Some(Split { positions, label, handle }) = underscores(text, names) else {
        match Handle::ALL.into_iter().find_map(|handle| Some((text.strip_suffix(handle.as_str())?, handle))) {
            Some((rest, handle)) if rest.len() > 1 && rest.ends_with('_') => {
                let label = rest.trim_end_matches('_');
                unknown(label, &|near| format!("{near}_{handle}"), at, nodes, names, report);
            }
            _ => unknown(text, &str::to_owned, at, nodes, names, report),
        }
        return None;
    };
    let node = names.only(&label, positions, at, report)?;
    lenient(node, &handle, at, direction, nodes, report)
}

/// `Label[handle]`, both trimmed.
fn brackets(text: &str) -> Option<(&str, &str)> {
    let (label, handle) = text.trim_end().strip_suffix(']')?.rsplit_once('[')?;
    let (label, handle) = (label.trim(), handle.trim());
    (!label.is_empty() && !handle.is_empty()).then_some((label, handle))
}

/// `Label_handle` with the longest label that exists. Spaces of the label may be written as underscores.
fn underscores<'a>(text: &str, names: &'a Names<'_>) -> Option<Split<'a>> {
    let cuts = text.rmatch_indices('_').map(|(i, _)| (text.get(..i), text.get(i + 1..)));
    for (label, handle) in std::iter::once((Some(text), Some(""))).chain(cuts) {
        let (label, handle) = (label?, handle?);
        if label.len() > MAX_LABEL_BYTES {
            continue;
        }
        for label in [label.to_owned(), label.replace('_', " ")] {
            let positions = names.labelled(&label);
            if !positions.is_empty() {
                return Some(Split { positions, label, handle: handle.to_owned() });
            }
        }
    }
    None
}

/// In brackets, a handle must exist and belong to the node.
fn strict(
    node: usize,
    handle: &str,
    at: Location,
    direction: Direction,
    nodes: &[NodeDeclaration],
    report: &mut Report,
) -> Option<End> {
    let known = Handle::from_name(handle);
    let Some(valid) = valid(node, direction, nodes) else { return Some(End { node, handle: known }) };
    if known.is_some_and(|handle| valid.contains(&handle)) {
        return Some(End { node, handle: known });
    }
    let near = near(handle, valid, report);
    report.push(no_handle(node, handle, valid, at, direction, nodes, near));
    None
}

/// After an underscore, a handle that doesn't exist always meant the default one.
fn lenient(
    node: usize,
    handle: &str,
    at: Location,
    direction: Direction,
    nodes: &[NodeDeclaration],
    report: &mut Report,
) -> Option<End> {
    let name = if handle == "_first" { "first" } else { handle };
    if name.is_empty() {
        return Some(End { node, handle: None });
    }
    let known = Handle::from_name(name);
    let Some(valid) = valid(node, direction, nodes) else { return Some(End { node, handle: known }) };
    if known.is_some_and(|handle| valid.contains(&handle)) {
        return Some(End { node, handle: known });
    }
    let near = near(name, valid, report);
    let fault = no_handle(node, name, valid, at, direction, nodes, near);
    match (direction, known) {
        // The value arrives under that name.
        (Direction::Input, Some(_)) if !valid.is_empty() => {
            report.push(Diagnostic { severity: Severity::Warning, ..fault });
            Some(End { node, handle: known })
        }
        (_, None) if valid.contains(&Handle::Default) => {
            report.push(Diagnostic {
                severity: Severity::Warning,
                help: Some("`default` is taken; if another node is meant, check its label".to_owned()),
                ..fault
            });
            Some(End { node, handle: None })
        }
        _ => {
            report.push(fault);
            None
        }
    }
}

/// The handles of a node in one direction; none when its type isn't known.
fn valid(node: usize, direction: Direction, nodes: &[NodeDeclaration]) -> Option<&'static [Handle]> {
    let type_name = &nodes.get(node)?.type_name.as_ref()?.text;
    if !nodes::KNOWN_TYPES.contains(&type_name.as_str()) {
        return None;
    }
    Some(match direction {
        Direction::Output => nodes::outputs(type_name),
        Direction::Input => nodes::inputs(type_name),
    })
}

fn near(handle: &str, valid: &'static [Handle], report: &mut Report) -> Option<&'static str> {
    let handle = match handle {
        "true" | "yes" => Handle::CondTrue.as_str(),
        "false" | "no" => Handle::CondFalse.as_str(),
        other => other,
    };
    report.nearest(handle, valid.iter().map(|handle| handle.as_str()))
}

fn no_handle(
    node: usize,
    handle: &str,
    valid: &[Handle],
    at: Location,
    direction: Direction,
    nodes: &[NodeDeclaration],
    near: Option<&str>,
) -> Diagnostic {
    let (label, type_name) = nodes.get(node).map_or(("", ""), |node| {
        (node.label.as_str(), node.type_name.as_ref().map_or("", |name| name.text.as_str()))
    });
    let side = match direction {
        Direction::Output => "output",
        Direction::Input => "input",
    };
    let names: Vec<String> = valid.iter().map(|handle| format!("`{handle}`")).collect();
    let help = match (near, names.as_slice()) {
        (Some(near), _) => format!("did you mean `{label}[{near}]`?"),
        (None, []) => format!("a node of type `{type_name}` has no {side}s"),
        (None, [only]) => format!("its only {side} is {only}: write `{label}`"),
        (None, several) => format!("its {side}s are {}", several.join(" and ")),
    };
    Diagnostic::error(at, format!("`{label}` ({type_name}) has no {side} `{handle}`")).help(help)
}

/// `shape` makes of a label what should have been written.
fn unknown(
    label: &str,
    shape: &dyn Fn(&str) -> String,
    at: Location,
    nodes: &[NodeDeclaration],
    names: &Names<'_>,
    report: &mut Report,
) {
    let help = match names.position(label).and_then(|position| nodes.get(position)) {
        Some(node) => format!("connections name nodes by label: write `{}`", shape(&node.label)),
        None => match names.nearest(label, report) {
            Some(near) => format!("did you mean `{}`?", shape(near)),
            None => {
                let few: Vec<String> = nodes.iter().take(5).map(|node| format!("`{}`", node.label)).collect();
                let more = if nodes.len() > few.len() { ", …" } else { "" };
                format!("the labels are {}{more}", few.join(", "))
            }
        },
    };
    report.push(Diagnostic::error(at, format!("no node is labelled {}", quoted(label))).help(help));
}

fn quoted(label: &str) -> String {
    if label.len() > MAX_LABEL_BYTES { "like this".to_owned() } else { format!("`{label}`") }
}
