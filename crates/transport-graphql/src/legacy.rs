//! The subscriptions of the legacy web path, as the original's first schema has them.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_graphql::{ID, Result, SimpleObject, Subscription as GraphqlSubscription};
use bytes::Bytes;
use core_events::{
    EndReason, EventType, ExecutionId, Filter, NodeId,
    ports::{Delivery, LookupError, Start, SubscribeError, SubscribeRequest, Subscribed, Subscription},
};
use futures_util::{Stream, StreamExt, future::Either, stream};
use serde_json::{Value, json};

use crate::{
    GraphqlEncoder, encoder,
    schema::{Ports, coded, ended, subscribe},
    updates::{BUDGET, join, parse_id},
};

/// A message of the legacy web path.
#[derive(SimpleObject, Debug)]
#[graphql(rename_fields = "snake_case")]
pub(crate) struct ExecutionUpdate {
    /// The execution that was asked for.
    execution_id: String,
    /// The message's type.
    event_type: String,
    /// What it says.
    data: Value,
    /// When.
    timestamp: String,
}

/// The subscriptions of the legacy web path.
#[derive(Debug)]
pub(crate) struct LegacySubscriptions(pub(crate) Arc<Ports>);

// === impl LegacySubscriptions ===

#[GraphqlSubscription(rename_fields = "snake_case", rename_args = "snake_case")]
impl LegacySubscriptions {
    /// The messages of an execution on the legacy path; of an unknown one there are none.
    async fn execution_updates(
        &self,
        execution_id: ID,
    ) -> Result<impl Stream<Item = Result<ExecutionUpdate>>> {
        let execution = parse_id(&execution_id)?;
        let messages = self.open(&execution, None, None).await?;
        let ports = Arc::clone(&self.0);
        Ok(messages
            .map(move |message| message.map(|message| ExecutionUpdate::of(&execution, message, &ports))))
    }

    /// What happens to the nodes of an execution, or to one of them, on the legacy path.
    async fn node_updates(
        &self,
        execution_id: ID,
        node_id: Option<String>,
    ) -> Result<impl Stream<Item = Result<Value>>> {
        let types = [EventType::NodeStatusChanged, EventType::NodeProgress];
        let nodes = node_id.map(|id| BTreeSet::from([NodeId::from(id.as_str())]));
        let messages = self.open(&parse_id(&execution_id)?, Some(types.into()), nodes).await?;
        Ok(messages.map(|message| message.map(data)))
    }

    /// What the nodes of an execution ask a person, on the legacy path.
    async fn interactive_prompts(&self, execution_id: ID) -> Result<impl Stream<Item = Result<Value>>> {
        let types = BTreeSet::from([EventType::InteractivePrompt]);
        let messages = self.open(&parse_id(&execution_id)?, Some(types), None).await?;
        Ok(messages.map(|message| message.map(data)))
    }
}

impl LegacySubscriptions {
    async fn open(
        &self,
        execution: &ExecutionId,
        types: Option<BTreeSet<EventType>>,
        nodes: Option<BTreeSet<NodeId>>,
    ) -> Result<impl Stream<Item = Result<Value>> + use<>> {
        let Some(source) = &self.0.legacy else {
            return Err(coded("UNAVAILABLE", "the legacy monitoring path is not running"));
        };
        let request = SubscribeRequest {
            execution: Some(execution.clone()),
            start: Start::Beginning,
            filter: Filter { types, nodes, executions: None },
            encoder: Arc::new(GraphqlEncoder),
        };
        match source.subscribe(request).await {
            Ok(Subscribed::Open(subscription)) => {
                Ok(Either::Left(Messages { subscription, block: Bytes::new(), is_over: false }))
            }
            // As the original had it.
            Ok(Subscribed::Finished) | Err(SubscribeError::Lookup(LookupError::Unknown(_))) => {
                Ok(Either::Right(stream::empty()))
            }
            Err(error) => Err(subscribe(&error, None)),
        }
    }
}

// === impl ExecutionUpdate ===

impl ExecutionUpdate {
    fn of(execution: &ExecutionId, message: Value, ports: &Ports) -> Self {
        let text = |key: &str| message.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            execution_id: execution.to_string(),
            event_type: text("type").unwrap_or_else(|| "unknown".to_owned()),
            timestamp: text("timestamp").unwrap_or_else(|| ports.clock.now().to_string()),
            data: data(message),
        }
    }
}

fn data(mut message: Value) -> Value {
    message.get_mut("data").map_or_else(|| json!({}), Value::take)
}

/// The messages themselves. Whoever loses some gets an error, and nothing after it.
struct Messages {
    subscription: Box<dyn Subscription>,
    block: Bytes,
    is_over: bool,
}

impl Stream for Messages {
    type Item = Result<Value>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(framed) = encoder::next(&mut self.block) {
                let message = serde_json::from_slice(&framed.json);
                let message =
                    message.map_err(|error| coded("INTERNAL", format!("a message can't be read: {error}")));
                return Poll::Ready(Some(message));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match ready!(self.subscription.poll_next(cx, BUDGET)) {
                Delivery::Block(block) => self.block = join(block.slices),
                Delivery::Ephemeral(bytes) => self.block = bytes,
                Delivery::Id(_) => {}
                Delivery::Gap(_) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(coded(
                        "SLOW",
                        "the subscription was too slow and lost messages",
                    ))));
                }
                Delivery::End(end) => {
                    self.is_over = true;
                    if end.reason != EndReason::Completed {
                        return Poll::Ready(Some(Err(ended(&end))));
                    }
                }
            }
        }
    }
}
