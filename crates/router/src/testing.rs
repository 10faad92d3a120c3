//! What the tests of this crate share: facts in few words, and readers that are polled by hand.

mod scripted_log;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::BytesMut;
use core_events::{
    CallbackContext, Cursor, Envelope, Event, ExecutionId, ExecutionLog, ExecutionStatus,
    ExecutionStatusChanged, Fact, LogLevel, NodeId, NodeStatus, NodeStatusChanged, Offset, Record, Timestamp,
    event::Extra,
    ports::{
        Block, Budget, Delivery, Encoder, Start, StreamSource, SubscribeRequest, Subscribed, Subscription,
    },
};

pub(crate) use self::scripted_log::ScriptedLog;

pub(crate) const ALL: Budget = Budget { events: 100, bytes: usize::MAX };

pub(crate) fn id(text: &str) -> ExecutionId {
    ExecutionId::parse(text).unwrap()
}

/// `a` is a root run, `a.b` a sub-run of it.
pub(crate) fn context(execution: &str) -> CallbackContext {
    let root = execution.split('.').next().unwrap();
    CallbackContext {
        execution: id(execution),
        parent: (root != execution).then(|| id(root)),
        root: id(root),
        step: 0,
        time: Timestamp::from_micros(0),
    }
}

fn fact(execution: &str, event: Event) -> Fact {
    Fact::new(context(execution), event)
}

pub(crate) fn status(execution: &str, status: ExecutionStatus) -> Fact {
    let event = ExecutionStatusChanged::to(status, Timestamp::from_micros(0));
    fact(execution, Event::ExecutionStatusChanged(event))
}

pub(crate) fn begin(execution: &str) -> Fact {
    status(execution, ExecutionStatus::Running)
}

pub(crate) fn end(execution: &str) -> Fact {
    status(execution, ExecutionStatus::Completed)
}

pub(crate) fn node(execution: &str, node: &str, status: NodeStatus) -> Fact {
    let event = NodeStatusChanged::to(NodeId::from(node), status, Timestamp::from_micros(0));
    fact(execution, Event::NodeStatusChanged(event))
}

pub(crate) fn log(execution: &str, message: &str) -> Fact {
    let event = ExecutionLog {
        level: LogLevel::Info,
        message: message.to_owned(),
        timestamp: None,
        logger: None,
        node_id: None,
        truncated: None,
        extra: Extra::new(),
    };
    fact(execution, Event::ExecutionLog(event))
}

/// Writes `<offset>\n`; counts how often.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    pub(crate) encoded: AtomicUsize,
}

impl Encoder for Offsets {
    fn id(&self) -> &str {
        "offsets"
    }

    fn encode(&self, record: &Record, cursor: &Cursor, out: &mut BytesMut) {
        assert_eq!(record.offset, cursor.offset);
        self.encoded.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(format!("{}\n", record.offset).as_bytes());
    }

    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut) {
        self.encoded.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(json);
    }
}

pub(crate) fn request(execution: Option<&str>, start: Start) -> SubscribeRequest {
    let encoder = Arc::new(Offsets::default());
    SubscribeRequest { execution: execution.map(id), start, filter: Default::default(), encoder }
}

pub(crate) async fn open(source: &dyn StreamSource, request: SubscribeRequest) -> Box<dyn Subscription> {
    match source.subscribe(request).await.unwrap() {
        Subscribed::Open(subscription) => subscription,
        Subscribed::Finished => panic!("finished"),
    }
}

/// What is ready now.
pub(crate) fn next(subscription: &mut dyn Subscription) -> Option<Delivery> {
    poll(subscription, Waker::noop(), ALL)
}

pub(crate) fn poll(subscription: &mut dyn Subscription, waker: &Waker, budget: Budget) -> Option<Delivery> {
    match subscription.poll_next(&mut Context::from_waker(waker), budget) {
        Poll::Ready(delivery) => Some(delivery),
        Poll::Pending => None,
    }
}

/// Everything that is ready now, in short: offsets as they are, `#n` an id, `a..b` a gap, `!a..b` one that resets, `~…` progress,
/// `.reason@n` the end.
pub(crate) fn drain(subscription: &mut dyn Subscription) -> Vec<String> {
    std::iter::from_fn(|| next(subscription)).flat_map(|delivery| short(&delivery)).collect()
}

pub(crate) fn short(delivery: &Delivery) -> Vec<String> {
    match delivery {
        Delivery::Block(block) => offsets(block),
        Delivery::Id(cursor) => vec![format!("#{}", cursor.offset)],
        Delivery::Ephemeral(bytes) => {
            let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            let data = &value["data"];
            vec![format!("~{}:{}", data["position"], data["text"].as_str().unwrap())]
        }
        Delivery::Gap(gap) => {
            let reset = if gap.reset { "!" } else { "" };
            vec![format!("{reset}{}..{}", gap.from.offset, gap.to.offset)]
        }
        Delivery::End(end) => vec![format!(".{:?}@{}", end.reason, end.cursor.offset)],
    }
}

fn offsets(block: &Block) -> Vec<String> {
    let text = String::from_utf8(block.slices.concat()).unwrap();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), block.events);
    assert_eq!(lines.last().unwrap(), &block.last.offset.to_string());
    lines
}

/// The place of an event that came without one.
pub(crate) fn offset_of(log: &ScriptedLog, json: &[u8]) -> Offset {
    let envelope = Envelope::decode(json).unwrap();
    let root = envelope.root_execution_id.as_ref().unwrap_or(&envelope.execution_id);
    let is = |record: &&Arc<Record>| record.root == *root && Some(record.seq) == envelope.seq;
    log.all().iter().find(is).unwrap().offset
}

/// Counts how often it was woken.
#[derive(Debug, Default)]
pub(crate) struct Woken(AtomicUsize);

impl Woken {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
