//! From the data of a block to what it means.

use std::borrow::Cow;

use bytes::Bytes;
use core_events::{Cursor, EndReason, Envelope, Gap};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{EventItem, GapItem, Item, Unreadable};

pub(crate) enum Frame {
    /// The first frame of a connection.
    Opened,
    /// A heartbeat.
    Alive,
    Item(Item),
    End {
        reason: EndReason,
        reconnect: bool,
    },
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct End<'a> {
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    reconnect: Option<bool>,
}

pub(crate) fn read(json: Bytes, cursor: Option<Cursor>) -> Frame {
    let head: Head<'_> = match serde_json::from_slice(&json) {
        Ok(head) => head,
        Err(error) => return unreadable(&json, &error),
    };
    let data = head.data.map_or("null", RawValue::get);
    match head.kind.as_ref() {
        "CONNECTION_ESTABLISHED" => Frame::Opened,
        "HEARTBEAT" => Frame::Alive,
        "STREAM_GAP" => match serde_json::from_str::<Gap>(data) {
            Ok(gap) => Frame::Item(Item::Gap(GapItem { gap, json })),
            Err(error) => unreadable(&json, &error),
        },
        "STREAM_END" => match serde_json::from_str::<End<'_>>(data) {
            Ok(end) => {
                // A reason of a newer server: what counts is whether to come back.
                let reason = end.reason.and_then(|reason| serde_json::from_value(reason.into()).ok());
                let reason = reason.unwrap_or(EndReason::Error);
                Frame::End { reason, reconnect: end.reconnect.unwrap_or_else(|| reason.reconnect()) }
            }
            Err(error) => unreadable(&json, &error),
        },
        _ => match Envelope::decode(&json) {
            Ok(envelope) => Frame::Item(Item::Event(Box::new(EventItem { cursor, envelope, json }))),
            Err(error) => unreadable(&json, &error),
        },
    }
}

fn unreadable(json: &Bytes, problem: &dyn std::fmt::Display) -> Frame {
    tracing::warn!(%problem, "a frame of the stream can't be read");
    Frame::Item(Item::Unreadable(Unreadable { json: json.clone(), problem: problem.to_string() }))
}
