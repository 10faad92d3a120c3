//! Records that have their place and are not stored: the exception of I6.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use core_events::{ExecutionId, Offset, Record, ports::Scope};

/// What the log told of and could not store yet, newest last.
///
/// Bounded by bytes. The oldest goes first: a reader that has it goes on, one that lacks it waits for the log, so that
/// nobody gets events out of their order.
#[derive(Debug)]
pub(crate) struct Unstored {
    max_bytes: usize,
    bytes: usize,
    all: Queue,
    runs: HashMap<ExecutionId, Queue>,
    /// The log's head, as far as this knows: what lies up to there is in the log, or lost.
    settled: Offset,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Arc<Record>>,
    /// The position of the last record that there was no room for; 0 if there is none.
    dropped: Offset,
}

/// What there is to show to a reader.
#[derive(Debug)]
pub(crate) enum Next {
    /// This, and nothing else up to it.
    Record(Arc<Record>),
    /// Nothing, up to this position.
    Nothing(Offset),
    /// The log's head is ahead of the reader's position by now.
    Stale,
}

// === impl Unstored ===

impl Unstored {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, bytes: 0, all: Queue::default(), runs: HashMap::new(), settled: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.records.len()
    }

    /// Takes the next ones, told while the log's head was `head`.
    pub(crate) fn extend(&mut self, records: &[Arc<Record>], head: Offset) {
        self.settled = self.settled.max(head);
        for record in records {
            self.bytes += record.footprint();
            self.all.records.push_back(Arc::clone(record));
            self.runs.entry(record.root.clone()).or_default().records.push_back(Arc::clone(record));
        }
        while self.bytes > self.max_bytes {
            let Some(record) = self.take_oldest() else { break };
            self.all.dropped = record.offset;
            if let Some(run) = self.runs.get_mut(&record.root) {
                run.dropped = record.offset;
            }
        }
    }

    fn take_oldest(&mut self) -> Option<Arc<Record>> {
        let record = self.all.records.pop_front()?;
        self.bytes -= record.footprint();
        // Within its run it is the oldest as well.
        if let Some(run) = self.runs.get_mut(&record.root) {
            run.records.pop_front();
        }
        Some(record)
    }

    /// What lies up to `head` is in the log now, or lost.
    pub(crate) fn settle(&mut self, head: Offset) {
        self.settled = self.settled.max(head);
        while self.all.records.front().is_some_and(|record| record.offset <= head) {
            self.take_oldest();
        }
        self.runs.retain(|_, run| !run.records.is_empty() || run.dropped > head);
    }

    /// Forgets a run.
    pub(crate) fn remove(&mut self, root: &ExecutionId) {
        if let Some(run) = self.runs.remove(root) {
            self.bytes -= run.records.iter().map(|record| record.footprint()).sum::<usize>();
            self.all.records.retain(|record| &record.root != root);
        }
    }

    /// The next record in `scope` that is `wanted` by a reader which is at `position` in the log, was shown what lies up to
    /// `seen`, and is to see nothing behind `up_to`.
    pub(crate) fn next(
        &self,
        scope: &Scope,
        (position, seen, up_to): (Offset, Offset, Offset),
        wanted: impl Fn(&Record) -> bool,
    ) -> Next {
        if self.settled > position {
            return Next::Stale;
        }
        let queue = match scope {
            Scope::All => Some(&self.all),
            Scope::Run(root) => self.runs.get(root),
        };
        let Some(queue) = queue.filter(|queue| queue.dropped <= seen) else { return Next::Nothing(seen) };
        let next = queue.records.partition_point(|record| record.offset <= seen);
        let mut looked = seen;
        for record in queue.records.range(next..).take_while(|record| record.offset <= up_to) {
            if wanted(record) {
                return Next::Record(Arc::clone(record));
            }
            looked = record.offset;
        }
        Next::Nothing(looked)
    }
}
