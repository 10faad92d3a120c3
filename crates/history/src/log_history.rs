//! Pages of events, and states of the past.

mod page;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use core_events::{
    Cursor, Envelope, ExecutionId, ExecutionState, Filter, Offset, Record,
    ports::{
        EventLog, EventPage, EventsQuery, ExecutionSnapshot, History, HistoryError, LogProblem, LogStats,
        LookupError, ReadBatch, ReadError, ReadRange, RemoveError, Scope, Start,
    },
};

use self::page::{Page, Taken};

/// Read from the log at once, where it is not known how much of it will be wanted.
const READ_RECORDS: usize = 1_000;
const READ_BYTES: usize = 512 * 1024;

/// The [`History`] of a log.
///
/// # Ordering
///
/// A page ends no later than what was the head when it was asked for, so that reading page after page comes to an end even
/// while the run goes on faster than it is read.
#[derive(Debug, Clone)]
pub struct LogHistory {
    log: Arc<dyn EventLog>,
}

// === impl LogHistory ===

impl LogHistory {
    /// The history of `log`.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log }
    }

    /// The offset of `cursor`, if it is one of this log.
    fn offset(&self, cursor: &Cursor, head: Offset) -> Result<Offset, HistoryError> {
        if cursor.epoch != self.log.epoch() {
            Err(HistoryError::ForeignEpoch(cursor.clone()))
        } else if cursor.offset > head {
            Err(HistoryError::FutureCursor(cursor.clone()))
        } else {
            Ok(cursor.offset)
        }
    }

    async fn read(&self, range: ReadRange) -> Result<ReadBatch, ReadError> {
        let after = range.after;
        let batch = self.log.read(range).await?;
        if batch.scanned_to > after {
            return Ok(batch);
        }
        // Whoever asked again would ask for ever.
        Err(ReadError::Unavailable(format!("nothing was read behind position {after}")))
    }
}

#[async_trait]
impl History for LogHistory {
    async fn events(&self, query: EventsQuery) -> Result<EventPage, HistoryError> {
        let EventsQuery { execution, start, filter, max_events, max_bytes } = query;
        let info = self.log.find(&execution).await?;
        // Behind `find`, so that an end that it tells lies within.
        let head = self.log.head();
        let epoch = self.log.epoch();
        let filter = if execution == info.root { filter } else { narrowed(filter, &execution) };
        let after = match &start {
            Start::Beginning => 0,
            Start::Now => head,
            Start::After(cursor) => self.offset(cursor, head)?,
        };
        let up_to = info.ended.map_or(head, |end| end.min(head));
        let mut page = Page::new(after, max_events, max_bytes);
        while page.position < up_to && !page.full {
            // Without a filter every record counts, so that no more of them than fit need be read.
            let fit = if filter.is_all() { page.room() } else { READ_RECORDS };
            let range = ReadRange {
                scope: Scope::Run(info.root.clone()),
                after: page.position,
                up_to,
                max_records: fit.clamp(1, READ_RECORDS),
                max_bytes: READ_BYTES.min(max_bytes.max(1)),
            };
            let taken = page.take(self.read(range).await?, up_to, &filter);
            if taken == Taken::Missing {
                // What is missing may be all of it, by now.
                self.log.find(&execution).await?;
            }
        }
        Ok(page.finish(&epoch, up_to, info.ended))
    }

    async fn state_at(
        &self,
        execution: &ExecutionId,
        at: &Cursor,
    ) -> Result<ExecutionSnapshot, HistoryError> {
        let info = self.log.find(execution).await?;
        let head = self.log.head();
        let up_to = self.offset(at, head)?;
        let ended = info.ended.is_some_and(|end| end <= up_to);
        if ended || up_to == head {
            // The log keeps that one, also when it no longer keeps what it was made of.
            let (state, cursor) = self.log.state(execution).await?;
            if ended || &cursor == at {
                return Ok(ExecutionSnapshot { state, cursor: at.clone() });
            }
        }
        let mut state = ExecutionState::new(execution.clone());
        let mut position = 0;
        while position < up_to {
            let range = ReadRange {
                scope: Scope::Run(info.root.clone()),
                after: position,
                up_to,
                max_records: READ_RECORDS,
                max_bytes: READ_BYTES,
            };
            let batch = self.read(range).await?;
            if batch.pruned.is_some() {
                self.log.find(execution).await?;
                return Err(HistoryError::Incomplete(execution.clone()));
            }
            for record in batch.records.iter().filter(|record| &record.execution == execution) {
                state.apply(&decode(record)?);
            }
            position = batch.scanned_to;
            // Folding takes a while, and a log in memory never waits.
            tokio::task::yield_now().await;
        }
        Ok(ExecutionSnapshot { state, cursor: at.clone() })
    }

    async fn remove(&self, execution: &ExecutionId) -> Result<(), RemoveError> {
        self.log.remove(execution).await
    }

    async fn pin(&self, execution: &ExecutionId, pinned: bool) -> Result<(), LookupError> {
        let info = self.log.find(execution).await?;
        self.log.pin(&info.root, pinned).await
    }

    fn stats(&self) -> LogStats {
        self.log.stats()
    }

    fn health(&self) -> Option<LogProblem> {
        self.log.health()
    }
}

/// What passes `filter` and is of `execution`.
fn narrowed(mut filter: Filter, execution: &ExecutionId) -> Filter {
    let mut only = BTreeSet::from([execution.clone()]);
    if let Some(executions) = &filter.executions {
        only.retain(|id| executions.contains(id));
    }
    filter.executions = Some(only);
    filter
}

fn decode(record: &Record) -> Result<Envelope, ReadError> {
    Envelope::decode(&record.json)
        .map_err(|error| ReadError::Unavailable(format!("event {} is damaged: {error}", record.seq)))
}

#[cfg(test)]
mod tests;
