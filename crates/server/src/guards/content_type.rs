//! Whatever changes state says it in JSON, or in lines of JSON.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use transport_rest::require_json_or_lines;

use super::changes_state;

pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let changes = changes_state(request.method());
    let verdict = if changes { require_json_or_lines(request.headers()) } else { Ok(()) };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
