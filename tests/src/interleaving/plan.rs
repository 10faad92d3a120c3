//! What is tried.

use core_events::ports::Budget;
use proptest::prelude::*;
use router::RouterOptions;

use super::cast::{FILTERS, Kind, RUNS, SUBS};

/// One step of a plan. `R` is how the log can end and be opened again.
#[derive(Debug, Clone)]
pub enum Op<R> {
    /// Appends next to each other.
    Publish {
        /// Which run.
        run: usize,
        /// The sub-run, and what it says.
        facts: Vec<(Option<usize>, Kind)>,
    },
    /// So many appends of one log line, all at once.
    Burst {
        /// Which run.
        run: usize,
        /// How many.
        lines: usize,
    },
    /// A new reader.
    Subscribe(Ask),
    /// One that asks for what another reader has, so that they share a view.
    Join {
        /// Which reader.
        reader: usize,
        /// From where.
        from: From,
    },
    /// Polls a reader if it was woken, at most so often.
    Poll {
        /// Which reader.
        reader: usize,
        /// How much it takes at once.
        budget: Budget,
        /// How often.
        times: usize,
    },
    /// Lets a reader read until it has everything.
    CatchUp {
        /// Which reader.
        reader: usize,
    },
    /// A reader goes.
    Drop {
        /// Which reader.
        reader: usize,
    },
    /// Somebody deletes a run.
    Remove {
        /// Which run.
        run: usize,
    },
    /// The router closes.
    Close,
    /// All readers go, and a new router begins on the same log: nothing is in its tail.
    Reroute,
    /// The log ends and is opened again.
    Restart {
        /// How.
        how: R,
        /// A run that logs meanwhile,
        run: usize,
        /// so many lines that are on their way when the log ends.
        lines: usize,
    },
}

/// What a reader asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whose events.
    pub target: Target,
    /// From where.
    pub from: From,
    /// Which filter.
    pub filter: usize,
}

/// Whose events a reader asks for.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Of all runs.
    All,
    /// Of a root run.
    Run(usize),
    /// Of a sub-run.
    Sub(usize, usize),
}

/// Where a reader asks to start.
#[derive(Debug, Clone, Copy)]
pub enum From {
    /// With the first event.
    Beginning,
    /// With the next event.
    Now,
    /// Any cursor that any reader was ever given.
    Handed(usize),
    /// A cursor of another log.
    Foreign,
    /// A cursor behind the head.
    Future,
}

/// Bounds of a router, mostly so small that readers fall out of them.
pub fn routers() -> impl Strategy<Value = RouterOptions> {
    let small = (0_usize..40, prop_oneof![Just(1_usize), 500..4_000_usize, Just(1 << 20)]).prop_map(
        |(tail_records, view_bytes)| RouterOptions { tail_records, view_bytes, ..RouterOptions::default() },
    );
    prop_oneof![1 => Just(RouterOptions::default()), 3 => small]
}

/// A step that any log can take.
pub fn ops<R: Clone + std::fmt::Debug + 'static>() -> BoxedStrategy<Op<R>> {
    let kind = prop_oneof![8 => Just(Kind::Log), 8 => (0_u8..3).prop_map(Kind::Node), 2 => Just(Kind::End)];
    let facts = prop::collection::vec((prop::option::of(0..SUBS), kind), 1..5);
    let budget = (1_usize..6, prop_oneof![Just(1_usize), Just(400), Just(usize::MAX)])
        .prop_map(|(events, bytes)| Budget { events, bytes });
    prop_oneof![
        12 => (0..RUNS, facts).prop_map(|(run, facts)| Op::Publish { run, facts }),
        1 => (0..RUNS, 1_usize..130).prop_map(|(run, lines)| Op::Burst { run, lines }),
        6 => asks().prop_map(Op::Subscribe),
        4 => (any::<usize>(), starts()).prop_map(|(reader, from)| Op::Join { reader, from }),
        16 => (any::<usize>(), budget, 1_usize..8)
            .prop_map(|(reader, budget, times)| Op::Poll { reader, budget, times }),
        1 => any::<usize>().prop_map(|reader| Op::CatchUp { reader }),
        1 => any::<usize>().prop_map(|reader| Op::Drop { reader }),
        1 => (0..RUNS).prop_map(|run| Op::Remove { run }),
        1 => Just(Op::Close),
        1 => Just(Op::Reroute),
    ]
    .boxed()
}

fn asks() -> impl Strategy<Value = Ask> {
    let target = prop_oneof![
        2 => Just(Target::All),
        3 => (0..RUNS).prop_map(Target::Run),
        2 => (0..RUNS, 0..SUBS).prop_map(|(run, sub)| Target::Sub(run, sub)),
    ];
    (target, starts(), 0..FILTERS).prop_map(|(target, from, filter)| Ask { target, from, filter })
}

fn starts() -> impl Strategy<Value = From> {
    prop_oneof![
        4 => Just(From::Beginning),
        2 => Just(From::Now),
        4 => any::<usize>().prop_map(From::Handed),
        1 => Just(From::Foreign),
        1 => Just(From::Future),
    ]
}
