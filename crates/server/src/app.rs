//! All routes, behind all guards.

use std::sync::Arc;

use axum::{Router, middleware};
use core_events::ports::{Clock, Executions, StreamSource};
use transport_rest::{RestApi, RestOptions, method_not_allowed, not_found};
use transport_sse::SseMessageRouterAdapter;

use crate::{
    Config,
    guards::{
        content_type, headers,
        host::{self, AllowedHosts},
        origin::{self, AllowedOrigins},
    },
    health::{self, Stopping},
    page,
};

/// What the routes serve.
pub(crate) struct Parts {
    pub(crate) executions: Arc<dyn Executions>,
    pub(crate) streams: Arc<dyn StreamSource>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: Arc<crate::legacy::Legacy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stopping: Stopping,
}

/// The guards run from the last layer to the first.
pub(crate) fn app(config: &Config, parts: Parts) -> Router {
    let Parts { executions, streams, clock, stopping, .. } = parts;
    let sse = SseMessageRouterAdapter::new(Arc::clone(&streams), streams, Arc::clone(&clock)).into_router();
    #[cfg(feature = "legacy")]
    let sse = parts.legacy.mount(sse, &clock);
    let rest = RestApi::new(executions, RestOptions { max_body_bytes: config.max_body_bytes });
    Router::new()
        .merge(page::routes())
        .merge(health::routes(stopping))
        .merge(sse)
        .merge(rest.into_router())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(content_type::guard))
        .layer(middleware::from_fn_with_state(AllowedOrigins::new(&config.allowed_origins), origin::guard))
        .layer(middleware::from_fn_with_state(AllowedHosts::new(&config.allowed_hosts), host::guard))
        .layer(middleware::from_fn(headers::add))
}
