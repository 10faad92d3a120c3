//! GraphQL over HTTP and WebSocket: queries, mutations, and runs as subscriptions.
//!
//! Everything is at `/graphql`:
//!
//! - `POST` takes `{query, operationName?, variables?}` as JSON; `GET` takes the same as parameters, but runs queries only;
//! - a WebSocket speaks `graphql-transport-ws`: all operations, and the only place for subscriptions;
//! - a browser that opens it as a page gets GraphiQL, which needs nothing from anywhere else.
//!
//! Types are those of the original's last schema: operations in camelCase, arguments and fields in snake_case. [`GraphqlApi::sdl`]
//! prints them. [`GraphqlApi`] knows the ports of `core-events` and nothing behind them (I10).

mod api;
mod connections;
mod encoder;
mod graphiql;
mod http;
#[cfg(feature = "legacy")]
mod legacy;
mod options;
mod schema;
mod updates;
mod ws;

pub use self::{
    api::{GraphqlApi, GraphqlParts},
    connections::Connections,
    encoder::GraphqlEncoder,
    options::{GraphqlOptions, OriginCheck, same_origin},
};
