//! GraphQL over HTTP.

mod accept;
mod request;

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use async_graphql::{
    Request, Response, ServerError,
    parser::types::{DocumentOperations, OperationType},
};
use axum::{
    body::Bytes,
    extract::{
        Query, State, WebSocketUpgrade,
        rejection::{BytesRejection, QueryRejection},
        ws::rejection::WebSocketUpgradeRejection,
    },
    response::{IntoResponse, Response as HttpResponse},
};
use serde::Serialize;

use self::accept::Accept;
pub(crate) use self::request::{Parameters, read};
use crate::{GraphqlApi, graphiql, ws};

/// A query, a page, or a WebSocket.
pub(crate) async fn get(
    State(api): State<Arc<GraphqlApi>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    headers: HeaderMap,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> HttpResponse {
    if headers.contains_key(header::UPGRADE) {
        return match upgrade {
            Ok(upgrade) => ws::open(&api, upgrade, &headers),
            Err(rejection) => rejection.into_response(),
        };
    }
    let form = match Accept::of(&headers) {
        Accept::Html => return graphiql::page().into_response(),
        Accept::Form(form) => form,
        Accept::Nothing => return not_acceptable(),
    };
    let request = match parameters {
        Ok(Query(parameters)) => parameters.into_request(),
        Err(rejection) => Err(rejection.body_text()),
    };
    match request {
        Ok(request) => execute(&api, request, form, true).await,
        Err(problem) => refuse(form, StatusCode::BAD_REQUEST, &problem),
    }
}

/// Any operation but a subscription.
pub(crate) async fn post(
    State(api): State<Arc<GraphqlApi>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> HttpResponse {
    let Accept::Form(form) = Accept::of(&headers) else {
        return not_acceptable();
    };
    if !is_json(&headers) {
        let text = "the body is taken as `application/json` in UTF-8 only";
        return refuse(form, StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return refuse(form, rejection.status(), &rejection.body_text()),
    };
    let request =
        serde_json::from_slice(&body).map_err(|error| format!("the body is no JSON: {error}")).and_then(read);
    match request {
        Ok(request) => execute(&api, request, form, false).await,
        Err(problem) => refuse(form, StatusCode::BAD_REQUEST, &problem),
    }
}

/// Every other method.
pub(crate) async fn method_not_allowed() -> HttpResponse {
    let mut response = refuse(Form::Json, StatusCode::METHOD_NOT_ALLOWED, "there is GET and POST here");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

async fn execute(api: &GraphqlApi, mut request: Request, form: Form, only_queries: bool) -> HttpResponse {
    match operation_type(&mut request) {
        Ok(Some(OperationType::Mutation)) if only_queries => {
            let text = "GET changes nothing; send a mutation with POST";
            let mut response = refuse(form, StatusCode::METHOD_NOT_ALLOWED, text);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        Ok(Some(OperationType::Subscription)) => {
            let text = "subscriptions are for WebSockets (graphql-transport-ws), at this same place";
            return refuse(form, StatusCode::BAD_REQUEST, text);
        }
        Ok(_) => {}
        Err(error) => return respond(form, &Response::from_errors(vec![error])),
    }
    respond(form, &api.schema.execute(request).await)
}

/// The type of the operation that the request names; `None` if that is wrong, which the executor says.
///
/// # Errors
///
/// The document can't be read, or a variable is missing. The executor would notice the latter only where the variable is
/// used, and then count it as a fault of the execution.
pub(crate) fn operation_type(request: &mut Request) -> Result<Option<OperationType>, ServerError> {
    let wanted = request.operation_name.clone();
    let variables = request.variables.clone();
    let operation = match (&request.parsed_query()?.operations, wanted) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(all), None) if all.len() == 1 => all.values().next(),
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name.as_str()),
        (DocumentOperations::Multiple(_), None) => None,
    };
    let Some(operation) = operation else {
        return Ok(None);
    };
    for definition in &operation.node.variable_definitions {
        let (name, place) = (&definition.node.name.node, definition.pos);
        let is_given = variables.get(name).is_some_and(|value| *value != async_graphql::Value::Null);
        if !is_given && !definition.node.var_type.node.nullable && definition.node.default_value.is_none() {
            return Err(ServerError::new(format!("the variable `${name}` is missing"), Some(place)));
        }
    }
    Ok(Some(operation.node.ty))
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/json`: the status says nothing about the operation, as old clients expect.
    Json,
    /// `application/graphql-response+json`: an operation that was not carried out is a 400.
    GraphqlResponse,
}

// === impl Form ===

impl Form {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        })
    }
}

/// An executor's response as the specification wants it: no `data` where nothing was executed.
#[derive(Serialize)]
pub(crate) struct Payload<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a async_graphql::Value>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    extensions: &'a std::collections::BTreeMap<String, async_graphql::Value>,
}

// === impl Payload ===

impl<'a> Payload<'a> {
    pub(crate) fn of(response: &'a Response) -> Self {
        let data = (!is_request_error(response)).then_some(&response.data);
        Self { errors: &response.errors, data, extensions: &response.extensions }
    }
}

/// Whether nothing was executed. What went wrong in executing has a path.
pub(crate) fn is_request_error(response: &Response) -> bool {
    response.data == async_graphql::Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

fn respond(form: Form, response: &Response) -> HttpResponse {
    let status = match form {
        Form::GraphqlResponse if is_request_error(response) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    answer(form, status, &Payload::of(response))
}

fn refuse(form: Form, status: StatusCode, problem: &str) -> HttpResponse {
    let response = Response::from_errors(vec![ServerError::new(problem, None)]);
    answer(form, status, &Payload::of(&response))
}

fn not_acceptable() -> HttpResponse {
    let text = "there is `application/graphql-response+json` and `application/json`";
    refuse(Form::Json, StatusCode::NOT_ACCEPTABLE, text)
}

fn answer(form: Form, status: StatusCode, payload: &Payload<'_>) -> HttpResponse {
    let headers = [
        (header::CONTENT_TYPE, form.content_type()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    match serde_json::to_vec(payload) {
        Ok(body) => (status, headers, body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().as_deref() == Some("application/json")
        && parts
            .filter_map(|part| part.strip_prefix("charset=").map(|name| name.trim_matches('"').to_owned()))
            .all(|name| name == "utf-8")
}
