mod clients;
mod frame;
mod queue;
mod run;
mod subscription;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use core_events::{
    CallbackContext, EndReason, ExecutionAborted, ExecutionComplete, ExecutionFailure, ExecutionId,
    ExecutionStart, ExecutionStatus, LogLine, NodeComplete, NodeError, NodeSkipped, NodeStart, NodeStatus,
    Progress, Prompt, PromptResponse, StatusChange,
    ports::{ExecutionObserver, LookupError, StreamSource, SubscribeError, SubscribeRequest, Subscribed},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::{
    frame::Message,
    run::{Numbers, Run},
    subscription::{QueueSubscription, Ticket},
};

/// Messages that wait for one client; one more ends the client.
pub const QUEUE_MESSAGES: usize = 1_000;

/// Bytes of messages that wait for one client.
pub const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Messages of a run, from its first, that are kept for clients who come late.
pub const KEPT_MESSAGES: usize = 1_000;

/// Bytes of messages of a run that are kept.
pub const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// How long the streams of a run stay open behind its terminal message.
pub const LINGER: Duration = Duration::from_millis(200);

/// Runs that ended and whose end is remembered.
pub const REMEMBERED_RUNS: usize = 1_000;

/// Open streams.
pub const MAX_CLIENTS: usize = 20_000;

/// Streams what executions do to the clients of the legacy SSE path (T1).
///
/// A client sees the execution that it asked for, without its sub-runs: those have streams of their own. There is no
/// stream of all runs. Messages are numbered; cursors are of an epoch of the observer's own, and resume a stream as long
/// as the run is at work.
///
/// # Lagging
///
/// Publishing waits for no client (I4). Each has a queue of [`QUEUE_MESSAGES`]; when that is full, the client gets what is
/// in it and then [`EndReason::Slow`]. Who comes late gets the first [`KEPT_MESSAGES`] and, if there were more, a gap.
/// Nobody misses the terminal message.
///
/// # Closing
///
/// [`LINGER`] behind the terminal message the streams end. From then on
/// [`Finished`](core_events::ports::Subscribed::Finished), until [`REMEMBERED_RUNS`] more runs have ended: then the
/// execution is unknown. The first messages of a run that is over are let go when the next run begins or ends.
#[derive(Debug, Default)]
pub struct MonitoringStreamObserver {
    runs: Mutex<Runs>,
    numbers: Numbers,
    clients: Arc<AtomicUsize>,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Runs {
    by_id: HashMap<ExecutionId, Arc<Run>>,
    /// Over, their streams perhaps not yet, and since when those are.
    lingering: VecDeque<(Instant, Arc<Run>)>,
    /// Over, oldest first.
    ended: VecDeque<ExecutionId>,
    closed: Option<EndReason>,
}

// === impl MonitoringStreamObserver ===

impl MonitoringStreamObserver {
    /// An observer without clients. One may serve any number of executions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many messages belonged to no run: it never began, or it was over.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many clients listen to runs that are at work.
    #[must_use]
    pub fn clients(&self) -> usize {
        let runs: Vec<_> = self.runs.lock().by_id.values().cloned().collect();
        runs.iter().map(|run| run.clients()).sum()
    }

    /// Ends all streams with `reason` and opens none from now on. Those of a run that is over end as completed.
    pub fn close(&self, reason: EndReason) {
        let runs: Vec<_> = {
            let mut runs = self.runs.lock();
            runs.closed.get_or_insert(reason);
            runs.by_id.values().cloned().collect()
        };
        runs.iter().for_each(|run| run.cut(reason));
    }

