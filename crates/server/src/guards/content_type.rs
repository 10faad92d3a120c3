//! Whatever changes state says it in JSON.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use transport_rest::require_json;

use super::changes_state;

pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let verdict = if changes_state(request.method()) { require_json(request.headers()) } else { Ok(()) };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
