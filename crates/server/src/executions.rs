//! Runs: started, owned, ended.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use core_events::{
    ExecutionId, Seq,
    ports::{
        Clock, Control, ControlError, DiagramSource, EventLog, ExecutionSnapshot, Executions, ListQuery,
        LookupError, OutputError, ReadError, RunSummary, StartError, StartExecution, StartedExecution,
    },
};
use diagram::ExecutableDiagram;
use engine::{AbortHandle, Engine, RunRequest, abort_pair};
use futures_util::FutureExt;
use ingest::IngestRuns;
use log_capture::CapturedObserver;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{health::Stopping, paths::Paths, run_watch::RunWatch};

/// Why runs end when the server does.
const SHUTDOWN: &str = "server shutdown";

/// What runs need.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ingest: Arc<IngestRuns>,
    pub(crate) paths: Paths,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where relative paths start when a client does not say otherwise.
    pub(crate) base_dir: PathBuf,
    pub(crate) max_runs: usize,
    pub(crate) stopping: Stopping,
}

/// The [`Executions`] of this process. Clones share the runs.
#[derive(Debug, Clone)]
pub(crate) struct Runs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: Parts,
    under_way: Mutex<HashMap<ExecutionId, AbortHandle>>,
    /// One task per run; it ends when the run's terminal event is in the log.
    tasks: TaskTracker,
    /// Ends runs that don't end by themselves.
    cut_off: CancellationToken,
}

/// A run's place among those under way; given back when it is dropped.
#[derive(Debug)]
struct Slot {
    execution: ExecutionId,
    shared: Arc<Shared>,
}

/// How a run's engine ended.
enum Outcome {
    Ended,
    Panicked,
    CutOff,
}

// === impl Runs ===

impl Runs {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            parts,
            under_way: Mutex::new(HashMap::new()),
            tasks: TaskTracker::new(),
            cut_off: CancellationToken::new(),
        }))
    }

    /// Starts nothing any more, aborts what is under way, and returns when all of it has its terminal event. What takes
    /// longer than `patience` is cut off, and ended in the log in the engine's place; a log that does not answer is not
    /// waited for longer than that once more.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.0.parts.stopping.begin();
        for handle in self.0.under_way.lock().values() {
            handle.abort(SHUTDOWN);
        }
        self.0.tasks.close();
        if tokio::time::timeout(patience, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(runs = self.0.tasks.len(), "runs did not end in time and are cut off");
            self.cut_off();
            if tokio::time::timeout(patience, self.0.tasks.wait()).await.is_err() {
                tracing::error!(runs = self.0.tasks.len(), "runs could not be ended in the log");
            }
        }
    }

    /// Ends all runs without asking their engines.
    pub(crate) fn cut_off(&self) {
        self.0.cut_off.cancel();
    }

    async fn base_dir(&self, wanted: Option<&Path>) -> Result<PathBuf, StartError> {
        let dir = wanted.unwrap_or(&self.0.parts.base_dir);
        let wrong =
            |problem: String| StartError::BaseDir(format!("base directory {}: {problem}", dir.display()));
        let path = tokio::fs::canonicalize(dir).await.map_err(|error| wrong(error.to_string()))?;
        let is_dir = tokio::fs::metadata(&path).await.map_err(|error| wrong(error.to_string()))?.is_dir();
        if is_dir { Ok(path) } else { Err(wrong("it is no directory".to_owned())) }
    }
}

#[async_trait]
impl Executions for Runs {
    async fn start(&self, request: StartExecution) -> Result<StartedExecution, StartError> {
        let StartExecution { diagram: source, inputs, timeout, path } = request;
        let path = self.0.parts.paths.choose(path);
        let observers = self.0.parts.paths.observe(path)?;
        let base_dir = self.base_dir(source.base_dir.as_deref()).await?;
        let diagram = compile(source).await?;
        let warnings = diagram.warnings().iter().map(ToString::to_string).collect();

        let execution = ExecutionId::random();
        let (handle, abort) = abort_pair();
        let slot = Slot::take(&self.0, &execution, handle.clone())?;
        let parts = &self.0.parts;
        let (begun, has_begun) = oneshot::channel();
        let watch = Arc::new(RunWatch::new(Arc::new(observers), begun));
        let captured =
            CapturedObserver::new(Arc::clone(&watch) as _, execution.clone(), Arc::clone(&parts.clock));
        let request = RunRequest {
            execution: execution.clone(),
            parent: None,
            root: execution.clone(),
            diagram: Arc::new(diagram),
            variables: inputs,
            base_dir,
            timeout,
            abort,
            observer: Arc::new(captured),
            clock: Arc::clone(&parts.clock),
        };
        self.0.tasks.spawn(slot.run(request, watch));

        let recorded = has_begun.await.is_ok() && parts.log.find(&execution).await.is_ok();
        if !recorded {
            handle.abort("the run could not be recorded");
            return Err(StartError::Log("its first event was refused; the server's log says why".to_owned()));
        }
        tracing::info!(%execution, %path, "a run began");
        Ok(StartedExecution { execution, warnings, path })
    }

