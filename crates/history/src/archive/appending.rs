//! The part of an import that writes to the log.

use std::time::Duration;

use bytes::Bytes;
use core_events::{
    CallbackContext, Envelope, ExecutionAborted, ExecutionId, Fact, NodeRef, NodeStart, NodeStatus, NodeType,
    Timestamp, facts,
    ports::{Append, AppendError, ImportError, LookupError, Unstored},
};
use indexmap::IndexMap;
use tokio::time::Instant;

use super::{Shared, spool::Spool, unavailable};

/// What is appended at once.
const CHUNK_EVENTS: usize = 256;
const CHUNK_BYTES: usize = 1024 * 1024;

/// How long to try again while too much waits to be stored.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const WITHOUT_END: &str = "imported without its end";
const GIVEN_UP: &str = "the import was given up";

#[derive(Debug)]
pub(super) struct Appending<'a> {
    shared: &'a Shared,
    root: &'a ExecutionId,
    /// How many events are in the log.
    count: u64,
    /// The time of the last one.
    time: Timestamp,
    /// Those of its executions that have not ended, each with its parent, in the order in which they appeared.
    open: IndexMap<ExecutionId, Option<ExecutionId>>,
}

// === impl Appending ===

impl<'a> Appending<'a> {
    pub(super) fn new(shared: &'a Shared, root: &'a ExecutionId) -> Self {
        Self { shared, root, count: 0, time: Timestamp::from_micros(0), open: IndexMap::new() }
    }

    /// Appends all, and the end if there is none. If that fails, what was appended is removed.
    pub(super) async fn run(mut self, spool: Spool) -> Result<u64, ImportError> {
        self.shared.is_free(self.root).await?;
        let appended = match self.all(spool).await {
            Ok(()) => self.close(WITHOUT_END, Unstored::Refuse).await,
            Err(error) => Err(error),
        };
        match appended {
            Ok(()) => Ok(self.count),
            Err(error) => {
                self.undo().await;
                Err(error)
            }
        }
    }

    async fn all(&mut self, spool: Spool) -> Result<(), ImportError> {
        let mut spooled = spool.read().await.map_err(|error| unavailable(&error))?;
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while let Some((json, output)) = spooled.next().await.map_err(|error| unavailable(&error))? {
            bytes += json.len() + output.as_ref().map_or(0, Bytes::len);
            chunk.push(self.fact(&json, output)?);
            if chunk.len() >= CHUNK_EVENTS || bytes >= CHUNK_BYTES {
                self.append(std::mem::take(&mut chunk), Unstored::Refuse).await?;
                bytes = 0;
            }
        }
        if chunk.is_empty() { Ok(()) } else { self.append(chunk, Unstored::Refuse).await }
    }

    fn fact(&mut self, json: &[u8], output: Option<Bytes>) -> Result<Fact, ImportError> {
        let damaged = |problem: String| AppendError::Unavailable(format!("what was put aside: {problem}"));
        let mut envelope = Envelope::decode(json).map_err(|error| damaged(error.to_string()))?;
        // Its place elsewhere, from whoever took the events from there as lines.
        envelope.extra.shift_remove("cursor");
        self.time = envelope.timestamp.ok_or_else(|| damaged("a time is missing".to_owned()))?;
        let (execution, parent) = (envelope.execution_id, envelope.parent_execution_id);
        if envelope.event.terminal_status().is_some() {
            self.open.shift_remove(&execution);
        } else {
            self.open.entry(execution.clone()).or_insert_with(|| parent.clone());
        }
        let context = self.context(execution, parent);
        Ok(Fact { context, event: envelope.event, attachment: output, extra: envelope.extra })
    }

    /// No callback of ours made these events: their step is none.
    fn context(&self, execution: ExecutionId, parent: Option<ExecutionId>) -> CallbackContext {
        CallbackContext { execution, parent, root: self.root.clone(), step: 0, time: self.time }
    }

    async fn append(&mut self, facts: Vec<Fact>, unstored: Unstored) -> Result<(), ImportError> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            if self.shared.stopping.is_cancelled() && unstored == Unstored::Refuse {
                return Err(AppendError::Unavailable("the server is stopping".to_owned()).into());
            }
            let append = Append { facts: facts.clone(), batch: None, unstored };
            match self.shared.log.append(append).await {
                Ok(appended) => {
                    self.count += appended.records.len() as u64;
                    return Ok(());
                }
                Err(AppendError::Busy) if Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends what has no end: the latest parts first, the root last, at the time of the last event.
    async fn close(&mut self, reason: &str, unstored: Unstored) -> Result<(), ImportError> {
        // The end of the root is that of all.
        let open = std::mem::take(&mut self.open);
        let root_open = open.contains_key(self.root);
        let never_began = self.count > 0 && !root_open && !self.has_ended().await?;
        if !root_open && !never_began {
            return Ok(());
        }
        let mut closing = Vec::new();
        let parts = open.into_iter().rev().filter(|(execution, _)| execution != self.root);
        for (execution, parent) in parts.chain([(self.root.clone(), None)]) {
            let (stopped, failed_nodes) = self.left_over(&execution).await?;
            let aborted = ExecutionAborted { reason: reason.to_owned(), stopped, failed_nodes };
            closing.extend(facts::execution_aborted(&self.context(execution, parent), &aborted));
        }
        self.append(closing, unstored).await
    }

    async fn has_ended(&self) -> Result<bool, ImportError> {
        match self.shared.log.find(self.root).await {
            Ok(info) => Ok(info.ended.is_some()),
            Err(LookupError::Unknown(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The nodes that still run, and those that failed.
    async fn left_over(
        &self,
        execution: &ExecutionId,
    ) -> Result<(Vec<NodeStart>, Vec<core_events::NodeId>), ImportError> {
        let state = match self.shared.log.state(execution).await {
            Ok((state, _)) => state,
            // Only parts of it have events.
            Err(LookupError::Unknown(_)) => return Ok((Vec::new(), Vec::new())),
            Err(error) => return Err(error.into()),
        };
        let running = state.nodes.into_iter().filter(|(_, node)| node.status == NodeStatus::Running);
        let stopped = running.map(|(id, node)| NodeStart {
            node: NodeRef {
                label: node.label.unwrap_or_else(|| id.to_string()),
                node_type: node.node_type.unwrap_or_else(|| NodeType::from("unknown")),
                id,
            },
            iteration: node.iterations,
        });
        Ok((stopped.collect(), state.failed_nodes.into_iter().collect()))
    }

    async fn undo(&mut self) {
        if self.count == 0 {
            return;
        }
        let root = self.root;
        // What ends must have its end in the log, whatever becomes of the disk.
        let closed = self.close(GIVEN_UP, Unstored::Deliver).await;
        if let Err(error) = closed {
            tracing::error!(execution = %root, %error, "an import was given up, and what it left could not be ended");
            return;
        }
        if let Err(error) = self.shared.log.remove(root).await {
            tracing::error!(execution = %root, %error, "an import was given up, and what it left could not be removed");
        }
    }
}
