//! The open WebSockets, so that a server can end them: they outlive the HTTP connections that they came from.

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The open WebSockets of one [`GraphqlApi`](crate::GraphqlApi). Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    stop: CancellationToken,
    cut: CancellationToken,
    alive: TaskTracker,
}

/// One open WebSocket, as long as it is held.
#[derive(Debug)]
pub(crate) struct Connection {
    stop: CancellationToken,
    cut: CancellationToken,
    _alive: TaskTrackerToken,
}

// === impl Connections ===

impl Connections {
    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.alive.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alive.is_empty()
    }

    /// Lets no operation begin from now on, and returns when all are closed. Each closes with 1001 when its last operation
    /// has ended: close the source of the streams first, which ends subscriptions with what they have to say.
    ///
    /// Cancelling it changes nothing; calling it again waits again.
    pub async fn close(&self) {
        self.stop.cancel();
        self.alive.close();
        self.alive.wait().await;
    }

    pub(crate) fn enter(&self) -> Connection {
        Connection { stop: self.stop.clone(), cut: self.cut.clone(), _alive: self.alive.token() }
    }

    /// Ends all at once, whatever they have to say.
    pub fn cut_off(&self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

// === impl Connection ===

impl Connection {
    /// Returns when no operation may begin any more.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Runs `session`, but not after the connections are cut off.
    pub(crate) async fn until_cut_off(&self, session: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => {}
            () = session => {}
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }
}
