//! `GET /metrics`: figures for a monitoring system, in the text format of OpenMetrics, which Prometheus reads.
//!
//! Nothing is counted here. Every figure belongs to the part that it is about, and is asked for when somebody looks.

mod ingest;
mod page;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use core_events::ports::{EventLog, MessageRouter};
use http::{HeaderValue, StatusCode, header};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};
use transport_graphql::Connections;
use transport_rest::Problem;

pub(crate) use self::ingest::{IngestCounts, MeteredIngest};
use self::page::Page;
use crate::accept::OpenConnections;

/// What scrapers ask for with `Accept`, and are given in any case.
const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The parts that have figures.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) router: Arc<dyn MessageRouter>,
    pub(crate) connections: OpenConnections,
    pub(crate) sockets: Connections,
    pub(crate) ingest: Arc<IngestCounts>,
}

pub(crate) fn routes(sources: Sources) -> Router {
    let mut registry = Registry::with_prefix("dipeo");
    registry.register_collector(Box::new(sources));
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    // The log may look at its files.
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        text::encode(&mut text, &registry).map(|()| text)
    });
    match text.await {
        Ok(Ok(text)) => {
            let no_store = HeaderValue::from_static("no-store");
            ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, no_store)], text).into_response()
        }
        failed => {
            tracing::error!(?failed, "the figures could not be written down");
            let detail = "the figures could not be written down; the server's log says why".to_owned();
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        }
    }
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        page.info("build", "This program.", &[("version", env!("CARGO_PKG_VERSION"))])?;
        page.log(&self.log.stats(), self.log.health().as_ref())?;
        page.router(&self.router.stats())?;
        let connections = [("http", self.connections.count()), ("websocket", self.sockets.len())];
        page.gauges("connections", "Open connections.", "protocol", connections)?;
        page.ingest(&self.ingest)
    }
}

#[cfg(test)]
mod tests;
