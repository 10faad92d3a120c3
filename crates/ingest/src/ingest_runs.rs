//! The service.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use core_events::{
    CallbackContext, Envelope, Event, ExecutionId, ExecutionStatus, ExecutionStatusChanged, Fact, Progress,
    ports::{
        Append, AppendError, Appended, Clock, ControlError, EventLog, Ingest, IngestError, Ingested,
        LookupError, MessageRouter, OpenError, OpenRun, OpenedRun, ProducerBatch, Unstored,
    },
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::{
    batch::Batch,
    closing, lease,
    survey::Survey,
    table::{Place, Run, Table},
};

/// `source` of the runs of outside engines.
pub const SOURCE: &str = "ingest";

/// Bounds of [`IngestRuns`].
#[derive(Debug, Clone, Copy)]
pub struct IngestOptions {
    /// How long a producer may say nothing before its run is closed.
    pub lease: Duration,
    /// Runs that may be open at once.
    pub max_open_runs: usize,
}

/// The [`Ingest`] of this process.
///
/// # Ordering
///
/// What is posted to one run at once is ordered by the log; each POST's events stand next to each other.
///
/// # Closing
///
/// A task that it owns closes runs whose producers say nothing for longer than the lease. [`stop`](Self::stop) ends that
/// task and takes nothing more; runs stay open then, and the next life of the service begins their leases anew.
/// Dropping it ends the task, too.
#[derive(Debug)]
pub struct IngestRuns {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: IngestOptions,
    pub(crate) table: Table,
    router: Arc<dyn MessageRouter>,
    stopping: AtomicBool,
}

/// Whether events may follow.
enum Standing {
    Open(Arc<Run>),
    /// Only a repeated batch may come.
    Ended,
}

// === impl IngestOptions ===

impl Default for IngestOptions {
    /// 15 minutes; 1,000 runs.
    fn default() -> Self {
        Self { lease: Duration::from_secs(15 * 60), max_open_runs: 1_000 }
    }
}

// === impl IngestRuns ===

impl IngestRuns {
    /// Begins to serve, and takes over the runs that the log has open. Needs a Tokio runtime with time. `router` shows
    /// progress; everything else goes into `log`.
    #[must_use]
    pub fn start(
        log: Arc<dyn EventLog>,
        router: Arc<dyn MessageRouter>,
        clock: Arc<dyn Clock>,
        options: IngestOptions,
    ) -> Self {
        let shared = Arc::new(Shared {
            log,
            clock,
            options,
            table: Table::default(),
            router,
            stopping: AtomicBool::new(false),
        });
        let task = tokio::spawn(lease::keep(Arc::clone(&shared)));
        Self { shared, task: Mutex::new(Some(task)) }
    }

    /// Takes nothing more, and returns when its task has ended.
    pub async fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            // Cancelled is what it is meant to be.
            drop(task.await);
        }
    }

    /// Ends an open run in its engine's place; whatever the engine posts after that is refused.
    ///
    /// # Errors
    ///
    /// See [`ControlError`]. A run of this installation is none of ours, and counts as ended.
    pub async fn abort(&self, execution: &ExecutionId, reason: &str) -> Result<(), ControlError> {
        match self.shared.standing(execution).await {
            Ok(Standing::Open(_)) => self.shared.abort(execution, reason, || true).await,
            Ok(Standing::Ended) => Err(ControlError::Ended(execution.clone())),
            Err(IngestError::Lookup(error)) => Err(error.into()),
            Err(_) => Err(ControlError::Ended(execution.clone())),
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }
}

impl Drop for IngestRuns {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

#[async_trait]
impl Ingest for IngestRuns {
    async fn open(&self, run: OpenRun) -> Result<OpenedRun, OpenError> {
        if self.is_stopping() {
            return Err(OpenError::Stopping);
        }
        let shared = &self.shared;
        let id = run.execution.clone().unwrap_or_else(ExecutionId::random);
        let IngestOptions { lease, max_open_runs } = shared.options;
        let entry = shared.table.enter(&id, lease, max_open_runs).ok_or(OpenError::TooMany(max_open_runs))?;
        let mut existed = true;
        let begun = entry.begun.get_or_try_init(async || shared.begin(&id, &entry, run, &mut existed).await);
        if let Err(error) = begun.await {
            shared.table.give_up(&id, &entry);
            return Err(error);
        }
        entry.renew(lease);
        Ok(OpenedRun { execution: id, existed })
    }

