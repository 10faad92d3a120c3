//! The invariants.

use std::{collections::BTreeMap, sync::Arc};

use core_events::{
    Cursor, EndReason, Envelope, Epoch, ExecutionId, ExecutionState, Filter, Gap, Offset, Record,
    ports::{Delivery, EventLog, ListQuery, LookupError, ReadRange, Scope},
};

use super::world::Tally;

/// Everything that the log took since the plan began.
#[derive(Debug, Default)]
pub struct Model {
    /// Where the log stood then. What lies before is gone.
    base: Offset,
    /// Ascending.
    pub records: Vec<Arc<Record>>,
}

/// What a reader asked for, and what it got.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The life of the log.
    pub epoch: Epoch,
    /// Whose events; `None` for all.
    pub target: Option<ExecutionId>,
    /// The run that the target is of.
    pub root: Option<ExecutionId>,
    /// Which of them.
    pub filter: Filter,
    /// The cursor that it came with, if that is worth a reset.
    pub reset: Option<Cursor>,
    /// Behind which position.
    pub start: Offset,
    /// In the order in which it came.
    pub got: Vec<Delivery>,
}

// === impl Model ===

impl Model {
    /// Nothing, on a log that stands at `base`.
    #[must_use]
    pub fn behind(base: Offset) -> Self {
        Self { base, records: Vec::new() }
    }

    /// The position of the last record.
    #[must_use]
    pub fn head(&self) -> Offset {
        self.records.last().map_or(self.base, |record| record.offset)
    }

    /// I1: no hole in the offsets, none in the `seq` of a root run.
    ///
    /// # Panics
    ///
    /// If there is one.
    pub fn take(&mut self, records: &[Arc<Record>]) {
        for record in records {
            assert_eq!(record.offset, self.head() + 1, "I1: offsets are contiguous");
            let last = self.records.iter().rev().find(|known| known.root == record.root);
            assert_eq!(record.seq, last.map_or(0, |last| last.seq) + 1, "I1: seq is contiguous");
            self.records.push(Arc::clone(record));
        }
    }

    /// Where `stream` ends.
    #[must_use]
    pub fn end_of(&self, stream: &Stream) -> Option<Offset> {
        let target = stream.target.as_ref()?;
        let ends = |r: &&Arc<Record>| {
            r.terminal.is_some() && (&r.execution == target || Some(&r.execution) == stream.root.as_ref())
        };
        self.records.iter().find(ends).map(|record| record.offset)
    }

