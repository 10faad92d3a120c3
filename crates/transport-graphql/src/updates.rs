//! `executionUpdates`: a stream of the log as a subscription.
//!
//! What `type` says of an event:
//!
//! | `event.type` | `status` | `type` |
//! |---|---|---|
//! | EXECUTION_STATUS_CHANGED | RUNNING | EXECUTION_STARTED |
//! | | COMPLETED | EXECUTION_COMPLETED |
//! | | any other | EXECUTION_STATUS_CHANGED |
//! | EXECUTION_ERROR | | EXECUTION_ERROR |
//! | NODE_STATUS_CHANGED | RUNNING | NODE_STARTED |
//! | | COMPLETED, MAXITER_REACHED | NODE_COMPLETED |
//! | | FAILED | NODE_ERROR |
//! | | any other | NODE_STATUS_CHANGED |
//! | NODE_PROGRESS | | NODE_OUTPUT |
//! | EXECUTION_LOG, INTERACTIVE_PROMPT, INTERACTIVE_RESPONSE, STREAM_GAP | | the same |
//! | any other | | EXECUTION_STATUS_CHANGED |

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_graphql::{Enum, ID, Object, Result, Subscription as GraphqlSubscription};
use bytes::{Bytes, BytesMut};
use core_events::{
    ControlFrame, Cursor, EndReason, EventType, ExecutionId, Filter, NodeId,
    ports::{Budget, Clock, Delivery, Start, SubscribeRequest, Subscribed, Subscription},
};
use futures_util::{Stream, future::Either, stream};
use serde_json::Value;

use crate::{
    GraphqlEncoder,
    encoder::{self, Framed},
    schema::{Ports, Status, coded, ended, subscribe},
};

/// What a subscription takes from the log at once.
pub(crate) const BUDGET: Budget = Budget { events: 100, bytes: 64 * 1024 };

/// Names in one list of a filter.
const MAX_NAMES: usize = 1_000;

/// What an update is about: the original's names, then ours. `event.type` has what the log calls it.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(name = "EventType")]
pub(crate) enum UpdateType {
    /// The execution is under way.
    ExecutionStarted,
    /// The execution came to its end.
    ExecutionCompleted,
    /// The execution failed.
    ExecutionError,
    /// A node began.
    NodeStarted,
    /// A node ended well.
    NodeCompleted,
    /// A node failed.
    NodeError,
    /// A part of an output that is still growing.
    NodeOutput,
    /// A line of a log.
    ExecutionLog,
    /// A node asks a person.
    InteractivePrompt,
    /// A person answered.
    InteractiveResponse,
    /// The execution has any other status; also events that this build does not know.
    ExecutionStatusChanged,
    /// A node has any other status.
    NodeStatusChanged,
    /// Events are missing here; `data` tells which.
    StreamGap,
}

/// One event of an execution.
#[derive(Debug)]
pub(crate) struct ExecutionUpdateType {
    cursor: Option<String>,
    event: Value,
}

/// The subscription of the log.
#[derive(Debug)]
pub(crate) struct ExecutionUpdates(pub(crate) Arc<Ports>);

// === impl ExecutionUpdates ===

/// Subscriptions.
#[GraphqlSubscription(rename_args = "snake_case")]
impl ExecutionUpdates {
    /// The events of an execution, and of the runs below it.
    ///
    /// Without `after` they come from the first one on; with the cursor of an update, from the one behind it. `types` are types as
    /// in `event.type` (such as NODE_STATUS_CHANGED), `nodes` ids of nodes: only their events come then. The end of the
    /// run completes the subscription; an error with `extensions.retry` says that there is more behind `extensions.cursor`.
    async fn execution_updates(
        &self,
        execution_id: String,
        after: Option<String>,
        types: Option<Vec<String>>,
        nodes: Option<Vec<String>>,
    ) -> Result<impl Stream<Item = Result<ExecutionUpdateType>>> {
        let execution = parse_id(&execution_id)?;
        let request = SubscribeRequest {
            execution: Some(execution.clone()),
            start: start(after.as_deref())?,
            filter: Filter { types: event_types(types)?, nodes: node_ids(nodes)?, executions: None },
            encoder: Arc::new(GraphqlEncoder),
        };
        match self.0.streams.subscribe(request).await {
            Ok(Subscribed::Open(subscription)) => {
                Ok(Either::Left(Updates::new(subscription, execution, Arc::clone(&self.0.clock))))
            }
            Ok(Subscribed::Finished) => Ok(Either::Right(stream::empty())),
            Err(error) => Err(subscribe(&error, after.as_deref())),
        }
    }
}

