//! WebSockets are bounded. They leave the connections that they came from, and so those connections' bound.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use transport_graphql::Connections;
use transport_rest::Problem;

/// The open WebSockets, and how many there may be.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) open: Connections,
    pub(crate) most: usize,
}

pub(crate) async fn guard(State(room): State<Room>, request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::UPGRADE) && room.open.len() >= room.most {
        let detail = format!("there are {} open WebSockets already, which is the limit", room.most);
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", detail).into_response();
    }
    next.run(request).await
}
