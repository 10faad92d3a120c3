//! The schema.

mod error;
mod executions;
mod json;
mod mutation;
mod query;
mod results;
mod scalars;

use std::sync::Arc;

use async_graphql::{MergedSubscription, Schema};
use core_events::ports::{CliSessions, Clock, Diagrams, Executions, StreamSource, System};

pub(crate) use self::{
    error::{coded, ended, lookup, subscribe},
    mutation::Mutation,
    query::Query,
    scalars::Status,
};
use crate::{GraphqlOptions, GraphqlParts, updates::ExecutionUpdates};

pub(crate) type ApiSchema = Schema<Query, Mutation, Subscriptions>;

/// What resolvers ask.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) executions: Arc<dyn Executions>,
    pub(crate) diagrams: Arc<dyn Diagrams>,
    pub(crate) cli_sessions: Arc<dyn CliSessions>,
    pub(crate) system: Arc<dyn System>,
    pub(crate) streams: Arc<dyn StreamSource>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: Option<Arc<dyn StreamSource>>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// All subscriptions.
#[derive(MergedSubscription)]
#[graphql(name = "Subscription")]
pub(crate) struct Subscriptions(
    ExecutionUpdates,
    #[cfg(feature = "legacy")] crate::legacy::LegacySubscriptions,
);

// === impl Ports ===

impl Ports {
    pub(crate) fn new(parts: GraphqlParts) -> Self {
        Self {
            executions: parts.executions,
            diagrams: parts.diagrams,
            cli_sessions: parts.cli_sessions,
            system: parts.system,
            streams: parts.streams,
            #[cfg(feature = "legacy")]
            legacy: parts.legacy,
            clock: parts.clock,
        }
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    fn new(ports: &Arc<Ports>) -> Self {
        Self(
            ExecutionUpdates(Arc::clone(ports)),
            #[cfg(feature = "legacy")]
            crate::legacy::LegacySubscriptions(Arc::clone(ports)),
        )
    }
}

pub(crate) fn build(ports: &Arc<Ports>, options: &GraphqlOptions) -> ApiSchema {
    let (query, mutation) = (Query(Arc::clone(ports)), Mutation(Arc::clone(ports)));
    Schema::build(query, mutation, Subscriptions::new(ports))
        .limit_depth(options.max_depth)
        .limit_complexity(options.max_complexity)
        .finish()
}
