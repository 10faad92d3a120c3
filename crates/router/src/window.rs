//! Which records are kept in memory: the same rule for the log in memory and for the committed tail.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::RangeInclusive,
    sync::Arc,
};

use core_events::{ExecutionId, Offset, Record, Seq, ports::Scope};

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) records_per_run: Option<usize>,
}

/// What becomes of a run when it is evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Its terminal events and the knowledge of what is gone stay until [`Window::remove`] (I4).
    Ends,
    /// Nothing.
    Nothing,
}

/// The newest records of a log, and of every run those that are not evicted.
///
/// Finished runs go first, the one that finished first ahead of the others; then the oldest records of all. No more goes
/// than must: a run that is larger than the bounds loses its beginning, not its end, when it finishes. Within a run records
/// go oldest first, but for terminal events.
#[derive(Debug)]
pub(crate) struct Window {
    bounds: Bounds,
    keep: Keep,
    /// What the bounds count.
    all: BTreeMap<Offset, Arc<Record>>,
    /// Terminal events of runs that were evicted; outside the bounds, they live and die with the run's state.
    ends: BTreeMap<Offset, Arc<Record>>,
    runs: HashMap<ExecutionId, Run>,
    /// Runs that finished and were not evicted yet, in the order in which they finished.
    finished: VecDeque<ExecutionId>,
    bytes: usize,
    end_bytes: usize,
    head: Offset,
    /// Up to here, runs that are not in `runs` may have had records.
    forgotten: Offset,
    evicted: u64,
}

#[derive(Debug, Default)]
struct Run {
    records: VecDeque<Arc<Record>>,
    ends: Vec<End>,
    /// The position of its first record; 0 if that is unknown.
    first: Offset,
    /// The position of the last record that is gone; 0 if none is.
    gone: Offset,
}

#[derive(Debug)]
struct End {
    record: Arc<Record>,
    /// As [`Run::gone`], before this record.
    gone: Offset,
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) after: Offset,
    pub(crate) up_to: Offset,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
}

/// What was found, beside the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// A range that is gone, in front of the records.
    pub(crate) pruned: Option<RangeInclusive<Offset>>,
    /// Everything up to here is in `pruned` or the records.
    pub(crate) scanned_to: Offset,
}

// === impl Window ===

impl Window {
    pub(crate) fn new(bounds: Bounds, keep: Keep) -> Self {
        Self {
            bounds,
            keep,
            all: BTreeMap::new(),
            ends: BTreeMap::new(),
            runs: HashMap::new(),
            finished: VecDeque::new(),
            bytes: 0,
            end_bytes: 0,
            head: 0,
            forgotten: 0,
            evicted: 0,
        }
    }

    /// Nothing up to `head` came here, and what was not seen from its first record on may have holes up to there.
    pub(crate) fn begin_at(&mut self, head: Offset) {
        self.head = self.head.max(head);
        self.forgotten = self.forgotten.max(head);
        for run in self.runs.values_mut().filter(|run| run.first == 0) {
            run.gone = run.gone.max(head);
        }
    }

    /// Forgets everything; what is up to `head` never came here.
    pub(crate) fn restart_at(&mut self, head: Offset) {
        let (head, evicted) = (self.head.max(head), self.evicted + self.all.len() as u64);
        *self = Self { head, forgotten: head, evicted, ..Self::new(self.bounds, self.keep) };
    }

    pub(crate) fn head(&self) -> Offset {
        self.head
    }

