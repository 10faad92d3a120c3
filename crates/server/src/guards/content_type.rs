//! Whatever changes state says it in JSON, in lines of JSON, or in a packed file.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use transport_rest::require_known_media;

use super::changes_state;

pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let changes = changes_state(request.method());
    let verdict = if changes { require_known_media(request.headers()) } else { Ok(()) };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
