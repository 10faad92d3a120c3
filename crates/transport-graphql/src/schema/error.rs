//! Errors outside of results: a text for a person, `extensions.code` for a program.

use async_graphql::{Error, ErrorExtensions as _};
use core_events::{
    End, EndReason,
    ports::{LookupError, SubscribeError},
};

/// An error with its code.
pub(crate) fn coded(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}

pub(crate) fn lookup(error: &LookupError) -> Error {
    let code = match error {
        LookupError::Unknown(_) => "NOT_FOUND",
        LookupError::Deleted(_) => "DELETED",
        LookupError::Unavailable(_) => "UNAVAILABLE",
    };
    coded(code, error.to_string())
}

/// Why no stream was opened. `cursor` is where the client wanted to go on.
pub(crate) fn subscribe(error: &SubscribeError, cursor: Option<&str>) -> Error {
    let (code, retry) = match error {
        SubscribeError::Lookup(error) => return lookup(error),
        SubscribeError::Closed(reason) => (code(*reason), reason.reconnect()),
        SubscribeError::TooMany(_) => ("TOO_MANY_STREAMS", true),
    };
    coded(code, error.to_string()).extend_with(|_, extensions| {
        extensions.set("retry", retry);
        if let Some(cursor) = cursor {
            extensions.set("cursor", cursor);
        }
    })
}

/// A stream that ended before its run did.
pub(crate) fn ended(end: &End) -> Error {
    let message = match end.reason {
        EndReason::Completed => "the execution is over",
        EndReason::Shutdown => "the server stops",
        EndReason::Moved => "another path serves this execution from now on",
        EndReason::Slow => "the subscription was too slow",
        EndReason::Deleted => "the execution was deleted",
        EndReason::Error => "the stream can't go on",
    };
    coded(code(end.reason), message).extend_with(|_, extensions| {
        extensions.set("cursor", end.cursor.to_string());
        extensions.set("retry", end.reason.reconnect());
    })
}

fn code(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Completed => "COMPLETED",
        EndReason::Shutdown => "SHUTDOWN",
        EndReason::Moved => "MOVED",
        EndReason::Slow => "SLOW",
        EndReason::Deleted => "DELETED",
        EndReason::Error => "ERROR",
    }
}
