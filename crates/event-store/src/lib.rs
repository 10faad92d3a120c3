//! The durable log: an [`EventLog`](core_events::ports::EventLog) on SQLite.
//!
//! - [`SqliteLog`] checks an append, gives it its place and encodes it in the caller's thread (`sequencer`), and hands it to
//!   one writer thread (`writer`), which commits all that waits at once (group commit) and then tells listeners.
//! - Reads go past the writer, over connections of their own (`reads`).
//! - What the disk can't take at present waits in a bounded backlog; nothing that fails here panics (I12).
//! - `schema` is the file's format; `session` decides whether cursors of an earlier life still hold (I7).

mod checkpoint;
mod faults;
mod log;
mod lookups;
mod options;
mod pool;
mod queue;
mod range;
mod reads;
mod remove;
mod retention;
mod row;
mod schema;
mod sequencer;
mod session;
mod shared;
mod states;
mod stats;
mod store;
#[cfg(test)]
mod testing;
mod watchdog;
mod writer;

pub use self::{
    log::{OpenError, SqliteLog},
    options::{Durability, Retention, StoreOptions},
};
