//! What the store knows of executions that are not in memory.

use core_events::{ExecutionId, Offset};
use rusqlite::{Connection, OptionalExtension};

use crate::row::{execution_id, unsql};

/// What was asked, and found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) executions: Vec<(ExecutionId, Known)>,
    /// (epoch, seq) of the latest batch of the producer in the run.
    pub(super) batch: Option<(u64, u64)>,
    /// Whether what it says holds, whatever memory makes of it.
    pub(super) insists: bool,
}

/// What the store knows of one execution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    /// Nothing.
    Absent,
    /// It was removed.
    Removed,
    /// It belongs to the run of `root`.
    Of { root: ExecutionId, ended: Option<Offset> },
}

/// Asks for `executions`, the first of which may be a root in which `producer` appended.
pub(crate) fn look_up(
    conn: &Connection,
    executions: Vec<ExecutionId>,
    producer: Option<&str>,
) -> rusqlite::Result<Found> {
    let mut find = conn.prepare_cached(
        "SELECT r.root, e.ended FROM executions e JOIN runs r ON r.id = e.run WHERE e.id = ?1",
    )?;
    let mut removed = conn.prepare_cached("SELECT 1 FROM removed WHERE id = ?1")?;
    let batch = match (producer, executions.first()) {
        (Some(producer), Some(root)) => conn
            .prepare_cached(
                "SELECT p.epoch, p.seq FROM producers p JOIN runs r ON r.id = p.run
                 WHERE r.root = ?1 AND p.producer = ?2",
            )?
            .query_row((root.as_str(), producer), |row| Ok((unsql(row.get(0)?), unsql(row.get(1)?))))
            .optional()?,
        _ => None,
    };
    let mut found = Found { executions: Vec::with_capacity(executions.len()), batch, insists: false };
    for id in executions {
        let of = find.query_row([id.as_str()], |row| {
            let ended: Option<i64> = row.get(1)?;
            Ok(Known::Of { root: execution_id(0, row.get_ref(0)?)?, ended: ended.map(unsql) })
        });
        let known = match of.optional()? {
            Some(known) => known,
            None if removed.exists([id.as_str()])? => Known::Removed,
            None => Known::Absent,
        };
        found.executions.push((id, known));
    }
    Ok(found)
}

// === impl Found ===

impl Found {
    pub(super) fn get(&self, id: &ExecutionId) -> Option<&Known> {
        self.executions.iter().find(|(known, _)| known == id).map(|(_, known)| known)
    }

    /// As if the store knew nothing: for when it can't be asked, and there is no time to wait.
    pub(crate) fn nothing(executions: Vec<ExecutionId>) -> Self {
        let executions = executions.into_iter().map(|id| (id, Known::Absent)).collect();
        Self { executions, batch: None, insists: true }
    }

    /// It was asked often enough.
    pub(crate) fn insist(&mut self) {
        self.insists = true;
    }
}
