//! The queries of `GET …/events` and `GET …/state`.

use std::collections::BTreeSet;

use core_events::{
    Cursor, EventType, ExecutionId, Filter, NodeId,
    ports::{EventsQuery, Start},
};
use http::StatusCode;

use crate::{Problem, fields::unknown};

/// Events on one page, unless the client says otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The most events on one page.
const MAX_LIMIT: usize = 1_000;
/// The most items in one list.
const MAX_ITEMS: usize = 1_000;
/// The longest item of a list, in bytes.
const MAX_ITEM_BYTES: usize = 1_024;

const EVENTS: [&str; 5] = ["from", "limit", "types", "nodes", "executions"];

/// The query of `GET …/events`.
#[derive(Debug)]
pub(super) struct Query {
    start: Start,
    limit: usize,
    filter: Filter,
}

// === impl Query ===

impl Query {
    /// Lists have commas between their items; a comma inside a name is written `%2C`.
    pub(super) fn events(query: Option<&str>) -> Result<Self, Problem> {
        let mut this = Self { start: Start::Beginning, limit: DEFAULT_LIMIT, filter: Filter::default() };
        for (name, raw) in pairs(query)? {
            let wrong = |problem: String| wrong(&name, &problem);
            match name.as_str() {
                "from" => this.start = start(&decode(raw).map_err(wrong)?).map_err(wrong)?,
                "limit" => {
                    let limit = raw.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    let problem = || wrong(format!("a number from 1 to {MAX_LIMIT} is expected"));
                    this.limit = limit.ok_or_else(problem)?;
                }
                "types" => {
                    extend(&mut this.filter.types, raw, |text| Ok(EventType::from(text))).map_err(wrong)?;
                }
                "nodes" => {
                    extend(&mut this.filter.nodes, raw, |text| Ok(NodeId::from(text))).map_err(wrong)?;
                }
                "executions" => {
                    let id = |text: &str| ExecutionId::parse(text).map_err(|error| error.to_string());
                    extend(&mut this.filter.executions, raw, id).map_err(wrong)?;
                }
                _ => return Err(wrong(unknown("parameter", &name, &EVENTS))),
            }
        }
        Ok(this)
    }

    pub(super) fn of(&self, execution: &ExecutionId, max_bytes: usize) -> EventsQuery {
        EventsQuery {
            execution: execution.clone(),
            start: self.start.clone(),
            filter: self.filter.clone(),
            max_events: self.limit,
            max_bytes,
        }
    }

    /// The same query, from `next` on.
    pub(super) fn from(&self, next: &Cursor) -> String {
        let mut query = format!("from={next}&limit={}", self.limit);
        let Filter { types, nodes, executions } = &self.filter;
        list(&mut query, "types", types.as_ref().map(|set| set.iter().map(EventType::as_str)));
        list(&mut query, "nodes", nodes.as_ref().map(|set| set.iter().map(NodeId::as_str)));
        list(&mut query, "executions", executions.as_ref().map(|set| set.iter().map(ExecutionId::as_str)));
        query
    }
}

/// The `at` of `GET …/state`.
pub(super) fn at(query: Option<&str>) -> Result<Cursor, Problem> {
    let mut at = None;
    for (name, raw) in pairs(query)? {
        if name != "at" {
            return Err(wrong(&name, &unknown("parameter", &name, &["at"])));
        }
        let cursor =
            decode(raw).and_then(|text| text.parse().map_err(|e: core_events::CursorError| e.to_string()));
        at = Some(cursor.map_err(|problem| wrong("at", &problem))?);
    }
    at.ok_or_else(|| {
        wrong("at", "it is missing: a cursor is expected; the present state is at /api/v1/executions/{id}")
    })
}

fn wrong(name: &str, problem: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", format!("query parameter `{name}`: {problem}"))
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "start" => Ok(Start::Beginning),
        "now" => Ok(Start::Now),
        text => text
            .parse()
            .map(Start::After)
            .map_err(|error| format!("`start`, `now` or a cursor is expected; {error}")),
    }
}

fn extend<T: Ord>(
    set: &mut Option<BTreeSet<T>>,
    raw: &str,
    item: impl Fn(&str) -> Result<T, String>,
) -> Result<(), String> {
    let set = set.get_or_insert_with(BTreeSet::new);
    for raw in raw.split(',') {
        let text = decode(raw)?;
        if text.is_empty() || text.len() > MAX_ITEM_BYTES {
            return Err(format!(
                "names of 1 to {MAX_ITEM_BYTES} bytes are expected, separated by single commas"
            ));
        }
        set.insert(item(&text)?);
        if set.len() > MAX_ITEMS {
            return Err(format!("it has more than {MAX_ITEMS} items"));
        }
    }
    Ok(())
}

/// Names decoded, values as they came, so that lists can be split before they are decoded.
fn pairs(query: Option<&str>) -> Result<Vec<(String, &str)>, Problem> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let shown: String = name.chars().take(64).collect();
            let name = decode(name).map_err(|problem| wrong(&shown, &problem))?;
            Ok((name.chars().take(64).collect(), value))
        })
        .collect()
}

/// `+` and `%xx` undone.
fn decode(raw: &str) -> Result<String, String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => match (bytes.next().and_then(digit), bytes.next().and_then(digit)) {
                (Some(high), Some(low)) => out.push(high << 4 | low),
                _ => return Err("`%` is not followed by two hexadecimal digits".to_owned()),
            },
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| "it is not UTF-8".to_owned())
}

fn list<'a>(query: &mut String, name: &str, items: Option<impl Iterator<Item = &'a str>>) {
    let Some(items) = items else { return };
    for (n, item) in items.enumerate() {
        let separator = if n == 0 { format!("&{name}=") } else { ",".to_owned() };
        query.push_str(&separator);
        for byte in item.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                query.push(char::from(byte));
            } else {
                query.push_str(&format!("%{byte:02X}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_query_asks_for_the_same() {
        let query = "types=A_B,odd%2Cname&nodes=n%201,%C3%A9+%26&executions=exec_1:a.b&limit=7&from=ab-3";
        let first = Query::events(Some(query)).unwrap();
        let cursor: Cursor = "ab-9".parse().unwrap();
        let next = first.from(&cursor);
        let second = Query::events(Some(&next)).unwrap();
        assert_eq!(second.filter, first.filter);
        assert_eq!(first.filter.types.unwrap().len(), 2);
        assert_eq!((second.start, second.limit), (Start::After(cursor), 7));
        assert!(next.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte)), "{next}");
    }
}
