//! Removing what is too old or too much, in small steps between commits.

use std::time::Duration;

use core_events::{ExecutionId, Offset, Timestamp};
use rusqlite::{Connection, TransactionBehavior};
use tokio::time::Instant;

use crate::{
    StoreOptions, options, remove, row,
    stats::{Counters, Pages},
};

/// What a step should take: an append that comes meanwhile waits as long.
const STEP: Duration = Duration::from_millis(4);
/// Free pages that stay in the file, for records to come: so many,
const FREE_PAGES: u64 = 256;
/// or one for so many that are in use.
const USED_PER_FREE: u64 = 10;

/// Keeps the store within its bounds.
///
/// The oldest finished run goes first, by the time at which the log took its end, as long as one bound is passed; running and
/// pinned runs never go. The run that finished last goes by age alone: whoever follows it must get its end (I4). Space that
/// this leaves goes back to the system.
#[derive(Debug)]
pub(crate) struct Retention {
    bounds: options::Retention,
    /// Events to take out of the file in one step.
    events: Pace,
    /// Pages to give back in one step.
    pages: Pace,
}

/// What a step did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Root runs that are deleted now.
    pub(crate) removed: Vec<ExecutionId>,
    /// Whether there is more to do.
    pub(crate) more: bool,
}

/// How much to do at once so that it takes [`STEP`].
#[derive(Debug, Clone, Copy)]
struct Pace {
    amount: u32,
    most: u32,
}

// === impl Retention ===

impl Retention {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        Self {
            bounds: options.retention.clone(),
            events: Pace { amount: 128, most: 4_096 },
            pages: Pace { amount: 32, most: 1_024 },
        }
    }

    /// Does one thing that is due, if one is. `head` is that of the log.
    pub(crate) fn step(
        &mut self,
        connection: &mut Connection,
        now: Timestamp,
        head: Offset,
        counters: &Counters,
    ) -> rusqlite::Result<Step> {
        let begun = Instant::now();
        if let Some(purged) = remove::purge(connection, self.events.amount)? {
            self.events.took(begun.elapsed());
            if purged > 0 {
                counters.purged(connection)?;
            }
            return Ok(Step { removed: Vec::new(), more: true });
        }
        let pages = Pages::of(connection)?;
        counters.pages(pages);
        if let Some((run, root)) = self.due(connection, now, pages, counters)? {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let doomed = remove::doom(&tx, run, head)?;
            tx.commit()?;
            counters.removed(&doomed);
            return Ok(Step { removed: vec![root], more: true });
        }
        if pages.free <= FREE_PAGES.max(pages.used / USED_PER_FREE) {
            return Ok(Step::default());
        }
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({})", self.pages.amount))?;
        self.pages.took(begun.elapsed());
        Ok(Step { removed: Vec::new(), more: true })
    }

    /// The run that is to go.
    fn due(
        &self,
        connection: &Connection,
        now: Timestamp,
        pages: Pages,
        counters: &Counters,
    ) -> rusqlite::Result<Option<(i64, ExecutionId)>> {
        let bounds = &self.bounds;
        if bounds.max_age.is_none() && bounds.max_bytes.is_none() && bounds.max_runs.is_none() {
            return Ok(None);
        }
        let mut statement = connection.prepare_cached(
            "SELECT id, root, ended_at FROM runs WHERE ended IS NOT NULL AND pinned = 0
             ORDER BY ended_at, id LIMIT 2",
        )?;
        let oldest = statement.query_map([], |row| {
            let ended = Timestamp::from_micros(row.get(2)?);
            Ok((row.get(0)?, row::execution_id(1, row.get_ref(1)?)?, ended))
        })?;
        let oldest: Vec<(i64, ExecutionId, Timestamp)> = oldest.collect::<Result<_, _>>()?;
        let last = oldest.len() == 1;
        let Some((run, root, ended)) = oldest.into_iter().next() else { return Ok(None) };
        let old = bounds.max_age.is_some_and(|age| now.since(ended) > age);
        let large = bounds.max_bytes.is_some_and(|bytes| pages.used * pages.bytes > bytes);
        let many = bounds.max_runs.is_some_and(|runs| counters.runs() > runs);
        Ok((old || (!last && (large || many))).then_some((run, root)))
    }
}

// === impl Pace ===

impl Pace {
    fn took(&mut self, time: Duration) {
        if time > STEP * 2 {
            self.amount = (self.amount / 2).max(1);
        } else if time < STEP / 2 {
            self.amount = (self.amount * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests;
