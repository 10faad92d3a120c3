//! A page of events as an answer.

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use core_events::{ControlFrame, Cursor, ExecutionId, Timestamp, ports::EventPage};
use http::{HeaderName, HeaderValue, header};
use serde_json::json;

use super::{accept::Form, query::Query};
use crate::api::NO_STORE;

const VARY: (HeaderName, HeaderValue) = (header::VARY, HeaderValue::from_static("accept"));

/// `query` is what was asked for; `now` stamps what the answer says about itself.
pub(super) fn answer(
    id: &ExecutionId,
    query: &Query,
    page: &EventPage,
    form: Form,
    now: Timestamp,
) -> Response {
    // Behind the end there is nothing to ask for.
    let next = (!page.ended).then(|| format!("/api/v1/executions/{id}/events?{}", query.from(&page.next)));
    let (media, body) = match form {
        Form::Json => ("application/json", object(id, page, next.as_deref())),
        Form::Lines => ("application/x-ndjson", lines(id, page, now)),
    };
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(media));
    let mut response = ([content_type, NO_STORE, VARY], Body::from(body)).into_response();
    let link = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok());
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn object(id: &ExecutionId, page: &EventPage, next: Option<&str>) -> Vec<u8> {
    let mut out = b"{\"events\":[".to_vec();
    for (n, (cursor, record)) in page.events.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        event(cursor, &record.json, &mut out);
    }
    let stream = next.map(|_| format!("/sse/unified/executions/{id}?from={}", page.next));
    let rest = json!({
        "gap": page.gap,
        "next": page.next,
        "ended": page.ended,
        "links": { "next": next, "stream": stream },
    });
    out.extend_from_slice(b"],");
    // Without its opening brace.
    out.extend(rest.to_string().bytes().skip(1));
    out
}

/// What is missing is told as streams tell it.
fn lines(id: &ExecutionId, page: &EventPage, now: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(gap) = &page.gap {
        out.extend_from_slice(ControlFrame::StreamGap(gap.clone()).encode(Some(id), now).as_bytes());
        out.push(b'\n');
    }
    for (cursor, record) in &page.events {
        event(cursor, &record.json, &mut out);
        out.push(b'\n');
    }
    out
}

/// The event, as it is stored, with its cursor as first member.
fn event(cursor: &Cursor, json: &Bytes, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"cursor\":\"{cursor}\",").as_bytes());
    out.extend_from_slice(json.strip_prefix(b"{").unwrap_or(json));
}