    pub(crate) fn records(&self) -> usize {
        self.all.len() + self.ends.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.end_bytes
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Takes the next records of the log, then evicts down to the bounds.
    pub(crate) fn extend(&mut self, records: &[Arc<Record>]) {
        for record in records {
            self.push(Arc::clone(record));
        }
        while self.all.len() > self.bounds.records || self.bytes > self.bounds.bytes {
            if let Some(root) = self.finished.front().cloned() {
                self.evict_oldest(&root);
                if self.runs.get(&root).is_none_or(|run| run.records.is_empty()) {
                    self.finished.pop_front();
                }
            } else if let Some(oldest) = self.all.first_entry() {
                let root = oldest.get().root.clone();
                self.evict_oldest(&root);
            } else {
                break;
            }
        }
    }

    fn push(&mut self, record: Arc<Record>) {
        self.head = record.offset;
        self.bytes += record.footprint();
        let root = record.root.clone();
        let forgotten = self.forgotten;
        let run = self.runs.entry(root.clone()).or_insert_with(|| match record.seq {
            1 => Run { first: record.offset, ..Run::default() },
            _ => Run { gone: forgotten, ..Run::default() },
        });
        run.records.push_back(Arc::clone(&record));
        let over = self.bounds.records_per_run.is_some_and(|bound| run.records.len() > bound);
        if record.terminal.is_some() && record.execution == root {
            self.finished.push_back(root.clone());
        }
        self.all.insert(record.offset, record);
        if over {
            self.evict_oldest(&root);
        }
    }

    fn evict_run(&mut self, root: &ExecutionId) {
        while self.runs.get(root).is_some_and(|run| !run.records.is_empty()) {
            self.evict_oldest(root);
        }
    }

    fn evict_oldest(&mut self, root: &ExecutionId) {
        let Some(run) = self.runs.get_mut(root) else { return };
        if let Some(record) = run.records.pop_front() {
            self.all.remove(&record.offset);
            self.bytes -= record.footprint();
            if self.keep == Keep::Ends && record.terminal.is_some() {
                self.end_bytes += record.footprint();
                self.ends.insert(record.offset, Arc::clone(&record));
                run.ends.push(End { record, gone: run.gone });
            } else {
                run.gone = record.offset;
                self.evicted += 1;
            }
        }
        if self.keep == Keep::Nothing && run.records.is_empty() {
            self.forgotten = self.forgotten.max(run.gone);
            self.runs.remove(root);
        }
    }

    /// Forgets a finished run with all that was kept of it.
    pub(crate) fn remove(&mut self, root: &ExecutionId) {
        self.evict_run(root);
        if let Some(run) = self.runs.remove(root) {
            for end in run.ends {
                self.ends.remove(&end.record.offset);
                self.end_bytes -= end.record.footprint();
                self.evicted += 1;
            }
        }
        if self.finished.front() == Some(root) {
            self.finished.pop_front();
        }
    }

    /// The record `seq` of a run, if it is still here.
    pub(crate) fn by_seq(&self, root: &ExecutionId, seq: Seq) -> Option<&Arc<Record>> {
        let run = self.runs.get(root)?;
        let first = run.records.front().map_or(Seq::MAX, |record| record.seq);
        match seq.checked_sub(first) {
            Some(at) => run.records.get(usize::try_from(at).ok()?),
            None => {
                let at = run.ends.binary_search_by_key(&seq, |end| end.record.seq).ok()?;
                run.ends.get(at).map(|end| &end.record)
            }
        }
    }

    /// Reads oldest first into `records`, which must be empty. They end before the next range that is gone.
    ///
    /// Such a range ends at the last record that is gone. Which others of a run are gone is not kept: where the caller's bounds
    /// cut the range, what is left of it may hold none.
    pub(crate) fn read(&self, scope: &Scope, span: Span, records: &mut Vec<Arc<Record>>) -> Found {
        match scope {
            Scope::All => {
                let behind = (std::ops::Bound::Excluded(span.after), std::ops::Bound::Unbounded);
                let mut all = self.all.range(behind).peekable();
                let mut ends = self.ends.range(behind).peekable();
                let merged = std::iter::from_fn(move || {
                    let (a, b) = (all.peek().map(|(at, _)| **at), ends.peek().map(|(at, _)| **at));
                    let (at, record) = match (a, b) {
                        (Some(a), Some(b)) if b < a => ends.next()?,
                        (None, _) => ends.next()?,
                        _ => all.next()?,
                    };
                    Some((at.saturating_sub(1), record))
                });
                self.scan(span, merged, 0, self.head, records)
            }
            Scope::Run(root) => {
                let Some(run) = self.runs.get(root) else {
                    return self.scan(span, std::iter::empty(), 0, self.forgotten, records);
                };
                let end = run.ends.partition_point(|end| end.record.offset <= span.after);
                let ends = run.ends.iter().skip(end).map(|end| (end.gone, &end.record));
                let next = run.records.partition_point(|record| record.offset <= span.after);
                // Only in front of the first one there can be a hole.
                let gone = move |at: usize| if at == 0 { run.gone } else { 0 };
                let live = run.records.range(next..).enumerate().map(move |(i, r)| (gone(next + i), r));
                let last_gone = if run.records.is_empty() { run.gone } else { 0 };
                self.scan(span, ends.chain(live), run.first, last_gone, records)
            }
        }
    }

    /// `kept` are the records behind `span.after`, each with the last position before it that is gone; `last_gone` is the
    /// last position behind all of them that is.
    fn scan<'a>(
        &self,
        span: Span,
        kept: impl Iterator<Item = (Offset, &'a Arc<Record>)>,
        first: Offset,
        last_gone: Offset,
        records: &mut Vec<Arc<Record>>,
    ) -> Found {
        let limit = span.up_to.min(self.head);
        let mut found = Found { pruned: None, scanned_to: span.after };
        let mut bytes = 0;
        for (gone, record) in kept {
            let gone = gone.min(limit);
            if gone > found.scanned_to {
                if !records.is_empty() {
                    return found;
                }
                found.pruned = Some(first.max(found.scanned_to + 1)..=gone);
                found.scanned_to = gone;
            }
            if record.offset > limit {
                found.scanned_to = limit.max(span.after);
                return found;
            }
            if !records.is_empty() && (records.len() >= span.max_records || bytes >= span.max_bytes) {
                return found;
            }
            bytes += record.json.len();
            found.scanned_to = record.offset;
            records.push(Arc::clone(record));
        }
        let gone = last_gone.min(limit);
        if gone > found.scanned_to {
            if !records.is_empty() {
                return found;
            }
            found.pruned = Some(first.max(found.scanned_to + 1)..=gone);
        }
        found.scanned_to = limit.max(span.after);
        found
    }
}
