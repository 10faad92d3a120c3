//! Runs as an observer sees them.

mod code_job;
mod failures;
mod flow;
mod stopping;
mod support;
