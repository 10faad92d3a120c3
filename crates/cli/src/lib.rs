//! The `dipeo` command: run a diagram and watch it, serve, validate, look at what ran.
//!
//! A run is watched the same way wherever it is: over server-sent events, through [`client`]. Without `--server` the
//! server is one of our own, on a free loopback port, for as long as the run takes; or the one that owns the log of the data
//! directory, if there is one. What ran before is looked at in the same way.
//!
//! # Exit codes
//!
//! 0 done, 1 the run failed (or a node in it did), 2 nothing was run (usage, diagram, or the surroundings), 124 the run
//! took too long, 130 interrupted, 143 terminated. What the run ended with is what its terminal event says.

mod app;
mod args;
mod config;
mod error;
mod executions;
mod exit;
mod input;
mod log;
mod logging;
mod ownership;
mod render;
mod run;
mod screen;
mod serve;
mod signals;
mod table;
mod text;
mod validate;

pub use app::main;
