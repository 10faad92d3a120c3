//! The route.

use std::{fmt, sync::Arc};

use async_graphql::SDLExportOptions;
use axum::{Router, extract::DefaultBodyLimit, routing::get};
use core_events::ports::{CliSessions, Clock, Diagrams, Executions, StreamSource, System};

use crate::{
    Connections, GraphqlOptions, graphiql, http,
    schema::{self, ApiSchema, Ports},
};

/// What the API serves.
#[derive(Debug, Clone)]
pub struct GraphqlParts {
    /// Starts, controls and looks up executions.
    pub executions: Arc<dyn Executions>,
    /// Checks and finds diagrams.
    pub diagrams: Arc<dyn Diagrams>,
    /// Terminals that show a run.
    pub cli_sessions: Arc<dyn CliSessions>,
    /// What the process is.
    pub system: Arc<dyn System>,
    /// The log.
    pub streams: Arc<dyn StreamSource>,
    /// The legacy web path; absent if it is not running.
    #[cfg(feature = "legacy")]
    pub legacy: Option<Arc<dyn StreamSource>>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Bounds.
    pub options: GraphqlOptions,
}

/// Serves `/graphql`.
#[derive(Clone)]
pub struct GraphqlApi {
    pub(crate) schema: ApiSchema,
    pub(crate) options: GraphqlOptions,
    pub(crate) connections: Connections,
}

// === impl GraphqlApi ===

impl GraphqlApi {
    /// The API over `parts`.
    #[must_use]
    pub fn new(parts: GraphqlParts) -> Self {
        let options = parts.options.clone();
        let schema = schema::build(&Arc::new(Ports::new(parts)), &options);
        Self { schema, options, connections: Connections::default() }
    }

    /// Its WebSockets. A server that stops closes the source of the streams, then these.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// The schema of this build in the schema definition language.
    #[must_use]
    pub fn sdl(&self) -> String {
        let options = SDLExportOptions::new()
            .sorted_fields()
            .sorted_arguments()
            .prefer_single_line_descriptions()
            .use_space_ident()
            .indent_width(2);
        self.schema.sdl_with_options(options)
    }

    /// The routes: `/graphql`, and the files of its page below it.
    pub fn into_router(self) -> Router {
        let limit = DefaultBodyLimit::max(self.options.max_body_bytes);
        Router::new()
            .route("/graphql", get(http::get).post(http::post).fallback(http::method_not_allowed))
            .layer(limit)
            .with_state(Arc::new(self))
            .merge(graphiql::routes())
    }
}

impl fmt::Debug for GraphqlApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphqlApi")
            .field("options", &self.options)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
