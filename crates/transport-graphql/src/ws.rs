//! `graphql-transport-ws`, the protocol of npm `graphql-ws`, with all its close codes.

mod message;
mod operation;

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::http::{HeaderMap, StatusCode};
use axum::{
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::{IntoResponse, Response},
};
use core_events::limits;
use futures_util::{
    StreamExt,
    future::AbortHandle,
    stream::{BoxStream, SelectAll},
};
use tokio::time::{Instant, MissedTickBehavior};

use self::{
    message::{ClientMessage, ServerMessage, decode},
    operation::{Output, Reply},
};
use crate::{GraphqlApi, connections::Connection};

/// The one sub-protocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// How long the other side may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest reason that a close frame holds, in bytes.
const MAX_REASON_BYTES: usize = 123;

/// Answers the upgrade.
///
/// A page that may not connect, and a client of another sub-protocol, are told by a close code, which their libraries take as
/// final; a refused upgrade would have them come back for ever.
pub(crate) fn open(api: &Arc<GraphqlApi>, upgrade: WebSocketUpgrade, headers: &HeaderMap) -> Response {
    let connection = api.connections.enter();
    if connection.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").into_response();
    }
    let is_allowed = (api.options.origin)(headers);
    let api = Arc::clone(api);
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(api.options.max_body_bytes)
        .max_frame_size(api.options.max_body_bytes)
        .on_upgrade(move |mut socket| async move {
            if !is_allowed {
                close(&mut socket, Close(4403, "Forbidden".to_owned())).await;
            } else if socket.protocol().is_none_or(|protocol| protocol != PROTOCOL) {
                close(&mut socket, Close(4406, "Subprotocol not acceptable".to_owned())).await;
            } else {
                let session = Session::new(&api, socket);
                connection.until_cut_off(session.run(&connection)).await;
            }
        })
}

/// Why this side closes: code and reason.
#[derive(Debug)]
struct Close(u16, String);

/// Why a session ends.
#[derive(Debug)]
enum Exit {
    Close(Close),
    /// The other side closed, or the connection is broken.
    Gone,
}

/// One connection.
///
/// # Lagging
///
/// One message is written at a time, and operations are asked for the next one when it is out: a client that does not read
/// holds nothing but its own subscriptions (I4).
///
/// # Closing
///
/// Dropping it ends all its operations.
struct Session {
    api: Arc<GraphqlApi>,
    socket: WebSocket,
    is_acknowledged: bool,
    /// Whether anything came since the last ping.
    heard: bool,
    operations: SelectAll<BoxStream<'static, Output>>,
    active: HashMap<Arc<str>, AbortHandle>,
}

// === impl Session ===

impl Session {
    fn new(api: &Arc<GraphqlApi>, socket: WebSocket) -> Self {
        Self {
            api: Arc::clone(api),
            socket,
            is_acknowledged: false,
            heard: true,
            operations: SelectAll::new(),
            active: HashMap::new(),
        }
    }

    async fn run(mut self, connection: &Connection) {
        match self.serve(connection).await {
            Err(Exit::Close(reason)) => {
                // Operations end here and not when the other side has answered.
                self.operations.clear();
                close(&mut self.socket, reason).await;
            }
            Err(Exit::Gone) => {}
            Ok(never) => match never {},
        }
    }

    async fn serve(&mut self, connection: &Connection) -> Result<std::convert::Infallible, Exit> {
        let options = self.api.options.clone();
        let unacknowledged = tokio::time::sleep(options.init_timeout);
        tokio::pin!(unacknowledged);
        let mut ping =
            tokio::time::interval_at(Instant::now() + options.ping_interval, options.ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if connection.is_stopping() && self.active.is_empty() {
                return Err(exit(1001, "the server stops"));
            }
            tokio::select! {
                message = self.socket.recv() => {
                    self.heard = true;
                    self.take(message, connection).await?;
                }
                Some(output) = self.operations.next() => self.reply(output).await?,
                () = &mut unacknowledged, if !self.is_acknowledged => {
                    return Err(exit(4408, "Connection initialisation timeout"));
                }
                _ = ping.tick() => {
                    if !std::mem::take(&mut self.heard) {
                        return Err(Exit::Gone);
                    }
                    self.send(Message::Ping(Default::default())).await?;
                }
                () = connection.stopping(), if !connection.is_stopping() => {}
            }
        }
    }

