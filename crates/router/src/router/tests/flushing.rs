//! When readers are woken: at once when all is quiet, together under load.

use std::time::Duration;

use super::*;

/// Lets the router's task do what is due.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

struct Crowd {
    readers: Vec<(Box<dyn Subscription>, Arc<Woken>)>,
}

impl Crowd {
    async fn new(router: &Router, readers: usize) -> Self {
        let mut crowd = Self { readers: Vec::new() };
        for _ in 0..readers {
            let reader = open(router, request(Some("a"), Start::Now)).await;
            crowd.readers.push((reader, Arc::default()));
        }
        crowd.take();
        crowd
    }

    /// Each takes all there is, and waits. Returns what the first one got.
    fn take(&mut self) -> usize {
        let mut events = Vec::new();
        for (reader, woken) in &mut self.readers {
            let waker = Waker::from(Arc::clone(woken));
            let mut got = 0;
            while let Some(delivery) = poll(&mut **reader, &waker, ALL) {
                let Delivery::Block(block) = delivery else { panic!("{delivery:?}") };
                got += block.events;
            }
            events.push(got);
        }
        assert!(events.iter().all(|got| *got == events[0]));
        events[0]
    }

    /// How often each was woken: all as often.
    fn woken(&self) -> usize {
        let woken: BTreeSet<_> = self.readers.iter().map(|(_, woken)| woken.count()).collect();
        assert_eq!(woken.len(), 1, "{woken:?}");
        *woken.first().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_woken_at_once_when_quiet_and_together_under_load() {
    let router = plain();
    publish(&router, vec![begin("a")]).await;
    let mut crowd = Crowd::new(&router, 250).await;
    publish(&router, vec![log("a", "")]).await;
    settle().await;
    assert_eq!((crowd.woken(), crowd.take()), (1, 1), "nothing is added when quiet");
    for _ in 0..4 {
        publish(&router, vec![log("a", "")]).await;
        tokio::time::advance(Duration::from_millis(1)).await;
        settle().await;
        assert_eq!(crowd.woken(), 1);
    }
    tokio::time::advance(Duration::from_millis(1)).await;
    settle().await;
    assert_eq!((crowd.woken(), crowd.take()), (2, 4), "250 readers: 5 ms after the last time");
    tokio::time::advance(Duration::from_millis(6)).await;
    publish(&router, vec![log("a", "")]).await;
    settle().await;
    assert_eq!((crowd.woken(), crowd.take()), (3, 1), "quiet again");
    publish(&router, vec![log("a", ""), end("a")]).await;
    settle().await;
    assert_eq!(crowd.woken(), 4, "an end waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_few_readers_never_wait() {
    let router = plain();
    publish(&router, vec![begin("a")]).await;
    let mut crowd = Crowd::new(&router, 10).await;
    for at in 1..20 {
        publish(&router, vec![log("a", "")]).await;
        assert_eq!((crowd.woken(), crowd.take()), (at, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_router_leaves_nobody_asleep() {
    let log_ = Arc::new(MemoryLog::default());
    let router = Router::new(Arc::clone(&log_) as Arc<dyn EventLog>, RouterOptions::default());
    publish(&router, vec![begin("a")]).await;
    let mut crowd = Crowd::new(&router, 250).await;
    publish(&router, vec![log("a", "")]).await;
    settle().await;
    assert_eq!(crowd.take(), 1);
    publish(&router, vec![log("a", "")]).await;
    drop(router);
    assert_eq!((crowd.woken(), crowd.take()), (2, 1), "what was planned is done");
    log_.append(vec![log("a", "")].into()).await.unwrap();
    assert_eq!((crowd.woken(), crowd.take()), (3, 1), "and nothing is planned any more");
}

/// The store commits in a thread of its own.
#[tokio::test(start_paused = true)]
async fn a_commit_from_outside_of_the_runtime_wakes() {
    let log_ = Arc::new(MemoryLog::default());
    let router = Router::new(Arc::clone(&log_) as Arc<dyn EventLog>, RouterOptions::default());
    publish(&router, vec![begin("a")]).await;
    let mut crowd = Crowd::new(&router, 250).await;
    for (woken, wait) in [(1, 0), (2, 5)] {
        let log_ = Arc::clone(&log_);
        let append = move || {
            use futures_util::FutureExt;
            log_.append(vec![log("a", "")].into()).now_or_never().unwrap().unwrap();
        };
        std::thread::spawn(append).join().unwrap();
        tokio::time::advance(Duration::from_millis(wait)).await;
        settle().await;
        assert_eq!((crowd.woken(), crowd.take()), (woken, 1));
    }
}
