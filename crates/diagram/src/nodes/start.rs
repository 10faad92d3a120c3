//! `start`: begins a run.

use serde_json::{Map, Value};

use super::Fields;
use crate::{diagnostic::Diagnostic, yaml::Data};

/// Configuration of a start node.
#[derive(Debug, Clone, Default)]
pub struct StartNode {
    /// What sets the run off.
    pub trigger_mode: TriggerMode,
    /// Values that the run begins with. In mode [`TriggerMode::None`] they are not used.
    pub custom_data: Map<String, Value>,
}

/// What sets a run off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TriggerMode {
    /// Not said.
    #[default]
    None,
    /// A person.
    Manual,
    /// An event from outside.
    Hook,
}

const MODES: [&str; 3] = ["none", "manual", "hook"];

pub(super) fn read(fields: &mut Fields<'_>) -> StartNode {
    fields.accept(&["output_data_structure", "hook_filters"]);
    let hook_event = fields.value("hook_event").is_some();
    let trigger_mode = match fields.word("trigger_mode") {
        None => TriggerMode::None,
        Some(word) => match word.value.as_str() {
            "none" => TriggerMode::None,
            "manual" => TriggerMode::Manual,
            "hook" => {
                if !hook_event {
                    let label = fields.label();
                    fields.report().push(
                        Diagnostic::error(word.at, format!("`{label}` waits for a hook but names no event"))
                            .help("add `hook_event`, or use `trigger_mode: manual`"),
                    );
                }
                TriggerMode::Hook
            }
            other => {
                let label = fields.label();
                let help = match fields.report().nearest(other, MODES) {
                    Some(near) => format!("write `{near}`"),
                    None => "write `none`, `manual` or `hook`".to_owned(),
                };
                fields.report().push(
                    Diagnostic::error(word.at, format!("`{label}` has no trigger mode `{other}`")).help(help),
                );
                TriggerMode::None
            }
        },
    };
    StartNode { trigger_mode, custom_data: custom_data(fields, trigger_mode) }
}

/// Only a map can be merged with a run's inputs; where nothing is merged, anything may stand there, as ever.
fn custom_data(fields: &mut Fields<'_>, mode: TriggerMode) -> Map<String, Value> {
    let Some(value) = fields.value("custom_data") else { return Map::new() };
    if let Data::Map(map) = &value.data {
        return map.to_json();
    }
    if value.text() != Some("") {
        let message =
            format!("`custom_data` of `{}` should be a map, not {}", fields.label(), value.describe());
        fields.report().push(if mode == TriggerMode::None {
            Diagnostic::warning(value.at, message).help("with `trigger_mode: none` it is ignored")
        } else {
            Diagnostic::error(value.at, message).help("give the value a name: `custom_data: {name: value}`")
        });
    }
    Map::new()
}
