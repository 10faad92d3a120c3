//! One operation of a connection.

use std::sync::Arc;

use async_graphql::{
    ErrorExtensionValues, Pos, Request, Response, ServerError, Value, parser::types::OperationType,
};
use futures_util::{
    StreamExt,
    future::{self, AbortHandle},
    stream::{self, BoxStream},
};

use super::message::ServerMessage;
use crate::{
    http::{Payload, is_request_error, operation_type},
    schema::ApiSchema,
};

/// What an operation has to say.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) id: Arc<str>,
    pub(super) reply: Reply,
}

#[derive(Debug)]
pub(super) enum Reply {
    Next(Response),
    /// Nothing comes any more, and the client has not got all.
    Error(Vec<ServerError>),
    /// Nothing comes any more.
    Complete,
}

/// The operation's replies, and what ends it. The last one is a [`Reply::Error`] or a [`Reply::Complete`].
pub(super) fn start(
    schema: &ApiSchema,
    id: Arc<str>,
    mut request: Request,
) -> (BoxStream<'static, Output>, AbortHandle) {
    let replies = match operation_type(&mut request) {
        Ok(kind) => {
            let is_subscription = kind == Some(OperationType::Subscription);
            schema
                .execute_stream(request)
                .map(move |response| Reply::of(response, is_subscription))
                .chain(stream::once(future::ready(Reply::Complete)))
                .boxed()
        }
        Err(error) => stream::once(future::ready(Reply::Error(vec![error]))).boxed(),
    };
    let outputs = replies.map(move |reply| Output { id: Arc::clone(&id), reply });
    let (outputs, handle) = stream::abortable(outputs);
    (outputs.boxed(), handle)
}

// === impl Reply ===

impl Reply {
    pub(super) fn refusal(code: &str, text: &str) -> Self {
        let mut error = ServerError::new(text, None::<Pos>);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", code);
        error.extensions = Some(extensions);
        Self::Error(vec![error])
    }

    /// What was not executed at all, and a subscription that can't go on, are errors; what went wrong in the executing of
    /// anything else is a part of its result.
    fn of(response: Response, is_subscription: bool) -> Self {
        let failed = is_subscription && response.data == Value::Null && !response.errors.is_empty();
        if failed || is_request_error(&response) {
            Self::Error(response.errors)
        } else {
            Self::Next(response)
        }
    }

    pub(super) fn is_last(&self) -> bool {
        !matches!(self, Self::Next(_))
    }

    pub(super) fn message<'a>(&'a self, id: &'a str) -> ServerMessage<'a> {
        match self {
            Self::Next(response) => ServerMessage::Next { id, payload: Payload::of(response) },
            Self::Error(errors) => ServerMessage::Error { id, payload: errors },
            Self::Complete => ServerMessage::Complete { id },
        }
    }
}
