//! Any event, unknown fields and types included, survives encoding and decoding.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use core_events::{
    Envelope, Event, ExecutionError, ExecutionId, ExecutionLog, ExecutionStatus, ExecutionStatusChanged,
    InteractivePrompt, InteractiveResponse, LogLevel, NodeId, NodeProgress, NodeStatus, NodeStatusChanged,
    NodeType, Timestamp, TokenUsage, UnknownEvent, event::Extra,
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros)
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(|n: f64| Value::from(n.round())),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

/// A value where the wire can't tell null from absent.
fn some_json() -> impl Strategy<Value = Option<Value>> {
    option::of(json().prop_filter("null is absent", |value| !value.is_null()))
}

fn extra() -> impl Strategy<Value = Extra> {
    vec(("x_[a-z]{1,8}", json()), 0..3).prop_map(|pairs| pairs.into_iter().collect())
}

fn node_status() -> impl Strategy<Value = NodeStatus> {
    prop_oneof![
        Just(NodeStatus::Pending),
        Just(NodeStatus::Running),
        Just(NodeStatus::Completed),
        Just(NodeStatus::Failed),
        Just(NodeStatus::Aborted),
        Just(NodeStatus::Skipped),
        Just(NodeStatus::MaxIterReached),
        "[A-Z]{3,9}".prop_map(|text| NodeStatus::from(text.as_str())),
    ]
}

fn execution_status() -> impl Strategy<Value = ExecutionStatus> {
    prop_oneof![
        Just(ExecutionStatus::Pending),
        Just(ExecutionStatus::Running),
        Just(ExecutionStatus::Paused),
        Just(ExecutionStatus::Completed),
        Just(ExecutionStatus::Failed),
        Just(ExecutionStatus::Aborted),
        "[A-Z]{3,9}".prop_map(|text| ExecutionStatus::from(text.as_str())),
    ]
}

fn usage() -> impl Strategy<Value = TokenUsage> {
    (any::<u32>(), any::<u32>(), option::of(any::<u64>()), option::of(any::<u64>())).prop_map(
        |(input, output, cached, total)| TokenUsage {
            input: input.into(),
            output: output.into(),
            cached,
            total,
        },
    )
}