    async fn append(
        &self,
        execution: &ExecutionId,
        events: Vec<Envelope>,
        batch: Option<ProducerBatch>,
    ) -> Result<Ingested, IngestError> {
        if self.is_stopping() {
            return Err(IngestError::Stopping);
        }
        let shared = &self.shared;
        let run = match shared.standing(execution).await? {
            Standing::Open(run) => Some(run),
            Standing::Ended if batch.is_some() => None,
            Standing::Ended => return Err(AppendError::Ended(execution.clone()).into()),
        };
        let last = run.as_ref().and_then(|run| run.last());
        let step = last.as_ref().map_or(0, |last| last.step) + 1;
        let posted = Batch::read(execution, events, step, shared.clock.now())?;
        if let Some(run) = &run {
            run.renew(shared.options.lease);
        }
        if posted.facts.is_empty() {
            return shared.nothing_to_log(&posted.progress, last, batch.as_ref());
        }
        let Batch { facts, progress, ends, parts } = posted;
        let append = Append { facts, batch, unstored: Unstored::Refuse };
        let appended = match shared.log.append(append).await {
            Ok(appended) => appended,
            Err(error) => {
                if matches!(&error, AppendError::Ended(id) if id == execution) {
                    shared.table.remove(execution);
                }
                return Err(shared.explain(error, execution, parts).await);
            }
        };
        let place = shared.end_of(&appended).ok_or(AppendError::Mixed)?;
        match &run {
            Some(run) if !ends => {
                run.reached(place.clone());
                run.renew(shared.options.lease);
            }
            _ => shared.table.remove(execution),
        }
        shared.show(&progress);
        Ok(Ingested { events: appended.records.len(), last_seq: place.seq, cursor: place.cursor })
    }
}

// === impl Shared ===

impl Shared {
    /// Opens a run, or finds it open.
    async fn begin(
        &self,
        id: &ExecutionId,
        entry: &Run,
        run: OpenRun,
        existed: &mut bool,
    ) -> Result<(), OpenError> {
        match self.log.find(id).await {
            Err(LookupError::Unknown(_)) => {}
            Err(LookupError::Deleted(_)) => return Err(OpenError::Taken(id.clone())),
            Err(error) => return Err(error.into()),
            Ok(_) => {
                return match self.take_up(id, entry).await {
                    Ok(true) => Ok(()),
                    Ok(false) | Err(IngestError::NotOpened(_)) => Err(OpenError::Taken(id.clone())),
                    Err(IngestError::Lookup(error)) => Err(error.into()),
                    Err(other) => Err(LookupError::Unavailable(other.to_string()).into()),
                };
            }
        }
        *existed = false;
        let now = self.clock.now();
        let cx =
            CallbackContext { execution: id.clone(), parent: None, root: id.clone(), step: 1, time: now };
        let mut event = ExecutionStatusChanged::to(ExecutionStatus::Pending, now);
        event.diagram_id = run.diagram_id;
        event.diagram_name = run.diagram_name;
        event.source = Some(SOURCE.to_owned());
        let facts = vec![Fact::new(cx, Event::ExecutionStatusChanged(event))];
        let appended = self.log.append(Append { facts, batch: None, unstored: Unstored::Refuse }).await?;
        if let Some(place) = self.end_of(&appended) {
            entry.reached(place);
        }
        tracing::info!(execution = %id, "an outside engine opened a run");
        Ok(())
    }

