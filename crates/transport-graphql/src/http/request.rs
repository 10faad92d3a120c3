//! What to execute.

use async_graphql::{Request, Variables};
use serde::Deserialize;
use serde_json::Value;

/// A request as parameters of a GET.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Parameters {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

// === impl Parameters ===

impl Parameters {
    /// The request, or what is wrong.
    pub(crate) fn into_request(self) -> Result<Request, String> {
        let json = |name: &str, text: Option<String>| match text.as_deref() {
            None | Some("") => Ok(Value::Null),
            Some(text) => serde_json::from_str(text).map_err(|error| format!("`{name}` is no JSON: {error}")),
        };
        let variables = json("variables", self.variables)?;
        let extensions = json("extensions", self.extensions)?;
        build(
            self.query.map_or(Value::Null, Value::String),
            self.operation_name.filter(|name| !name.is_empty()).map_or(Value::Null, Value::String),
            variables,
            &extensions,
        )
    }
}

/// The request of a JSON body or message, or what is wrong.
pub(crate) fn read(body: Value) -> Result<Request, String> {
    let Value::Object(mut fields) = body else {
        return Err("a request is an object: `{\"query\": …}`; there are no batches".to_owned());
    };
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    build(take("query"), take("operationName"), take("variables"), &take("extensions"))
}

fn build(
    query: Value,
    operation_name: Value,
    variables: Value,
    extensions: &Value,
) -> Result<Request, String> {
    let Value::String(query) = query else {
        return Err("`query` is missing: the text of a document is expected".to_owned());
    };
    let mut request = Request::new(query);
    request.operation_name = match operation_name {
        Value::Null => None,
        Value::String(name) => Some(name),
        _ => return Err("`operationName` is no text".to_owned()),
    };
    request.variables = match variables {
        Value::Null => Variables::default(),
        variables @ Value::Object(_) => Variables::from_json(variables),
        _ => return Err("`variables` is no object".to_owned()),
    };
    if !matches!(extensions, Value::Null | Value::Object(_)) {
        return Err("`extensions` is no object".to_owned());
    }
    Ok(request)
}
