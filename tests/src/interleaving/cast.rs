//! Who takes part: runs, what they say, and what is asked of it.

use std::collections::BTreeSet;

use bytes::BytesMut;
use core_events::{
    CallbackContext, Cursor, Event, EventType, ExecutionId, ExecutionLog, ExecutionStatus,
    ExecutionStatusChanged, Fact, Filter, LogLevel, NodeId, NodeStatus, NodeStatusChanged, Record, Timestamp,
    event::Extra, ports::Encoder,
};

/// So many root runs: few names, so that plans collide.
pub const RUNS: usize = 3;
/// So many sub-runs has each.
pub const SUBS: usize = 2;
/// So many filters there are.
pub const FILTERS: usize = 6;

/// The names of the executions of one plan.
#[derive(Debug, Clone, Default)]
pub struct Cast {
    /// Tells them from those of other plans on the same log.
    pub mark: String,
}

/// What is published.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A log line.
    Log,
    /// A node that runs.
    Node(u8),
    /// The end of the execution.
    End,
}

/// `<cursor> <json>\n`
#[derive(Debug)]
pub struct Lines;

// === impl Cast ===

impl Cast {
    /// A root run.
    #[must_use]
    pub fn run(&self, run: usize) -> ExecutionId {
        ExecutionId::parse(&format!("{}run{run}", self.mark)).unwrap()
    }

    /// A sub-run of it.
    #[must_use]
    pub fn sub(&self, run: usize, sub: usize) -> ExecutionId {
        ExecutionId::parse(&format!("{}sub{run}.{sub}", self.mark)).unwrap()
    }

    /// One of [`FILTERS`] filters; the first takes everything.
    #[must_use]
    pub fn filter(&self, at: usize) -> Filter {
        let mut filter = Filter::default();
        match at {
            1 => filter.types = Some(BTreeSet::from([EventType::NodeStatusChanged])),
            2 => filter.types = Some(BTreeSet::from([EventType::ExecutionStatusChanged])),
            3 => filter.nodes = Some(BTreeSet::from([NodeId::from("n1")])),
            4 => filter.executions = Some(BTreeSet::from([self.run(0), self.sub(1, 0)])),
            5 => filter.types = Some(BTreeSet::new()),
            _ => {}
        }
        filter
    }

    /// What a run, or a sub-run of it, says.
    #[must_use]
    pub fn fact(&self, run: usize, sub: Option<usize>, kind: Kind) -> Fact {
        let time = Timestamp::from_micros(0);
        let root = self.run(run);
        let event = match kind {
            Kind::Log => Event::ExecutionLog(ExecutionLog {
                level: LogLevel::Info,
                message: "line".to_owned(),
                timestamp: None,
                logger: None,
                node_id: None,
                truncated: None,
                extra: Extra::new(),
            }),
            Kind::Node(node) => Event::NodeStatusChanged(NodeStatusChanged::to(
                NodeId::from(format!("n{node}").as_str()),
                NodeStatus::Running,
                time,
            )),
            Kind::End => {
                Event::ExecutionStatusChanged(ExecutionStatusChanged::to(ExecutionStatus::Completed, time))
            }
        };
        let context = match sub {
            None => CallbackContext { execution: root.clone(), parent: None, root, step: 0, time },
            Some(sub) => CallbackContext {
                execution: self.sub(run, sub),
                parent: Some(root.clone()),
                root,
                step: 0,
                time,
            },
        };
        Fact::new(context, event)
    }
}

// === impl Lines ===

impl Encoder for Lines {
    fn id(&self) -> &str {
        "lines"
    }

    fn encode(&self, record: &Record, cursor: &Cursor, out: &mut BytesMut) {
        out.extend_from_slice(format!("{cursor} ").as_bytes());
        out.extend_from_slice(&record.json);
        out.extend_from_slice(b"\n");
    }

    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(json);
    }
}
