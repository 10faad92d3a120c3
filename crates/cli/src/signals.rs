//! Ctrl-C and SIGTERM.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{error::CliError, exit::Exit, screen::Screen};

/// A wish to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// The first wish to stop that came. The second one, of either kind, ends the process at once.
#[derive(Debug, Clone)]
pub(crate) struct Signals(watch::Receiver<Option<Signal>>);

// === impl Signal ===

impl Signal {
    /// Why a run was aborted, for its terminal event.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupted",
            Self::Terminate => "terminated",
        }
    }
}

// === impl Signals ===

impl Signals {
    /// Starts to listen, in a task that lives as long as the process: a second signal must be obeyed even when all else is
    /// stuck, for instance in a terminal that was stopped.
    pub(crate) fn listen(screen: Screen, doing: &'static str) -> Result<Self, CliError> {
        let failed = |error| CliError::Startup(format!("can't listen for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = terminate.recv() => Signal::Terminate,
                    else => return,
                };
                if sender.borrow().is_some() {
                    std::process::exit(Exit::of_signal(signal).code().into());
                }
                sender.send_replace(Some(signal));
                // In a thread of its own: standard error may be stuck as well.
                let screen = screen.clone();
                tokio::task::spawn_blocking(move || {
                    screen.err(&format!("{doing}; once more to leave at once"))
                });
            }
        });
        Ok(Self(receiver))
    }

    /// The first signal, if it came.
    pub(crate) fn received(&self) -> Option<Signal> {
        *self.0.borrow()
    }

    /// Waits for the first signal.
    pub(crate) async fn wait(&mut self) -> Signal {
        match self.0.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            // The listener is gone: no signal can come any more.
            _ => std::future::pending().await,
        }
    }
}
