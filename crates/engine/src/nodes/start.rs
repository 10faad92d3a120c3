//! `start`: begins a run.
//!
//! Its output is `{"default": {…}}`. With `trigger_mode: none` (the default) the inner map is the execution's variables.
//! In the modes `manual` and `hook` the node's `custom_data` is in it too, as defaults: a variable that the user gave
//! for this run replaces an entry of the same name.

use diagram::{StartNode, TriggerMode};
use serde_json::{Map, Value};

use crate::inputs::DEFAULT;

pub(super) fn output(start: &StartNode, variables: &Map<String, Value>) -> Value {
    let mut merged = match start.trigger_mode {
        TriggerMode::None => Map::new(),
        TriggerMode::Manual | TriggerMode::Hook => start.custom_data.clone(),
    };
    merged.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(Map::from_iter([(DEFAULT.to_owned(), Value::Object(merged))]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_run_wins_over_the_diagram() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let custom_data = map(json!({"a": 1, "b": 2}));
        let variables = map(json!({"b": 3, "c": 4}));
        let out =
            |trigger_mode| output(&StartNode { trigger_mode, custom_data: custom_data.clone() }, &variables);
        assert_eq!(out(TriggerMode::Manual), json!({"default": {"a": 1, "b": 3, "c": 4}}));
        assert_eq!(out(TriggerMode::Hook), out(TriggerMode::Manual));
        assert_eq!(out(TriggerMode::None), json!({"default": {"b": 3, "c": 4}}));
    }
}
