//! Connections: taken, bounded, owned.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use transport_sse::WriteDeadline;

use crate::{Config, descriptors, guards::host::LocalAddr};

/// How long to wait when the system has no connection to give, for instance for lack of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Takes connections and serves them.
///
/// # Closing
///
/// `stop` ends the taking; connections go on, each till its present answer is complete. `kill` cuts them off. Every
/// connection is a task of `tasks`, and so is the taker.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    http: http1::Builder,
    app: Router,
    write_timeout: Duration,
    /// One permit per connection.
    room: Arc<Semaphore>,
    open: OpenConnections,
    tasks: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

/// How many connections are open, WebSockets apart. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenConnections(Arc<AtomicUsize>);

/// One of them, as long as it is held.
#[derive(Debug)]
struct OpenConnection(OpenConnections);

// === impl OpenConnections ===

impl OpenConnections {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> OpenConnection {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Acceptor ===

impl Acceptor {
    pub(crate) fn new(config: &Config, app: Router, open: OpenConnections) -> Self {
        let mut http = http1::Builder::new();
        // The buffer's bound is also what makes hyper stop asking a stream for more.
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_buf_size(config.max_header_bytes)
            .max_headers(config.max_headers);
        // hyper's `half_close` stays off: a client that has gone away shows by its closing only, and its stream would
        // otherwise live on until a write fails.
        Self {
            http,
            app,
            write_timeout: config.write_timeout,
            room: Arc::new(Semaphore::new(descriptors::room(config.max_connections))),
            open,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        }
    }

    /// Begins to take connections from `listener`.
    pub(crate) fn spawn(&self, listener: TcpListener) {
        let acceptor = self.clone();
        self.tasks.spawn(async move {
            let stop = acceptor.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = acceptor.take(listener) => {}
            }
        });
    }

    /// Takes no more connections, and lets those that there are finish what they are at.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// Returns when all connections are gone.
    pub(crate) async fn finished(&self) {
        self.tasks.wait().await;
    }

    /// Cuts all connections off.
    pub(crate) fn kill(&self) {
        self.stop();
        self.kill.cancel();
    }

    async fn take(&self, listener: TcpListener) {
        let shared = Arc::new(self.clone());
        loop {
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no connection could be taken");
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                }
            };
            let acceptor = Arc::clone(&shared);
            let open = self.open.enter();
            self.tasks.spawn(async move {
                acceptor.serve(stream, peer).await;
                drop((open, permit));
            });
        }
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let local = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
            Ok(local) => local,
            Err(error) => {
                tracing::debug!(%peer, %error, "a connection was gone before it was served");
                return;
            }
        };
        let service = service_fn(|request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(LocalAddr(local));
            let answer = self.app.clone().oneshot(request);
            // hyper keeps the room of this future as long as the connection; boxed, it is free when there is an answer.
            Box::pin(async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) })
        });
        let io = TokioIo::new(WriteDeadline::new(stream, self.write_timeout));
        let mut connection = std::pin::pin!(self.http.serve_connection(io, service).with_upgrades());
        // Nobody kills without stopping: till then it is enough to look at one of the two each time that there is an event.
        let outcome = tokio::select! {
            biased;
            outcome = connection.as_mut() => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    outcome = connection.as_mut() => outcome,
                    () = self.kill.cancelled() => return,
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection ended early");
        }
    }
}
