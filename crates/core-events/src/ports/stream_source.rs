use std::{
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Encoder, LookupError};
use crate::{Cursor, End, EndReason, ExecutionId, Filter, Gap};

/// Opens streams of events. Transports know this and nothing behind it (I10).
#[async_trait]
pub trait StreamSource: Send + Sync + std::fmt::Debug {
    /// Opens a stream. "From the start", "from this cursor" and "now" are this one call (I5).
    ///
    /// Dropping the subscription unregisters it.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`]; all of them are known before the stream opens.
    async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscribed, SubscribeError>;
}

/// What to stream.
#[derive(Debug, Clone)]
pub struct SubscribeRequest {
    /// One execution, root or sub-run; `None` for all runs.
    pub execution: Option<ExecutionId>,
    /// From where.
    pub start: Start,
    /// Only these events.
    pub filter: Filter,
    /// In which form.
    pub encoder: Arc<dyn Encoder>,
}

/// Where a stream starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the first event.
    Beginning,
    /// With the next event.
    Now,
    /// Behind this position.
    After(Cursor),
}

/// What a subscribe call gave.
#[derive(Debug)]
pub enum Subscribed {
    /// A stream.
    Open(Box<dyn Subscription>),
    /// The execution has ended and the start lies behind its terminal event: there will never be anything (I9).
    Finished,
}

/// A reader of a view: a cursor on the log.
///
/// # Ordering
///
/// Events come in the order of the log. On an unfiltered root stream `seq` has no hole except where a
/// [`Delivery::Gap`] says so (I5).
///
/// # Lagging
///
/// Nothing is queued for a reader. One that is late goes on from the log; where the log no longer holds the events,
/// it gets [`Delivery::Gap`] and then what is left (I4).
///
/// # Resuming
///
/// Any cursor that was handed out (in a block, as an id, in a gap's `to`) opens a stream that goes on behind it.
///
/// # Closing
///
/// [`Delivery::End`] comes once and is the last. Dropping the subscription ends it at any time.
pub trait Subscription: Send + std::fmt::Debug {
    /// Where it starts: all that matched up to here needs no delivery.
    fn start(&self) -> Cursor;

    /// What there is to deliver next, within `budget`. Registers the task's waker when there is nothing; allocates
    /// nothing then. After the end it is pending for ever.
    fn poll_next(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Delivery>;
}

/// How much a reader takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At most so many events.
    pub events: usize,
    /// Stop at so many bytes; one event is always delivered.
    pub bytes: usize,
}

/// One thing to deliver.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// Encoded events.
    Block(Block),
    /// No event, but all that matched up to here has been delivered (I8).
    Id(Cursor),
    /// An ephemeral event, encoded; it has no id.
    Ephemeral(Bytes),
    /// Events are missing here.
    Gap(Gap),
    /// Nothing more comes.
    End(End),
}

/// Encoded events: slices of bytes that all readers of the view share.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The bytes, in order.
    pub slices: Vec<Bytes>,
    /// How many events these are.
    pub events: usize,
    /// The position of the last one.
    pub last: Cursor,
}

/// Why no stream was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// No such execution, or no longer.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Nothing is opened any more.
    #[error("no streams are opened at present: {0:?}")]
    Closed(EndReason),
    /// There are too many streams.
    #[error("there are {0} open streams already, which is the limit")]
    TooMany(usize),
}