    /// Learns of a run that the log has, and whether it is open.
    async fn take_up(&self, id: &ExecutionId, entry: &Run) -> Result<bool, IngestError> {
        let info = self.log.find(id).await?;
        if info.root != *id {
            return Err(IngestError::NotOpened(id.clone()));
        }
        let (state, _) = self.log.state(id).await?;
        if state.source.as_deref() != Some(SOURCE) {
            return Err(IngestError::NotOpened(id.clone()));
        }
        if info.ended.is_some() || state.status.is_terminal() {
            return Ok(false);
        }
        if let Some(last) = Survey::of(&*self.log, id).await?.last {
            entry.reached(last);
        }
        Ok(true)
    }

    async fn standing(&self, id: &ExecutionId) -> Result<Standing, IngestError> {
        if let Some(run) = self.table.get(id)
            && run.begun.initialized()
        {
            return Ok(Standing::Open(run));
        }
        // Not only to find out whether it is there: what is unknown must not get a place in the table.
        self.log.find(id).await?;
        let Some(run) = self.table.enter(id, self.options.lease, usize::MAX) else {
            return Err(IngestError::NotOpened(id.clone()));
        };
        let begun = run.begun.get_or_try_init(async || match self.take_up(id, &run).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(None),
            Err(error) => Err(Some(error)),
        });
        match begun.await {
            Ok(()) => Ok(Standing::Open(run)),
            Err(error) => {
                self.table.give_up(id, &run);
                error.map_or(Ok(Standing::Ended), Err)
            }
        }
    }

    /// Ends a run and everything in it, if `still` says so when all is ready.
    pub(crate) async fn abort(
        &self,
        id: &ExecutionId,
        reason: &str,
        still: impl Fn() -> bool,
    ) -> Result<(), ControlError> {
        let ended = || {
            self.table.remove(id);
            ControlError::Ended(id.clone())
        };
        let facts = match closing::facts(&*self.log, id, reason, self.clock.now()).await {
            Ok(Some(facts)) => facts,
            Ok(None) | Err(LookupError::Unknown(_) | LookupError::Deleted(_)) => return Err(ended()),
            Err(error @ LookupError::Unavailable(_)) => return Err(error.into()),
        };
        if !still() {
            return Ok(());
        }
        match self.log.append(Append { facts, batch: None, unstored: Unstored::Refuse }).await {
            Ok(_) => {}
            Err(AppendError::Ended(_)) => return Err(ended()),
            Err(error) => return Err(LookupError::Unavailable(error.to_string()).into()),
        }
        self.table.remove(id);
        tracing::info!(execution = %id, %reason, "a run of an outside engine was aborted");
        Ok(())
    }

    /// A POST without anything for the log renews the lease, and has no number: the log would not remember it.
    fn nothing_to_log(
        &self,
        progress: &[(CallbackContext, Progress)],
        last: Option<Place>,
        batch: Option<&ProducerBatch>,
    ) -> Result<Ingested, IngestError> {
        if batch.is_some() {
            let problem = "a numbered batch needs at least one event besides NODE_PROGRESS; post what there is without Producer-* headers";
            return Err(IngestError::Event { index: 0, problem: problem.to_owned() });
        }
        let Some(last) = last else {
            return Err(LookupError::Unavailable("its end is not known yet".to_owned()).into());
        };
        self.show(progress);
        Ok(Ingested { events: 0, last_seq: last.seq, cursor: last.cursor })
    }

    fn show(&self, progress: &[(CallbackContext, Progress)]) {
        for (cx, progress) in progress {
            self.router.publish_progress(cx, progress);
        }
    }

    fn end_of(&self, appended: &Appended) -> Option<Place> {
        let last = appended.records.last()?;
        Some(Place { step: last.step, seq: last.seq, cursor: self.log.epoch().at(last.offset) })
    }

    /// Says which event is about another run, where that is why the log refused them.
    async fn explain(
        &self,
        error: AppendError,
        root: &ExecutionId,
        parts: Vec<(ExecutionId, usize)>,
    ) -> IngestError {
        if error == AppendError::Mixed {
            for (id, index) in parts {
                if self.log.find(&id).await.is_ok_and(|info| info.root != *root) {
                    let problem = format!("execution_id: {id} is there already, and no part of {root}");
                    return IngestError::Event { index, problem };
                }
            }
        }
        error.into()
    }
}