pub(crate) fn parse_id(text: &str) -> Result<ExecutionId> {
    ExecutionId::parse(text).map_err(|error| coded("BAD_USER_INPUT", format!("`execution_id`: {error}")))
}

fn start(after: Option<&str>) -> Result<Start> {
    let Some(after) = after else {
        return Ok(Start::Beginning);
    };
    let cursor: Cursor =
        after.parse().map_err(|error| coded("BAD_USER_INPUT", format!("`after`: {error}")))?;
    Ok(Start::After(cursor))
}

fn event_types(names: Option<Vec<String>>) -> Result<Option<BTreeSet<EventType>>> {
    let Some(names) = bounded("types", names)? else {
        return Ok(None);
    };
    // Foreign engines have types of their own; a name that only `type` has would quietly match nothing.
    const OURS_ONLY_HERE: [&str; 7] = [
        "EXECUTION_STARTED",
        "EXECUTION_COMPLETED",
        "NODE_STARTED",
        "NODE_COMPLETED",
        "NODE_ERROR",
        "NODE_OUTPUT",
        "STREAM_GAP",
    ];
    if let Some(name) = names.iter().find(|name| OURS_ONLY_HERE.contains(&name.as_str())) {
        let text = format!(
            "`types`: no event is called {name}; take the names of `event.type`, such as NODE_STATUS_CHANGED"
        );
        return Err(coded("BAD_USER_INPUT", text));
    }
    Ok(Some(names.iter().map(|name| EventType::from(name.as_str())).collect()))
}

pub(crate) fn node_ids(names: Option<Vec<String>>) -> Result<Option<BTreeSet<NodeId>>> {
    let names = bounded("nodes", names)?;
    Ok(names.map(|names| names.iter().map(|name| NodeId::from(name.as_str())).collect()))
}

fn bounded(argument: &str, names: Option<Vec<String>>) -> Result<Option<Vec<String>>> {
    match names {
        Some(names) if names.is_empty() || names.len() > MAX_NAMES => Err(coded(
            "BAD_USER_INPUT",
            format!("`{argument}` has 1 to {MAX_NAMES} names; leave it out for all"),
        )),
        names => Ok(names),
    }
}

/// The subscription's stream.
///
/// # Lagging
///
/// It asks the log for more only when the socket has taken what it had (I4).
struct Updates {
    subscription: Box<dyn Subscription>,
    execution: ExecutionId,
    clock: Arc<dyn Clock>,
    /// Taken from the log, not yet asked for.
    block: Bytes,
    ended: bool,
}

// === impl Updates ===

impl Updates {
    fn new(subscription: Box<dyn Subscription>, execution: ExecutionId, clock: Arc<dyn Clock>) -> Self {
        Self { subscription, execution, clock, block: Bytes::new(), ended: false }
    }
}

impl Stream for Updates {
    type Item = Result<ExecutionUpdateType>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(framed) = encoder::next(&mut self.block) {
                return Poll::Ready(Some(ExecutionUpdateType::of(&framed)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.subscription.poll_next(cx, BUDGET)) {
                Delivery::Block(block) => self.block = join(block.slices),
                Delivery::Ephemeral(bytes) => self.block = bytes,
                // A subscription has no place for a cursor alone; the next update or the end brings a later one.
                Delivery::Id(_) => {}
                Delivery::Gap(gap) => {
                    let cursor = Some(gap.to.to_string());
                    let frame = ControlFrame::StreamGap(gap).encode(Some(&self.execution), self.clock.now());
                    return Poll::Ready(Some(ExecutionUpdateType::read(cursor, frame.as_bytes())));
                }
                Delivery::End(end) => {
                    self.ended = true;
                    if end.reason != EndReason::Completed {
                        return Poll::Ready(Some(Err(ended(&end))));
                    }
                }
            }
        }
    }
}

/// The slices of a block, one behind the other.
pub(crate) fn join(slices: Vec<Bytes>) -> Bytes {
    let mut slices = slices.into_iter();
    let first = slices.next().unwrap_or_default();
    if slices.len() == 0 {
        return first;
    }
    let mut joined = BytesMut::from(&first[..]);
    slices.for_each(|slice| joined.extend_from_slice(&slice));
    joined.freeze()
}

