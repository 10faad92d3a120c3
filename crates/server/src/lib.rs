//! The composition root: the one place that names concrete types and wires them (I10).
//!
//! [`Server::start`] binds, serves and returns; [`Server::stop`] drains. In between
//!
//! - `executions` starts runs and owns their tasks,
//! - `accept` owns connections,
//! - `guards` keeps out what comes from other people's web pages, since a run executes code,
//! - `page` is what `/` serves.
//!
//! [`Config`] is read in layers: defaults, `dipeo.toml`, `DIPEO_*`, flags.

mod accept;
mod app;
mod config;
mod descriptors;
mod executions;
mod guards;
mod health;
mod page;
mod run_watch;
mod server;

pub use self::{
    config::{Config, ConfigError, ConfigFault, ConfigSources, LogConfig},
    server::{Server, StartupError},
};
