//! Exit codes: the one place that knows them.

use std::process::ExitCode;

use core_events::{ExecutionState, ExecutionStatus};

use crate::signals::Signal;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done,
    /// The run failed, or a node in it; or not all of the output could be written.
    RunFailed,
    /// Nothing was run: wrong usage, wrong diagram, or surroundings that don't allow it.
    Refused,
    /// The run took longer than `--timeout`.
    TimedOut,
    /// Ctrl-C, or somebody else ended the run.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

// === impl Exit ===

impl Exit {
    /// What the end of a run means. `signal` is the one that we got, if any: it only tells two kinds of abortion apart,
    /// for what counts is how the run ended.
    pub(crate) fn of_run(state: &ExecutionState, signal: Option<Signal>) -> Self {
        match &state.status {
            ExecutionStatus::Completed if state.failed_nodes.is_empty() => Self::Done,
            ExecutionStatus::Failed if state.reason.as_deref() == Some("timeout") => Self::TimedOut,
            ExecutionStatus::Aborted => signal.map_or(Self::Interrupted, Self::of_signal),
            _ => Self::RunFailed,
        }
    }

    /// What leaving because of `signal` means.
    pub(crate) fn of_signal(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }

    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::RunFailed => 1,
            Self::Refused => 2,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use core_events::{ExecutionId, NodeId};

    use super::*;

    #[test]
    fn the_end_of_the_run_decides() {
        let state = |status: ExecutionStatus, reason: Option<&str>, failed: bool| {
            let mut state = ExecutionState::new(ExecutionId::random());
            state.status = status;
            state.reason = reason.map(str::to_owned);
            state.failed_nodes.extend(failed.then(|| NodeId::from("a")));
            state
        };
        for (status, reason, failed, signal, code) in [
            (ExecutionStatus::Completed, None, false, None, 0),
            // The run was done before the abortion reached it.
            (ExecutionStatus::Completed, None, false, Some(Signal::Interrupt), 0),
            (ExecutionStatus::Completed, None, true, None, 1),
            (ExecutionStatus::Failed, None, false, None, 1),
            (ExecutionStatus::Failed, None, true, Some(Signal::Terminate), 1),
            (ExecutionStatus::Failed, Some("timeout"), true, None, 124),
            (ExecutionStatus::Aborted, Some("timeout"), false, None, 130),
            (ExecutionStatus::Aborted, None, false, Some(Signal::Interrupt), 130),
            (ExecutionStatus::Aborted, None, false, Some(Signal::Terminate), 143),
            (ExecutionStatus::Other("ODD".into()), None, false, None, 1),
        ] {
            let state = state(status, reason, failed);
            assert_eq!(Exit::of_run(&state, signal).code(), code, "{state:?} {signal:?}");
        }
    }
}
