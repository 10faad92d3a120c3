//! Interleavings as data: plans of what is published, removed, closed and read in whatever order, the model of what a
//! reader must see, and the worlds that try a plan on a log.
//!
//! The model is the list of all records that the log ever took. What a reader got is checked against it, with the log as a
//! witness of what is gone.

mod cast;
mod model;
mod plan;
mod race;
mod world;

pub use self::{
    cast::{Cast, FILTERS, Kind, Lines, RUNS, SUBS},
    model::{Model, Stream},
    plan::{Ask, From, Op, Target, ops, routers},
    race::Race,
    world::{Subject, Tally, World},
};