    /// Between two positions.
    fn between(&self, after: Offset, to: Offset) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        let from = self.records.partition_point(|record| record.offset <= after);
        let behind = self.records.get(from..).unwrap_or_default();
        behind.iter().take(behind.partition_point(|record| record.offset <= to))
    }

    /// What the stream got is the filtered log from its start, in order, once, but for what gaps tell.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub fn check_prefix(&self, stream: &Stream) {
        let mut got = stream.got.iter();
        let mut told = stream.start;
        if let Some(from) = &stream.reset {
            let Some(Delivery::Gap(gap)) = got.next() else { return };
            assert!(gap.reset && &gap.from == from && gap.to == stream.epoch.at(stream.start), "{gap:?}");
        }
        let nothing_between = |told, to: &Cursor| {
            assert_eq!(to.epoch, stream.epoch);
            assert!(to.offset >= told, "positions never go back: {told} to {to}");
            let missed = self.between(told, to.offset).find(|record| stream.wants(record));
            assert!(missed.is_none(), "I8: {to} promises what was not delivered: {missed:?}");
            to.offset
        };
        let end = self.end_of(stream);
        for (at, delivery) in got.enumerate() {
            match delivery {
                Delivery::Block(block) => {
                    let text = String::from_utf8(block.slices.concat()).unwrap();
                    assert_eq!(text.lines().count(), block.events);
                    for line in text.lines() {
                        let expected = self.between(told, Offset::MAX).find(|record| stream.wants(record));
                        let expected = expected.expect("nothing is delivered that is not in the log");
                        let json = std::str::from_utf8(&expected.json).unwrap();
                        assert_eq!(line, format!("{} {json}", stream.epoch.at(expected.offset)), "I5");
                        told = expected.offset;
                    }
                    assert_eq!(block.last, stream.epoch.at(told));
                }
                Delivery::Id(cursor) => told = nothing_between(told, cursor),
                Delivery::Gap(gap) => {
                    assert!(!gap.reset, "only the first delivery resets");
                    nothing_between(told, &gap.from);
                    assert!(gap.to.offset > gap.from.offset, "{gap:?}");
                    assert!(end.is_none_or(|end| gap.to.offset < end), "I4: the end is never lost");
                    told = gap.to.offset;
                }
                Delivery::End(last) => {
                    assert_eq!(
                        at + 1 + usize::from(stream.reset.is_some()),
                        stream.got.len(),
                        "I9: it is the last"
                    );
                    nothing_between(told, &last.cursor);
                    if last.reason == EndReason::Completed {
                        assert_eq!(Some(last.cursor.offset), end, "I9: it stands at the terminal event");
                    }
                }
                Delivery::Ephemeral(_) => panic!("nothing ephemeral was published"),
            }
        }
    }

    /// What the stream still lacks, if it is not woken any more; `closed` is where its router stood when it closed.
    #[must_use]
    pub fn lacks(&self, stream: &Stream, closed: Option<Offset>) -> Option<String> {
        if stream.ended() {
            return None;
        }
        let told = stream.told();
        let missing = self.between(told, Offset::MAX).find(|record| stream.wants(record));
        let unreported = self.between(told, Offset::MAX).filter(|record| stream.in_scope(record)).count();
        if stream.reset.is_some() && stream.got.is_empty() {
            Some("I7: a cursor that is worth nothing here is answered with a reset".to_owned())
        } else if let Some(missing) = missing {
            Some(format!("I5: not delivered: {missing:?}"))
        } else if closed.is_some() {
            Some("a closed stream ends".to_owned())
        } else if let Some(end) = self.end_of(stream) {
            Some(format!("I9: the stream of an execution that ended at {end} ends"))
        } else if stream.root.is_none() && told < self.base {
            Some(format!("I4: silence over what is gone, up to {}", self.base))
        } else if unreported > 100 {
            Some(format!("I8: {unreported} filtered-out events without an id"))
        } else {
            None
        }
    }

    /// As [`check_prefix`](Self::check_prefix), and nothing is missing: this is a stream that is not woken any more.
    ///
    /// # Panics
    ///
    /// If something is.
    pub fn check_complete(&self, stream: &Stream, closed: Option<Offset>) {
        self.check_prefix(stream);
        assert_eq!(self.lacks(stream, closed), None, "{stream:?}");
        let Some(Delivery::End(end)) = stream.got.last() else { return };
        match end.reason {
            EndReason::Completed => {}
            EndReason::Shutdown => {
                assert!(closed.is_some_and(|head| end.cursor.offset >= head), "{end:?} of {closed:?}");
            }
            EndReason::Deleted => {
                assert!(self.end_of(stream).is_some(), "only finished runs are removed");
            }
            EndReason::Moved | EndReason::Slow | EndReason::Error => panic!("{end:?}"),
        }
    }

    /// A gap holds nothing that the log still has of the scope, and ends where something of it is gone: `log` may have lost
    /// more since, never less.
    ///
    /// # Panics
    ///
    /// If it is not so.
    pub async fn check_gap(&self, stream: &Stream, gap: &Gap, log: &dyn EventLog) {
        self.check_gone(stream, gap, log).await;
        self.check_exact(stream, gap, log).await;
    }

    async fn check_gone(&self, stream: &Stream, gap: &Gap, log: &dyn EventLog) {
        let (after, up_to) = (gap.from.offset, gap.to.offset);
        let scope = stream.root.clone().map_or(Scope::All, Scope::Run);
        let batch = log.read(ReadRange { scope, after, up_to, max_records: 1, max_bytes: 1 }).await.unwrap();
        assert!(gap.reset || batch.records.is_empty(), "I4: {gap:?} is not gone: {:?}", batch.records);
    }

    async fn check_exact(&self, stream: &Stream, gap: &Gap, log: &dyn EventLog) {
        let (after, up_to) = (gap.from.offset, gap.to.offset);
        let removed = match &stream.root {
            Some(root) => log.find(root).await.is_err(),
            None => false,
        };
        // Of a run that was removed nobody knows any more where its records lay.
        if !gap.reset && !removed {
            let gone = self.between(after, up_to).rfind(|record| stream.in_scope(record));
            let before = (stream.root.is_none() && after < self.base).then_some(self.base.min(up_to));
            let last = gone.map(|record| record.offset).or(before);
            assert_eq!(last, Some(up_to), "the gap is exact: {gap:?}");
        }
    }

    /// [`check_gap`](Self::check_gap) for all of them, where gaps that follow each other are one, also across a break:
    /// the log may go on losing while a reader asks it. `resumed` is the stream that goes on where this one was left.
    ///
    /// # Panics
    ///
    /// If one is wrong.
    pub async fn check_gaps(&self, stream: &Stream, resumed: Option<&Stream>, log: &dyn EventLog) {
        let behind = resumed.and_then(|stream| stream.got.first());
        for (at, delivery) in stream.got.iter().enumerate() {
            let Delivery::Gap(gap) = delivery else { continue };
            self.check_gone(stream, gap, log).await;
            let next = stream.got.get(at + 1).or(behind);
            if !matches!(next, Some(Delivery::Gap(_))) {
                self.check_exact(stream, gap, log).await;
            }
        }
    }

    /// I2: the state is the fold of everything, whatever is gone; and so is the line in the list of runs.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub async fn check_states(&self, log: &dyn EventLog) {
        let mut states: BTreeMap<ExecutionId, ExecutionState> = BTreeMap::new();
        for record in &self.records {
            let envelope = Envelope::decode(&record.json).unwrap();
            let id = record.execution.clone();
            states.entry(id.clone()).or_insert_with(|| ExecutionState::new(id)).apply(&envelope);
        }
        let all = ListQuery { limit: usize::MAX, ..ListQuery::default() };
        let listed = log.list(&all).await.unwrap();
        for (id, expected) in states {
            let lines: Vec<_> = listed.iter().filter(|run| run.execution_id == id).collect();
            if let [line] = lines[..] {
                let events = self.records.iter().filter(|record| record.root == id).count();
                assert_eq!((&line.status, line.ended_at), (&expected.status, expected.ended_at), "I2");
                assert_eq!(line.events, events as u64, "I2");
            }
            let root = self.records.iter().any(|record| record.root == id);
            match log.state(&id).await {
                Ok((state, cursor)) => {
                    assert_eq!(state, expected, "I2");
                    assert_eq!(lines.len(), usize::from(root), "each root run is listed once");
                    let last = self.records.iter().rfind(|record| record.execution == id).unwrap();
                    let fits = last.offset <= cursor.offset && cursor.offset <= self.head();
                    assert!(
                        fits && cursor.epoch == log.epoch(),
                        "{cursor} of {} to {}",
                        last.offset,
                        self.head()
                    );
                }
                Err(error) => assert_eq!(error, LookupError::Deleted(id)),
            }
        }
    }
}

