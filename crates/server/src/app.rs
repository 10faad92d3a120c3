//! All routes, behind all guards.

use std::sync::Arc;

use axum::{Router, middleware};
use core_events::ports::{
    Archive, CliSessions, Clock, Diagrams, EventLog, Executions, History, Ingest, MessageRouter,
    StreamSource, System,
};
use http::Method;
use transport_graphql::{Connections, GraphqlApi, GraphqlOptions, GraphqlParts};
use transport_rest::{
    HistoryApi, HistoryOptions, HistoryParts, IngestApi, RestApi, RestOptions, method_not_allowed, not_found,
};
use transport_sse::SseMessageRouterAdapter;

use crate::{
    Config, GraphqlConfig,
    accept::OpenConnections,
    guards::{
        content_type, headers,
        host::{self, AllowedHosts},
        origin::{self, AllowedOrigins},
        sockets::{self, Room},
    },
    health::{self, Stopping},
    metrics::{self, IngestCounts, MeteredIngest},
    owner::Owner,
    page,
};

/// What the routes serve.
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) router: Arc<dyn MessageRouter>,
    pub(crate) connections: OpenConnections,
    pub(crate) ingest: Arc<dyn Ingest>,
    pub(crate) ingest_counts: Arc<IngestCounts>,
    pub(crate) executions: Arc<dyn Executions>,
    pub(crate) history: Arc<dyn History>,
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) streams: Arc<dyn StreamSource>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: Arc<crate::legacy::Legacy>,
    pub(crate) diagrams: Arc<dyn Diagrams>,
    pub(crate) cli_sessions: Arc<dyn CliSessions>,
    pub(crate) system: Arc<dyn System>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stopping: Stopping,
    pub(crate) owner: Option<Arc<Owner>>,
}

/// All routes, and the WebSockets that leave them. The guards run from the last layer to the first.
pub(crate) fn app(config: &Config, parts: Parts) -> (Router, Connections) {
    let origins = AllowedOrigins::new(&config.allowed_origins);
    let graphql = GraphqlApi::new(GraphqlParts {
        executions: Arc::clone(&parts.executions),
        diagrams: parts.diagrams,
        cli_sessions: parts.cli_sessions,
        system: parts.system,
        streams: Arc::clone(&parts.streams),
        #[cfg(feature = "legacy")]
        legacy: Some(parts.legacy.messages()),
        clock: Arc::clone(&parts.clock),
        options: graphql_options(config, origins.clone()),
    });
    let sockets = graphql.connections();
    let room = Room { open: sockets.clone(), most: config.max_connections };
    let graphql = graphql.into_router().layer(middleware::from_fn_with_state(room, sockets::guard));

    let metrics = metrics::routes(metrics::Sources {
        log: Arc::clone(&parts.log),
        router: parts.router,
        connections: parts.connections,
        sockets: sockets.clone(),
        ingest: Arc::clone(&parts.ingest_counts),
    });
    let ingest: Arc<dyn Ingest> = Arc::new(MeteredIngest::new(parts.ingest, parts.ingest_counts));

    let Parts { log, executions, streams, clock, stopping, owner, .. } = parts;
    let sse = SseMessageRouterAdapter::new(
        Arc::clone(&streams),
        streams,
        Arc::clone(&parts.history),
        Arc::clone(&clock),
    )
    .into_router();
    #[cfg(feature = "legacy")]
    let sse = parts.legacy.mount(sse, &clock);
    let history = HistoryParts {
        history: parts.history,
        archive: parts.archive,
        executions: Arc::clone(&executions),
        clock,
    };
    let options = RestOptions { max_body_bytes: config.max_body_bytes };
    let rest = RestApi::new(executions, Arc::clone(&ingest), options);
    let app = Router::new()
        .merge(page::routes())
        .merge(health::routes(stopping, log))
        .merge(metrics)
        .merge(owner.map(Owner::routes).unwrap_or_default())
        .merge(sse)
        .merge(rest.into_router())
        .merge(IngestApi::new(ingest, options).into_router())
        .merge(HistoryApi::new(history, history_options(config)).into_router())
        .merge(graphql)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(content_type::guard))
        .layer(middleware::from_fn_with_state(origins, origin::guard))
        .layer(middleware::from_fn_with_state(AllowedHosts::new(&config.allowed_hosts), host::guard))
        .layer(middleware::from_fn(headers::add));
    (app, sockets)
}

fn history_options(config: &Config) -> HistoryOptions {
    HistoryOptions { max_import_bytes: config.ingest.max_import_bytes, ..HistoryOptions::default() }
}

fn graphql_options(config: &Config, origins: AllowedOrigins) -> GraphqlOptions {
    let GraphqlConfig { max_depth, max_complexity, max_operations, init_timeout, ping_interval } =
        config.graphql;
    GraphqlOptions {
        max_body_bytes: config.max_body_bytes,
        max_depth,
        max_complexity,
        max_operations,
        init_timeout,
        ping_interval,
        origin: Arc::new(move |headers| origins.check(&Method::GET, headers).is_ok()),
    }
}
