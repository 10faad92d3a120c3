use serde_json::json;

use super::*;

fn evaluate(text: &str, context: &Value) -> Result<bool, String> {
    let expression = Expression::parse(text).map_err(|error| error.to_string())?;
    expression.evaluate(&|name| context.get(name)).map_err(|error| error.to_string())
}