    fn publish(&self, cx: &CallbackContext, messages: Vec<Message>) {
        let count = messages.len() as u64;
        let run = self.runs.lock().by_id.get(&cx.execution).cloned();
        match run.as_ref().and_then(|run| run.publish(cx, messages, &self.numbers)) {
            Some(false) => {}
            Some(true) => self.runs.lock().ended(&cx.execution),
            None => {
                self.lost.fetch_add(count, Ordering::Relaxed);
                tracing::warn!(execution = %cx.execution, step = cx.step, "{count} message(s) of a run that is not under way");
            }
        }
    }
}

#[async_trait]
impl StreamSource for MonitoringStreamObserver {
    async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscribed, SubscribeError> {
        let SubscribeRequest { execution, start, filter, encoder } = request;
        // All runs are served by the log alone.
        let execution = execution.ok_or(SubscribeError::Closed(EndReason::Moved))?;
        let run = {
            let runs = self.runs.lock();
            if let Some(reason) = runs.closed {
                return Err(SubscribeError::Closed(reason));
            }
            runs.by_id.get(&execution).cloned().ok_or(LookupError::Unknown(execution))?
        };
        let ticket = Ticket::take(&self.clients, MAX_CLIENTS).map_err(SubscribeError::TooMany)?;
        Ok(match run.join(&start, filter, &self.numbers)? {
            None => Subscribed::Finished,
            Some(joined) => {
                let epoch = self.numbers.epoch.clone();
                Subscribed::Open(Box::new(QueueSubscription::new(run, joined, encoder, epoch, ticket)))
            }
        })
    }
}

#[async_trait]
impl ExecutionObserver for MonitoringStreamObserver {
    async fn on_execution_start(&self, cx: &CallbackContext, start: &ExecutionStart) {
        self.runs.lock().begun(&cx.execution);
        self.publish(cx, vec![frame::execution_begun(cx, start)]);
    }

    async fn on_node_start(&self, cx: &CallbackContext, start: &NodeStart) {
        self.publish(cx, vec![frame::node_changed(cx, &start.node, NodeStatus::Running)]);
    }

    async fn on_node_complete(&self, cx: &CallbackContext, complete: &NodeComplete) {
        self.publish(cx, vec![frame::node_done(cx, complete)]);
    }

    async fn on_node_error(&self, cx: &CallbackContext, error: &NodeError) {
        self.publish(cx, vec![frame::node_failed(cx, error)]);
    }

    async fn on_execution_complete(&self, cx: &CallbackContext, _: &ExecutionComplete) {
        self.publish(cx, vec![frame::execution_changed(cx, &ExecutionStatus::Completed)]);
    }

    async fn on_execution_error(&self, cx: &CallbackContext, failure: &ExecutionFailure) {
        let mut messages = frame::nodes_stopped(cx, &failure.stopped);
        messages.push(frame::execution_failed(cx, &failure.error));
        messages.push(frame::execution_changed(cx, &ExecutionStatus::Failed));
        self.publish(cx, messages);
    }

    async fn on_node_skipped(&self, cx: &CallbackContext, skipped: &NodeSkipped) {
        self.publish(cx, vec![frame::node_changed(cx, &skipped.node, NodeStatus::Skipped)]);
    }

    async fn on_status_changed(&self, cx: &CallbackContext, change: &StatusChange) {
        self.publish(cx, vec![frame::execution_changed(cx, &change.status)]);
    }

    async fn on_execution_aborted(&self, cx: &CallbackContext, aborted: &ExecutionAborted) {
        let mut messages = frame::nodes_stopped(cx, &aborted.stopped);
        messages.push(frame::execution_changed(cx, &ExecutionStatus::Aborted));
        self.publish(cx, messages);
    }

    async fn on_interactive_prompt(&self, cx: &CallbackContext, prompt: &Prompt) {
        self.publish(cx, vec![frame::prompt(cx, prompt)]);
    }

    async fn on_interactive_response(&self, cx: &CallbackContext, response: &PromptResponse) {
        self.publish(cx, vec![frame::response(cx, response)]);
    }

    async fn on_log(&self, cx: &CallbackContext, line: &LogLine) {
        self.publish(cx, vec![frame::log(cx, line)]);
    }

    /// Nothing: the original's SSE path had no growing outputs.
    async fn on_progress(&self, _: &CallbackContext, _: &Progress) {}
}

// === impl Runs ===

impl Runs {
    fn begun(&mut self, execution: &ExecutionId) {
        self.let_go();
        let run = self.by_id.entry(execution.clone()).or_default();
        if let Some(reason) = self.closed {
            run.cut(reason);
        }
    }

    fn ended(&mut self, execution: &ExecutionId) {
        self.let_go();
        if let Some(run) = self.by_id.get(execution) {
            self.lingering.push_back((Instant::now() + LINGER, Arc::clone(run)));
            self.ended.push_back(execution.clone());
        }
        if self.ended.len() > REMEMBERED_RUNS
            && let Some(oldest) = self.ended.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    /// The first messages of runs whose streams have closed.
    fn let_go(&mut self) {
        let now = Instant::now();
        while let Some((_, run)) = self.lingering.pop_front_if(|(closed, _)| now >= *closed) {
            run.forget();
        }
    }
}
