//! The window of a stream: how many events its transport holds (I4).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

/// Events that a body may have handed to its transport and that are not yet written to the socket.
pub const WINDOW_EVENTS: usize = 100;

/// Counts the events whose bytes are still alive.
///
/// The transport drops bytes when it has written them: that is what ends their stay, and nobody has to report it.
#[derive(Debug, Default)]
pub(crate) struct Window(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    outstanding: AtomicUsize,
    /// The body's task, while it waits for room; woken by whoever makes some.
    waiting: AtomicWaker,
}

/// The events of one block; gives their room back.
#[derive(Debug)]
struct Stay {
    events: usize,
    window: Arc<Shared>,
}

/// The end of a block: a transport writes in order, so that all before it is written, too, when it is gone.
struct Guarded {
    bytes: Bytes,
    _stay: Stay,
}

// === impl Window ===

impl Window {
    /// How many more events may be handed out; pending when there is no room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(room) = self.room() {
            return Poll::Ready(room);
        }
        self.0.waiting.register(cx.waker());
        // Again, since a stay that ended before the registration woke nobody.
        self.room().map_or(Poll::Pending, Poll::Ready)
    }

    /// The same bytes, whose `events` count as outstanding until the last slice is dropped.
    pub(crate) fn admit(
        &self,
        slices: impl IntoIterator<Item = Bytes>,
        events: usize,
    ) -> impl Iterator<Item = Bytes> {
        self.0.outstanding.fetch_add(events, Ordering::AcqRel);
        let mut stay = Some(Stay { events, window: Arc::clone(&self.0) });
        let mut slices = slices.into_iter().peekable();
        std::iter::from_fn(move || {
            let bytes = slices.next()?;
            let stay = if slices.peek().is_none() { stay.take() } else { None };
            Some(match stay {
                Some(stay) => Bytes::from_owner(Guarded { bytes, _stay: stay }),
                None => bytes,
            })
        })
    }

    fn room(&self) -> Option<usize> {
        WINDOW_EVENTS.checked_sub(self.0.outstanding.load(Ordering::Acquire)).filter(|room| *room > 0)
    }
}

// === impl Stay, Guarded ===

impl Drop for Stay {
    fn drop(&mut self) {
        self.window.outstanding.fetch_sub(self.events, Ordering::AcqRel);
        self.window.waiting.wake();
    }
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::atomic::AtomicUsize};

    use futures_util::task::{ArcWake, waker};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl ArcWake for Count {
        fn wake_by_ref(count: &Arc<Self>) {
            count.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    const X: Bytes = Bytes::from_static(b"x");

    #[test]
    fn room_returns_with_the_last_slice_and_wakes_who_waits() {
        let window = Window::default();
        let count = Arc::new(Count::default());
        let waker = waker(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        assert_eq!(window.poll_room(&mut cx), Poll::Ready(100));
        let mut first: VecDeque<Bytes> = window.admit([X, X], 60).collect();
        let second: Vec<Bytes> = window.admit([X], 40).collect();
        assert!(window.poll_room(&mut cx).is_pending());
        drop(first.pop_front());
        assert!(window.poll_room(&mut cx).is_pending(), "a block stays until its last slice is gone");
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        drop(first);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(window.poll_room(&mut cx), Poll::Ready(60));
        drop(second);
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "nobody waits, nobody is woken");
    }
}