fn node_status_changed() -> impl Strategy<Value = NodeStatusChanged> {
    let who = (any::<String>(), node_status(), option::of(any::<String>()), option::of(any::<String>()));
    let when = (option::of(time()), option::of(time()), option::of(time()));
    let what = (some_json(), option::of(usage()), option::of(any::<u64>()), option::of(any::<String>()));
    let rest = (
        option::of(any::<u32>()),
        option::of(any::<String>()),
        option::of(any::<String>()),
        option::of(any::<String>()),
        option::of(any::<String>()),
        extra(),
    );
    (who, when, what, rest).prop_map(|(who, when, what, rest)| NodeStatusChanged {
        node_id: NodeId::new(who.0),
        status: who.1,
        node_type: who.2.map(NodeType::new),
        label: who.3,
        started_at: when.0,
        ended_at: when.1,
        timestamp: when.2,
        output: what.0,
        token_usage: what.1,
        tokens_used: what.2,
        error: what.3,
        iteration: rest.0,
        on_error: rest.1,
        reason: rest.2,
        output_preview: rest.3,
        output_ref: rest.4,
        extra: rest.5,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let text = any::<String>;
    let node = || any::<String>().prop_map(NodeId::new);
    prop_oneof![
        4 => node_status_changed().prop_map(Event::NodeStatusChanged),
        2 => (
            execution_status(), option::of(text()), option::of(time()), option::of(text()), option::of(text()),
            option::of(text()), option::of(vec(node(), 0..3)), extra(),
        ).prop_map(|(status, diagram_id, timestamp, diagram_name, reason, source, failed_nodes, extra)| {
            Event::ExecutionStatusChanged(ExecutionStatusChanged {
                status, diagram_id, timestamp, diagram_name, reason, source, failed_nodes, extra,
            })
        }),
        1 => (text(), option::of(time()), option::of(node()), option::of(text()), extra()).prop_map(
            |(error, timestamp, node_id, reason, extra)| {
                Event::ExecutionError(ExecutionError { error, timestamp, node_id, reason, extra })
            }
        ),
        1 => (
            "[A-Z]{1,8}", text(), option::of(time()), option::of(text()), option::of(node()),
            option::of(any::<bool>()), extra(),
        ).prop_map(|(level, message, timestamp, logger, node_id, truncated, extra)| {
            let level = LogLevel::from(level.as_str());
            Event::ExecutionLog(ExecutionLog { level, message, timestamp, logger, node_id, truncated, extra })
        }),
        1 => (node(), text(), option::of(0.0..1e6), option::of(text()), option::of(time()), extra()).prop_map(
            |(node_id, prompt, timeout, default_value, timestamp, extra)| {
                let timeout = timeout.map(f64::round);
                Event::InteractivePrompt(InteractivePrompt {
                    node_id, prompt, timeout, default_value, timestamp, extra,
                })
            }
        ),
        1 => (node(), text(), option::of(time()), extra()).prop_map(|(node_id, response, timestamp, extra)| {
            Event::InteractiveResponse(InteractiveResponse { node_id, response, timestamp, extra })
        }),
        1 => (node(), text(), any::<u64>(), option::of(time()), extra()).prop_map(
            |(node_id, text, position, timestamp, extra)| {
                Event::NodeProgress(NodeProgress { node_id, text, position, timestamp, extra })
            }
        ),
        1 => ("X_[A-Z]{1,8}", json()).prop_map(|(event_type, data)| {
            Event::Unknown(UnknownEvent { event_type, data })
        }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let id = || "[A-Za-z0-9_.:-]{1,128}".prop_map(|text| ExecutionId::parse(&text).unwrap());
    (event(), id(), option::of(time()), option::of(any::<u64>()), option::of(id()), option::of(id()), extra())
        .prop_map(|(event, execution_id, timestamp, seq, parent_execution_id, root_execution_id, extra)| {
            Envelope { event, execution_id, timestamp, seq, parent_execution_id, root_execution_id, extra }
        })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(envelope in envelope()) {
        let json = envelope.encode();
        let back = Envelope::decode(&json).unwrap();
        prop_assert_eq!(&back, &envelope, "{}", String::from_utf8_lossy(&json));
        prop_assert_eq!(back.encode(), json);
    }

    /// A frame is one line whatever the texts in it, so that no value can add a line to a stream.
    #[test]
    fn the_json_is_one_line(envelope in envelope()) {
        prop_assert!(!envelope.encode().iter().any(|byte| *byte < b' '));
    }

    #[test]
    fn rubbish_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(Envelope::decode(&bytes).is_err());
    }

    #[test]
    fn mutated_events_never_panic_and_what_is_read_round_trips(envelope in envelope(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut json = envelope.encode().to_vec();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(read) = Envelope::decode(&json) {
            prop_assert_eq!(Envelope::decode(&read.encode()).unwrap(), read);
        }
    }
}

#[test]
fn errors_name_the_field() {
    for (json, message) in [
        ("[]", "event: an object is expected"),
        ("{}", "type: a text is expected"),
        (r#"{"type":"EXECUTION_LOG"}"#, "execution_id: it is missing"),
        (r#"{"type":"EXECUTION_LOG","execution_id":"a b"}"#, "execution_id: an execution id consists of"),
        (r#"{"type":"EXECUTION_LOG","execution_id":"a","seq":-1}"#, "seq: a whole number is expected"),
        (r#"{"type":"EXECUTION_LOG","execution_id":"a","timestamp":"x"}"#, "timestamp: \"x\" is no time"),
        (r#"{"type":"EXECUTION_LOG","execution_id":"a","data":{}}"#, "data: missing field `level`"),
        ("{", "not JSON: "),
        (r#"{"type":5,"execution_id":"a"}"#, "type: a text is expected"),
        (r#"{"type":"X","type":"X","execution_id":"a"}"#, "event: the field \"type\" is there twice"),
        (r#"{"type":"X","execution_id":"a","data":1,"data":1}"#, "event: the field \"data\" is there twice"),
        (r#"{"type":"X","execution_id":"a","x":1,"x":1}"#, "event: the field \"x\" is there twice"),
        (r#"{"type":"X","execution_id":"a"} 1"#, "not JSON: trailing characters"),
        (
            r#"{"type":"EXECUTION_STATUS_CHANGED","execution_id":"a","data":{"status":5}}"#,
            "data.status: invalid type: integer `5`, expected a string",
        ),
        (
            r#"{"data":{"node_id":"n","status":"COMPLETED","token_usage":{"input":"x"}},"type":"NODE_STATUS_CHANGED","execution_id":"a"}"#,
            "data.token_usage.input: invalid type: string \"x\", expected u64",
        ),
        (r#"{"type":"EXECUTION_LOG","execution_id":"a","data":[1]}"#, "data: invalid type: sequence"),
        (
            r#"{"type":"EXECUTION_LOG","execution_id":"a","data":{"level":"INFO","message":"m","level":"INFO"}}"#,
            "data: duplicate field `level`",
        ),
    ] {
        let error = Envelope::decode(json.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{json}: {error}");
        // The place in the text is that of whoever reads it from somewhere.
        assert!(message.starts_with("not JSON") || !error.contains(" at line "), "{json}: {error}");
    }
}

#[test]
fn the_order_of_the_fields_does_not_matter() {
    let texts = [
        r#"{"type":"X_Y","execution_id":"a","data":{"b":[1,null]},"seq":3,"z":1}"#,
        r#"{"z":1,"data":{"b":[1,null]},"seq":3,"execution_id":"a","type":"X_Y"}"#,
    ];
    let [a, b] = texts.map(|text| Envelope::decode(text.as_bytes()).unwrap());
    assert_eq!(a, b);
    assert_eq!(a.extra["z"], 1);
    let bare = Envelope::decode(br#"{"type":"X_Y","execution_id":"a"}"#).unwrap();
    assert_eq!(
        bare.event,
        Event::Unknown(UnknownEvent { event_type: "X_Y".to_owned(), data: serde_json::json!({}) })
    );
}
