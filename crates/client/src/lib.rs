//! Starts, looks up and follows executions of a DiPeO server over HTTP.
//!
//! [`Client`] is the REST side. [`Client::follow`] opens a [`FollowStream`]: server-sent events, resumed with
//! `Last-Event-ID` after every interruption, so that its reader sees each event once and in order, or is told of a gap.
//! [`SseDecoder`] is the format underneath, for whoever reads the bytes otherwise.
//!
//! [`find_owner`] finds the server that owns a data directory, and has it prove that it does.
//!
//! Only `http` addresses: TLS is not supported yet, and an `https` address is refused with an error that says so.

mod backoff;
mod client;
mod error;
mod follow;
mod history;
mod owner;
mod sse;

pub use client::{Client, Snapshot, StartRequest, Started};
pub use error::{ClientError, Problem};
pub use follow::{EventItem, FollowFrom, FollowOptions, FollowStream, GapItem, Item, Lost, Unreadable};
pub use history::{EventPages, EventsRequest, Export, Imported, ListRequest, LogReport};
pub use owner::{Found, Owner, OwnerKind, find_owner};
pub use sse::{SseBlock, SseDecoder, TooLong};
