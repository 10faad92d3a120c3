//! How somebody outside ends a run.

use std::sync::Arc;

use tokio::sync::watch;

/// Ends a run. Clones end the same run; dropping all of them doesn't.
#[derive(Debug, Clone)]
pub struct AbortHandle {
    reason: watch::Sender<Option<Arc<str>>>,
}

/// The end of [`abort_pair`] that a run listens on.
#[derive(Debug, Clone)]
pub struct AbortSignal {
    reason: watch::Receiver<Option<Arc<str>>>,
}

/// A handle, and the signal that it gives.
#[must_use]
pub fn abort_pair() -> (AbortHandle, AbortSignal) {
    let (sender, receiver) = watch::channel(None);
    (AbortHandle { reason: sender }, AbortSignal { reason: receiver })
}

// === impl AbortHandle ===

impl AbortHandle {
    /// Asks the run to end with `reason`, in the words of whoever wishes it. The first reason counts. Has no effect on a
    /// run that is over. Returns whether this was the first wish.
    pub fn abort(&self, reason: impl Into<Arc<str>>) -> bool {
        self.reason.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason.into());
            }
            first
        })
    }
}

// === impl AbortSignal ===

impl AbortSignal {
    /// A signal that nobody can give.
    #[must_use]
    pub fn never() -> Self {
        abort_pair().1
    }

    /// The reason, once there is one.
    pub(crate) fn given(&self) -> Option<Arc<str>> {
        self.reason.borrow().clone()
    }

    /// Waits for the reason; for ever if all handles are gone.
    pub(crate) async fn wait(&mut self) -> Arc<str> {
        let reason = match self.reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts() {
        let (handle, mut signal) = abort_pair();
        assert_eq!(signal.given(), None);
        assert!(handle.abort("enough"));
        assert!(!handle.clone().abort("too late"));
        drop(handle);
        assert_eq!(&*signal.wait().await, "enough");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_handle_nobody_aborts() {
        let mut signal = AbortSignal::never();
        let waited = tokio::time::timeout(std::time::Duration::from_secs(3600), signal.wait()).await;
        assert!(waited.is_err());
    }
}
