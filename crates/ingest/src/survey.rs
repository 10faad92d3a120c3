//! What the log has of a run, without reading any JSON.

use core_events::{
    ExecutionId,
    ports::{EventLog, LookupError, ReadError, ReadRange, Scope},
};
use indexmap::IndexMap;

use crate::table::Place;

const RECORDS: usize = 1_000;
const BYTES: usize = 1024 * 1024;

/// A run, looked over.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Its end so far.
    pub(crate) last: Option<Place>,
    /// Its sub-runs that have not ended, in the order of their beginning.
    pub(crate) open_parts: Vec<ExecutionId>,
}

impl Survey {
    /// Looks over what is there of `root`.
    ///
    /// # Errors
    ///
    /// [`LookupError::Unavailable`].
    pub(crate) async fn of(log: &dyn EventLog, root: &ExecutionId) -> Result<Self, LookupError> {
        let epoch = log.epoch();
        let (mut after, up_to) = (0, log.head());
        let mut last = None;
        let mut parts: IndexMap<ExecutionId, bool> = IndexMap::new();
        while after < up_to {
            let scope = Scope::Run(root.clone());
            let range = ReadRange { scope, after, up_to, max_records: RECORDS, max_bytes: BYTES };
            let batch =
                log.read(range).await.map_err(|ReadError::Unavailable(why)| LookupError::Unavailable(why))?;
            for record in &batch.records {
                last = Some(Place { step: record.step, seq: record.seq, cursor: epoch.at(record.offset) });
                if record.execution != *root {
                    *parts.entry(record.execution.clone()).or_default() |= record.terminal.is_some();
                }
            }
            if batch.scanned_to <= after {
                break;
            }
            after = batch.scanned_to;
        }
        let open_parts = parts.into_iter().filter(|(_, ended)| !ended).map(|(id, _)| id).collect();
        Ok(Self { last, open_parts })
    }
}
