//! Streams of events as Server-Sent Events.
//!
//! - [`SseMessageRouterAdapter`] serves `GET /sse/executions/{id}`, `GET /sse/unified/executions/{id}` and
//!   `GET /sse/executions` from a [`StreamSource`](core_events::ports::StreamSource), and knows nothing behind it (I10). With
//!   `?speed=` it shows a finished run again, from the [`History`](core_events::ports::History), as fast as is wished.
//! - [`StreamRequest`] reads what a client asks for; [`frames`] writes what a stream says; [`SseBody`] puts both around
//!   a subscription. None of them needs the adapter, so that a raw listener can use them.
//! - [`WriteDeadline`] wraps a connection: a client that takes nothing for a minute loses it (I4).
//!
//! All frames are unnamed events, so that `EventSource.onmessage` sees them.

mod adapter;
mod body;
mod encoder;
pub mod frames;
#[cfg(feature = "legacy")]
mod legacy;
mod problem;
mod replay;
mod request;
mod window;
mod write_deadline;

#[cfg(feature = "legacy")]
pub use self::legacy::with_legacy;
pub use self::{
    adapter::SseMessageRouterAdapter,
    body::{HEARTBEAT_AFTER, MAX_POLL_BYTES, SseBody},
    encoder::SseEncoder,
    request::{RequestError, Speed, StreamRequest},
    window::WINDOW_EVENTS,
    write_deadline::{WRITE_DEADLINE, WriteDeadline},
};
