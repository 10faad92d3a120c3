//! What a node receives: named values.

use std::sync::Arc;

use core_events::{NodeOutput, limits};
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// The values that a run of a node received, by name, in the order of the edges.
pub(crate) type Inputs = IndexMap<String, Arc<Value>>;

/// The key that means "all of it".
pub(crate) const DEFAULT: &str = "default";

/// A copy of `inputs` as one value.
pub(crate) fn to_map(inputs: &Inputs) -> Map<String, Value> {
    inputs.iter().map(|(name, value)| (name.clone(), Value::clone(value))).collect()
}

/// What the receivers of `output` get: a map whose only key is `default` is unwrapped, once.
pub(crate) fn delivered(output: &Arc<Value>) -> Arc<Value> {
    match &**output {
        Value::Object(map) if map.len() == 1 => {
            map.get(DEFAULT).map_or_else(|| Arc::clone(output), |inner| Arc::new(inner.clone()))
        }
        _ => Arc::clone(output),
    }
}

/// Checks that `value` may travel (I15), and makes its JSON text.
///
/// # Errors
///
/// When it is nested too deeply or its text is too long.
pub(crate) fn checked(value: Value) -> Result<NodeOutput, String> {
    if !nests_at_most(&value, limits::MAX_NESTING) {
        return Err(too_deep());
    }
    let output = NodeOutput::new(value);
    if output.json.len() > limits::MAX_OUTPUT_BYTES { Err(too_long()) } else { Ok(output) }
}

pub(crate) fn too_deep() -> String {
    format!("the output is nested more than {} levels deep", limits::MAX_NESTING)
}

pub(crate) fn too_long() -> String {
    format!(
        "the output is larger than {} bytes of JSON; write it to a file and hand on the path",
        limits::MAX_OUTPUT_BYTES
    )
}

/// Looks no deeper than `levels`, so a hostile value can't exhaust the stack.
fn nests_at_most(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| nests_at_most(item, levels - 1)),
        Value::Object(map) => levels > 0 && map.values().all(|item| nests_at_most(item, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_lone_default_is_unwrapped_and_once() {
        let get = |value| Value::clone(&delivered(&Arc::new(value)));
        assert_eq!(get(json!({"default": {"default": 1}})), json!({"default": 1}));
        assert_eq!(get(json!({"default": 1, "x": 2})), json!({"default": 1, "x": 2}));
        assert_eq!(get(json!({"x": 2})), json!({"x": 2}));
        assert_eq!(get(json!("default")), json!("default"));
    }

    #[test]
    fn values_have_a_depth_and_a_size() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(checked(nested(100)).is_ok());
        assert_eq!(checked(nested(101)), Err(too_deep()));
        assert!(checked(Value::String("x".repeat(limits::MAX_OUTPUT_BYTES - 2))).is_ok());
        assert_eq!(checked(Value::String("x".repeat(limits::MAX_OUTPUT_BYTES - 1))), Err(too_long()));
    }
}
