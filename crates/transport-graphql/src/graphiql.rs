//! The page.

use axum::{Router, response::Html};

pub(crate) fn routes() -> Router {
    Router::new()
}

pub(crate) fn page() -> Html<&'static str> {
    Html("")
}
