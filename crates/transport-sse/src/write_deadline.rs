//! A connection that gives up on a client that takes nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// How long a write may wait for the client.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// Passes everything on; a write, flush or shutdown that stays pending for longer than the deadline fails with
/// [`TimedOut`](io::ErrorKind::TimedOut).
///
/// # Closing
///
/// The error makes the HTTP connection end, which drops the response's body and with it the subscription. The client
/// comes back with its last id and goes on from the log (I4).
#[derive(Debug)]
pub struct WriteDeadline<T> {
    io: T,
    deadline: Duration,
    /// Runs while a write is pending. Kept afterwards, so that a slow connection does not allocate one per write.
    timer: Option<Pin<Box<Sleep>>>,
    pending: bool,
}

// === impl WriteDeadline ===

impl<T> WriteDeadline<T> {
    /// Wraps `io`.
    #[must_use]
    pub fn new(io: T, deadline: Duration) -> Self {
        Self { io, deadline, timer: None, pending: false }
    }

    fn guard<R>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.pending = false;
            return outcome;
        }
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
        if !self.pending {
            self.pending = true;
            timer.as_mut().reset(tokio::time::Instant::now() + deadline);
        }
        timer.as_mut().poll(cx).map(|()| {
            let text = format!("the client took nothing for {} s", deadline.as_secs_f64());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteDeadline<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.guard(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.guard(cx, outcome)
    }

    /// As the wrapped one's: where it is vectored, bytes stay with their owner until they are written, which is what the
    /// window counts.
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.guard(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.guard(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_fails_at_the_deadline() {
        let (near, _far) = duplex(4);
        let mut near = WriteDeadline::new(near, WRITE_DEADLINE);
        let begin = tokio::time::Instant::now();
        let error = near.write_all(b"12345").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "the client took nothing for 60 s");
        assert_eq!(begin.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_forward_begins_anew() {
        let (near, mut far) = duplex(1);
        let mut near = WriteDeadline::new(near, WRITE_DEADLINE);
        let reader = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(59)).await;
                assert_eq!(far.read_u8().await.unwrap(), b'x');
            }
            far
        };
        let begin = tokio::time::Instant::now();
        let (written, _far) = tokio::join!(near.write_all(b"xxxx"), reader);
        written.unwrap();
        assert_eq!(begin.elapsed().as_secs(), 3 * 59);
        // The time between two writes counts for none of them.
        tokio::time::sleep(Duration::from_secs(600)).await;
        let begin = tokio::time::Instant::now();
        assert!(near.write_all(b"y").await.is_err());
        assert_eq!(begin.elapsed().as_secs(), 60);
    }
}
