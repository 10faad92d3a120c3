use core_events::Epoch;
use http::HeaderValue;

use super::*;

fn headers(last_event_id: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(text) = last_event_id {
        headers.insert(LAST_EVENT_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
    }
    headers
}

fn parse(query: &str) -> Result<StreamRequest, RequestError> {
    StreamRequest::parse(Some(query), &HeaderMap::new())
}

fn at(offset: u64) -> Option<Start> {
    Some(Start::After(Epoch::parse("ab").unwrap().at(offset)))
}

#[test]
fn the_header_goes_before_last_event_id_and_that_before_from() {
    for (header, query, start) in [
        (None, "", None),
        (None, "from=start", Some(Start::Beginning)),
        (None, "from=now", Some(Start::Now)),
        (None, "from=ab-3", at(3)),
        (None, "last_event_id=ab-2", at(2)),
        (None, "last_event_id=", None),
        (None, "last_event_id=&from=now", Some(Start::Now)),
        (None, "from=now&last_event_id=ab-2", at(2)),
        (Some(""), "from=now", Some(Start::Now)),
        (Some("ab-1"), "", at(1)),
        (Some("ab-1"), "from=now", at(1)),
        (Some("ab-1"), "last_event_id=ab-2", at(1)),
        (Some("ab-1"), "from=start&last_event_id=ab-2", at(1)),
    ] {
        let request = StreamRequest::parse(Some(query), &headers(header)).unwrap();
        assert_eq!(request.start, start, "{header:?} {query}");
    }
}

#[test]
fn wrong_cursors_are_refused_with_their_place() {
    let wrong = [
        "x",
        "ab",
        "-",
        "-1",
        "ab-",
        "AB-1",
        "ab-x",
        "ab--1",
        "ab-01",
        "ab-1.5",
        "ab-99999999999999999999",
        "a%00b-1",
        "ab-1%0Aid:%209",
        "é-1",
    ];
    for text in wrong {
        for name in ["from", "last_event_id"] {
            let error = parse(&format!("{name}={text}")).unwrap_err();
            assert_eq!(error.parameter(), name, "{text}: {error}");
        }
        if !text.contains('%') {
            let error = StreamRequest::parse(None, &headers(Some(text))).unwrap_err();
            assert_eq!(error.parameter(), "Last-Event-ID", "{text}");
        }
    }
    assert!(parse("from=").is_err());
    // Wrong is wrong, also where another goes before it.
    assert!(StreamRequest::parse(Some("from=x"), &headers(Some("ab-1"))).is_err());
    assert_eq!(
        parse("from=yesterday").unwrap_err().to_string(),
        "query parameter `from`: `start`, `now` or a cursor is expected; a cursor has the form <epoch>-<offset>; use \
         one exactly as a stream handed it out"
    );
}

#[test]
fn filters_are_lists_with_commas() {
    let request =
        parse("types=EXECUTION_LOG,my.TYPE-2&nodes=a,b%2Cc,d+e,%C3%A9&executions=exec_1&types=X").unwrap();
    let types = ["EXECUTION_LOG", "my.TYPE-2", "X"].map(EventType::from);
    assert_eq!(request.filter.types, Some(BTreeSet::from(types)));
    assert_eq!(request.filter.nodes, Some(BTreeSet::from(["a", "b,c", "d e", "é"].map(NodeId::from))));
    let execution = ExecutionId::parse("exec_1").unwrap();
    assert_eq!(request.filter.executions, Some(BTreeSet::from([execution])));
    assert!(parse("").unwrap().filter.is_all());
    assert!(parse("&&").unwrap().filter.is_all());
}

#[test]
fn what_is_no_request_is_refused_with_the_name() {
    let long = "x".repeat(65);
    for (query, name) in [
        ("types=".to_owned(), "types"),
        ("types".to_owned(), "types"),
        ("types=A,,B".to_owned(), "types"),
        ("types=A,".to_owned(), "types"),
        ("types=A%0Adata:%20x".to_owned(), "types"),
        (format!("types={long}"), "types"),
        ("nodes=,".to_owned(), "nodes"),
        ("nodes=%FF".to_owned(), "nodes"),
        ("nodes=%4".to_owned(), "nodes"),
        ("nodes=%zz".to_owned(), "nodes"),
        ("executions=a%20b".to_owned(), "executions"),
        ("executions=".to_owned(), "executions"),
        ("from=now&from=now".to_owned(), "from"),
        ("last_event_id=ab-1&last_event_id=ab-2".to_owned(), "last_event_id"),
        ("type=X".to_owned(), "type"),
        ("%FF=X".to_owned(), "%FF"),
    ] {
        assert_eq!(parse(&query).unwrap_err().parameter(), name, "{query}");
    }
    assert_eq!(
        parse("type=X").unwrap_err().to_string(),
        "query parameter `type`: there is no such parameter; did you mean `types`?"
    );
    assert_eq!(
        parse("wibble=X").unwrap_err().to_string(),
        "query parameter `wibble`: there is no such parameter; there are types, nodes, executions, from, last_event_id, speed"
    );
    let many = (0..=MAX_ITEMS).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    assert!(parse(&format!("nodes={many}")).is_err());
}