// === impl UpdateType ===

impl UpdateType {
    /// What the event `name` is called, whose `data.status` is `status`.
    fn of(name: &str, status: Option<&str>) -> Self {
        match (name, status) {
            ("EXECUTION_STATUS_CHANGED", Some("RUNNING")) => Self::ExecutionStarted,
            ("EXECUTION_STATUS_CHANGED", Some("COMPLETED")) => Self::ExecutionCompleted,
            ("EXECUTION_ERROR", _) => Self::ExecutionError,
            ("NODE_STATUS_CHANGED", Some("RUNNING")) => Self::NodeStarted,
            ("NODE_STATUS_CHANGED", Some("COMPLETED" | "MAXITER_REACHED")) => Self::NodeCompleted,
            ("NODE_STATUS_CHANGED", Some("FAILED")) => Self::NodeError,
            ("NODE_STATUS_CHANGED", _) => Self::NodeStatusChanged,
            ("NODE_PROGRESS", _) => Self::NodeOutput,
            ("EXECUTION_LOG", _) => Self::ExecutionLog,
            ("INTERACTIVE_PROMPT", _) => Self::InteractivePrompt,
            ("INTERACTIVE_RESPONSE", _) => Self::InteractiveResponse,
            ("STREAM_GAP", _) => Self::StreamGap,
            _ => Self::ExecutionStatusChanged,
        }
    }
}

// === impl ExecutionUpdateType ===

impl ExecutionUpdateType {
    fn of(framed: &Framed) -> Result<Self> {
        Self::read(framed.cursor.clone(), &framed.json)
    }

    fn read(cursor: Option<String>, json: &[u8]) -> Result<Self> {
        let event = serde_json::from_slice(json)
            .map_err(|error| coded("INTERNAL", format!("an event can't be read: {error}")))?;
        Ok(Self { cursor, event })
    }

    fn top(&self, key: &str) -> Option<&str> {
        self.event.get(key).and_then(Value::as_str)
    }

    fn datum(&self, key: &str) -> Option<&Value> {
        self.event.get("data").and_then(|data| data.get(key)).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.datum(key).and_then(Value::as_str)
    }
}

/// One event of an execution.
#[Object(rename_fields = "snake_case")]
impl ExecutionUpdateType {
    /// What it is about.
    #[graphql(name = "type")]
    async fn kind(&self) -> UpdateType {
        UpdateType::of(self.top("type").unwrap_or_default(), self.text("status"))
    }

    /// In which execution: the one asked for, or one below it.
    async fn execution_id(&self) -> ID {
        ID(self.top("execution_id").unwrap_or_default().to_owned())
    }

    /// The node that it is about.
    async fn node_id(&self) -> Option<ID> {
        self.text("node_id").map(|id| ID(id.to_owned()))
    }

    /// The new status of the node or the execution.
    async fn status(&self) -> Option<Status> {
        self.text("status").and_then(Status::named)
    }

    /// What the node produced.
    async fn result(&self) -> Option<&Value> {
        self.datum("output")
    }

    /// What went wrong.
    async fn error(&self) -> Option<&str> {
        self.text("error")
    }

    /// When.
    async fn timestamp(&self) -> Option<&str> {
        self.top("timestamp")
    }

    /// Tokens that this run of the node used, as the service counts them.
    async fn total_tokens(&self) -> Option<f64> {
        self.datum("token_usage").and_then(|usage| usage.get("total")).and_then(Value::as_f64)
    }

    /// The node's type.
    async fn node_type(&self) -> Option<&str> {
        self.text("node_type")
    }

    /// Tokens that this run of the node used.
    async fn tokens(&self) -> Option<f64> {
        self.datum("tokens_used").and_then(Value::as_f64)
    }

    /// `event.data`.
    async fn data(&self) -> Option<&Value> {
        self.event.get("data")
    }

    /// Its position: `after` takes it. Growing outputs have none.
    async fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Its place in the log of the root run: 1, 2, 3, …
    async fn seq(&self) -> Option<u64> {
        self.event.get("seq").and_then(Value::as_u64)
    }

    /// The event itself, equal to what Server-Sent Events bring.
    async fn event(&self) -> &Value {
        &self.event
    }
}