    async fn control(&self, execution: &ExecutionId, control: Control) -> Result<(), ControlError> {
        let info = self.0.parts.log.find(execution).await?;
        let handle = self.0.under_way.lock().get(&info.root).cloned();
        match (control, handle) {
            (Control::Abort { reason }, Some(handle)) if info.ended.is_none() => {
                handle.abort(reason);
                Ok(())
            }
            // Whoever runs it learns of its end when it posts again.
            (Control::Abort { reason }, None) if info.ended.is_none() => {
                self.0.parts.ingest.abort(&info.root, &reason).await
            }
            _ => Err(ControlError::Ended(execution.clone())),
        }
    }

    async fn get(&self, execution: &ExecutionId) -> Result<ExecutionSnapshot, LookupError> {
        let (state, cursor) = self.0.parts.log.state(execution).await?;
        Ok(ExecutionSnapshot { state, cursor })
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<RunSummary>, ReadError> {
        self.0.parts.log.list(query).await
    }

    async fn output(&self, execution: &ExecutionId, seq: Seq) -> Result<Bytes, OutputError> {
        let output = self.0.parts.log.output(execution, seq).await?;
        output.ok_or_else(|| OutputError::None { execution: execution.clone(), seq })
    }
}

// === impl Slot ===

impl Slot {
    /// The lock makes sure that whoever is in here when the server begins to stop is aborted, and nobody comes in after.
    fn take(shared: &Arc<Shared>, execution: &ExecutionId, handle: AbortHandle) -> Result<Self, StartError> {
        let mut under_way = shared.under_way.lock();
        if shared.parts.stopping.has_begun() {
            return Err(StartError::Stopping);
        }
        if under_way.len() >= shared.parts.max_runs {
            return Err(StartError::TooMany(under_way.len()));
        }
        under_way.insert(execution.clone(), handle);
        Ok(Self { execution: execution.clone(), shared: Arc::clone(shared) })
    }

    /// The task of a run: it has a terminal event afterwards, whatever happens to the engine (I9).
    async fn run(self, request: RunRequest, watch: Arc<RunWatch>) {
        let Parts { engine, log, clock, .. } = &self.shared.parts;
        let run = AssertUnwindSafe(engine.run(request)).catch_unwind();
        let outcome = tokio::select! {
            outcome = run => if outcome.is_ok() { Outcome::Ended } else { Outcome::Panicked },
            () = self.shared.cut_off.cancelled() => Outcome::CutOff,
        };
        let open = matches!(log.find(&self.execution).await, Ok(info) if info.ended.is_none());
        match outcome {
            _ if !open => tracing::info!(execution = %self.execution, "a run ended"),
            Outcome::CutOff => watch.abort(&self.execution, &**clock, SHUTDOWN).await,
            Outcome::Panicked => {
                tracing::error!(execution = %self.execution, "the engine panicked");
                let error =
                    "internal error: the engine stopped in the middle of the run; this is a fault of dipeo";
                watch.fail(&self.execution, &**clock, error).await;
            }
            Outcome::Ended => {
                tracing::error!(execution = %self.execution, "the end of a run was not recorded");
                let error = "the end of the run could not be recorded";
                watch.fail(&self.execution, &**clock, error).await;
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.under_way.lock().remove(&self.execution);
    }
}

/// Reads and compiles a diagram, off the runtime's threads: a large one takes a while.
async fn compile(source: DiagramSource) -> Result<ExecutableDiagram, StartError> {
    let compiled = tokio::task::spawn_blocking(move || diagram::load_light(&source.text, &source.name)).await;
    let faults = match compiled {
        Ok(Ok(diagram)) => return Ok(diagram),
        Ok(Err(diagnostics)) => {
            let dropped = diagnostics.dropped();
            let rest = (dropped > 0).then(|| format!("… and {dropped} more"));
            diagnostics.errors().map(ToString::to_string).chain(rest).collect()
        }
        Err(error) => {
            vec![format!("internal error: the compiler stopped ({error}); this is a fault of dipeo")]
        }
    };
    Err(StartError::Diagram(faults))
}

#[cfg(test)]
mod tests;