    async fn take(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
        connection: &Connection,
    ) -> Result<(), Exit> {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return Err(exit(4400, "messages are JSON texts")),
            Some(Ok(Message::Close(_))) | None => return Err(Exit::Gone),
            // Too large, not UTF-8, or no WebSocket frame; where the connection is broken, nobody hears it.
            Some(Err(error)) => return Err(exit(1009, &error.to_string())),
        };
        match decode(text.as_str()).map_err(|problem| exit(4400, &problem))? {
            ClientMessage::ConnectionInit { .. } if self.is_acknowledged => {
                Err(exit(4429, "Too many initialisation requests"))
            }
            ClientMessage::ConnectionInit { .. } => {
                self.is_acknowledged = true;
                self.say(&ServerMessage::ConnectionAck).await
            }
            ClientMessage::Ping { payload } => self.say(&ServerMessage::Pong { payload }).await,
            ClientMessage::Pong { .. } => Ok(()),
            ClientMessage::Subscribe { .. } if !self.is_acknowledged => Err(exit(4401, "Unauthorized")),
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload, connection).await,
            ClientMessage::Complete { id } => {
                if let Some(handle) = self.active.remove(id.as_str()) {
                    handle.abort();
                }
                Ok(())
            }
        }
    }

    async fn subscribe(
        &mut self,
        id: String,
        payload: serde_json::Value,
        connection: &Connection,
    ) -> Result<(), Exit> {
        if id.is_empty() {
            return Err(exit(4400, "`id` is empty"));
        }
        if self.active.contains_key(id.as_str()) {
            return Err(exit(4409, &format!("Subscriber for {id} already exists")));
        }
        let request =
            crate::http::read(payload).map_err(|problem| exit(4400, &format!("`payload`: {problem}")))?;
        let id: Arc<str> = id.into();
        if connection.is_stopping() {
            let reply = Reply::refusal("SHUTDOWN", "the server stops");
            return self.say(&reply.message(&id)).await;
        }
        let limit = self.api.options.max_operations;
        if self.active.len() >= limit {
            let text = format!("this connection has {limit} operations under way, which is the limit");
            return self.say(&Reply::refusal("TOO_MANY_OPERATIONS", &text).message(&id)).await;
        }
        let (stream, handle) = operation::start(&self.api.schema, Arc::clone(&id), request);
        self.active.insert(id, handle);
        self.operations.push(stream);
        Ok(())
    }

    async fn reply(&mut self, output: Output) -> Result<(), Exit> {
        if output.reply.is_last()
            && let Some(handle) = self.active.remove(&output.id)
        {
            // Nothing comes after an error, though the executor would go on.
            handle.abort();
        }
        self.say(&output.reply.message(&output.id)).await
    }

    async fn say(&mut self, message: &ServerMessage<'_>) -> Result<(), Exit> {
        let text = serde_json::to_string(message).map_err(|error| exit(1011, &error.to_string()))?;
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Exit> {
        self.socket.send(message).await.map_err(|_| Exit::Gone)
    }
}

fn exit(code: u16, reason: &str) -> Exit {
    Exit::Close(Close(code, reason.to_owned()))
}

/// Says why, and waits until the other side has read it: a connection that is closed with something unread in it is reset,
/// which may take the reason along.
async fn close(socket: &mut WebSocket, Close(code, reason): Close) {
    let reason = limits::head(&reason, MAX_REASON_BYTES).into();
    if socket.send(Message::Close(Some(CloseFrame { code, reason }))).await.is_ok() {
        let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, answered).await.is_err() {
            tracing::debug!(code, "a WebSocket did not answer its close");
        }
    }
}
