//! The composition root: the one place that names concrete types and wires them (I10).
//!
//! [`Server::start`] binds, serves and returns; [`Server::stop`] drains. In between
//!
//! - `recovery` ends the runs that an earlier process left unfinished,
//! - `executions` starts runs and owns their tasks,
//! - `accept` owns connections,
//! - `guards` keeps out what comes from other people's web pages, since a run executes code,
//! - `page` is what `/` serves,
//! - `health` and `metrics` tell whoever operates it how it is.
//!
//! [`Config`] is read in layers: defaults, `dipeo.toml`, `DIPEO_*`, flags.

mod accept;
mod app;
mod cli_sessions;
mod config;
mod descriptors;
mod diagrams;
mod executions;
mod guards;
mod health;
#[cfg(feature = "legacy")]
mod legacy;
mod metrics;
mod observers;
mod owner;
mod page;
mod paths;
mod recovery;
mod run_watch;
mod server;
mod store;
mod system;
#[cfg(test)]
mod testing;

pub use log_capture::CaptureLayer;

pub use self::{
    config::{
        Config, ConfigError, ConfigFault, ConfigSources, EffectiveSetting, Explained, GraphqlConfig,
        IngestConfig, LogConfig, LogDurability, LogStore, Origin, RetentionConfig, parse_time,
    },
    observers::CompositeObserver,
    owner::OwnerKind,
    server::{Server, StartupError},
};