// === impl Stream ===

impl Stream {
    fn in_scope(&self, record: &Record) -> bool {
        self.root.as_ref().is_none_or(|root| root == &record.root)
    }

    fn wants(&self, record: &Record) -> bool {
        let of_target = self.target == self.root || self.target.as_ref() == Some(&record.execution);
        self.in_scope(record) && of_target && self.filter.matches(record)
    }

    /// The same, before it got anything.
    #[must_use]
    pub fn again(&self) -> Self {
        let Self { epoch, target, root, filter, .. } = self;
        let (epoch, target, root, filter) = (epoch.clone(), target.clone(), root.clone(), filter.clone());
        Self { epoch, target, root, filter, reset: None, start: 0, got: Vec::new() }
    }

    /// Whether it got the end.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.got.last(), Some(Delivery::End(_)))
    }

    /// The position that it was told last.
    #[must_use]
    pub fn told(&self) -> Offset {
        self.got.iter().rev().find_map(place).map_or(self.start, |cursor| cursor.offset)
    }

    /// How much it got.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for delivery in &self.got {
            match delivery {
                Delivery::Block(block) => tally.events += block.events,
                Delivery::Gap(_) => tally.gaps += 1,
                Delivery::Id(_) | Delivery::Ephemeral(_) | Delivery::End(_) => {}
            }
        }
        tally
    }
}

/// Where a reader can go on that was given this.
#[must_use]
pub(super) fn place(delivery: &Delivery) -> Option<&Cursor> {
    match delivery {
        Delivery::Block(block) => Some(&block.last),
        Delivery::Id(cursor) => Some(cursor),
        Delivery::Gap(gap) => Some(&gap.to),
        Delivery::End(end) => Some(&end.cursor),
        Delivery::Ephemeral(_) => None,
    }
}
