//! A client that reads what it is given.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use core_events::{
    Cursor, Filter, Record,
    ports::{
        Budget, Delivery, Encoder, Start, StreamSource, SubscribeError, SubscribeRequest, Subscribed,
        Subscription,
    },
};
use futures_util::task::noop_waker;

use crate::calls::id;

pub(crate) const PLENTY: Budget = Budget { events: 100, bytes: 1 << 20 };

/// One line per message: its JSON alone.
#[derive(Debug)]
pub(crate) struct Lines;

impl Encoder for Lines {
    fn id(&self) -> &str {
        "lines"
    }

    fn encode(&self, record: &Record, _: &Cursor, out: &mut BytesMut) {
        self.encode_ephemeral(&record.json, out);
    }

    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(json);
        out.extend_from_slice(b"\n");
    }
}

pub(crate) async fn subscribe(
    source: &dyn StreamSource,
    execution: &str,
    start: Start,
    filter: Filter,
) -> Result<Subscribed, SubscribeError> {
    let execution = Some(id(execution));
    source.subscribe(SubscribeRequest { execution, start, filter, encoder: Arc::new(Lines) }).await
}

pub(crate) async fn open(source: &dyn StreamSource, execution: &str, start: Start) -> Box<dyn Subscription> {
    match subscribe(source, execution, start, Filter::default()).await.unwrap() {
        Subscribed::Open(subscription) => subscription,
        Subscribed::Finished => panic!("{execution} is over"),
    }
}

pub(crate) async fn next(subscription: &mut dyn Subscription) -> Delivery {
    poll_fn(|cx| subscription.poll_next(cx, PLENTY)).await
}

/// What there is at this moment.
pub(crate) fn ready(subscription: &mut dyn Subscription, budget: Budget) -> Option<Delivery> {
    match subscription.poll_next(&mut Context::from_waker(&noop_waker()), budget) {
        Poll::Ready(delivery) => Some(delivery),
        Poll::Pending => None,
    }
}

pub(crate) fn lines(delivery: &Delivery) -> Vec<String> {
    let Delivery::Block(block) = delivery else { panic!("a block was expected: {delivery:?}") };
    let text = String::from_utf8(block.slices.concat()).unwrap();
    let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.len(), block.events);
    lines
}

/// All messages up to the end, and the end.
pub(crate) async fn to_the_end(subscription: &mut dyn Subscription) -> (Vec<String>, core_events::End) {
    let mut all = Vec::new();
    loop {
        match next(subscription).await {
            Delivery::End(end) => return (all, end),
            delivery => all.extend(lines(&delivery)),
        }
    }
}
