//! Many threads.

use std::sync::Arc;

use core_events::{
    EndReason,
    ports::{
        Budget, EventLog, LookupError, MessageRouter, Start, StreamSource, SubscribeError, SubscribeRequest,
        Subscribed,
    },
};
use router::{Router, RouterOptions};
use tokio::sync::watch;

use super::{
    cast::{Cast, FILTERS, Kind, Lines, RUNS},
    model::{Model, Stream, place},
    world::Tally,
};

/// Publishers and readers, each a task of its own.
#[derive(Debug)]
pub struct Race {
    /// Seeds what the readers do.
    pub round: usize,
    /// Names of the runs.
    pub cast: Cast,
    /// Bounds of the router.
    pub router: RouterOptions,
    /// Runs that each of the [`RUNS`] publishers publishes, one after the other.
    pub runs_each: usize,
    /// Events of a run.
    pub events: usize,
    /// Readers while those are published.
    pub readers: usize,
}

impl Race {
    /// Runs it on `log`, and checks what every reader got.
    ///
    /// # Panics
    ///
    /// If something is not as it must be.
    pub async fn run(&self, log: &Arc<dyn EventLog>) -> Tally {
        let mut model = Model::behind(log.head());
        let router = Arc::new(Router::new(Arc::clone(log), self.router.clone()));
        let (begun, generation) = watch::channel(0);
        let mut readers = Vec::new();
        for seed in 0..self.readers * self.runs_each {
            let turn = seed / self.readers;
            let root = (seed % 4 != 3).then(|| self.cast.run(turn * RUNS + seed % RUNS));
            let sub = root.as_ref().filter(|_| seed % 5 == 4);
            let target = sub.map(|_| self.cast.sub(turn * RUNS + seed % RUNS, 0)).or_else(|| root.clone());
            let stream = Stream {
                epoch: log.epoch(),
                target,
                root,
                filter: self.cast.filter(seed % FILTERS),
                reset: None,
                start: 0,
                got: Vec::new(),
            };
            let (router, mut generation, seed) =
                (Arc::clone(&router), generation.clone(), self.round * 31 + seed);
            readers.push(tokio::spawn(async move {
                generation.wait_for(|begun| *begun >= turn).await.unwrap();
                follow(router, stream, seed).await
            }));
        }
        let begun = Arc::new(begun);
        let publishers: Vec<_> = (0..RUNS)
            .map(|publisher| {
                let (router, cast, begun) = (Arc::clone(&router), self.cast.clone(), Arc::clone(&begun));
                let (runs, events) = (self.runs_each, self.events);
                tokio::spawn(async move {
                    let mut records = Vec::new();
                    for turn in 0..runs {
                        begun.send_if_modified(|begun| std::mem::replace(begun, turn.max(*begun)) < turn);
                        records.extend(publish(&router, &cast, turn * RUNS + publisher, events).await);
                    }
                    records
                })
            })
            .collect();
        let mut records = Vec::new();
        for publisher in publishers {
            records.extend(publisher.await.unwrap());
        }
        records.sort_by_key(|record| record.offset);
        model.take(&records);
        router.close(EndReason::Shutdown);
        let mut tally = Tally { appended: records.len(), ..Tally::default() };
        for reader in readers {
            let streams = reader.await.unwrap();
            let last = streams.len().saturating_sub(1);
            for (at, stream) in streams.iter().enumerate() {
                model.check_prefix(stream);
                model.check_gaps(stream, streams.get(at + 1), &**log).await;
                if at == last && stream.ended() {
                    model.check_complete(stream, Some(model.head()));
                }
                tally += stream.tally();
            }
            tally.resumed += last;
        }
        model.check_states(&**log).await;
        tally
    }
}

/// One run, with a sub-run that ends before it.
async fn publish(router: &Router, cast: &Cast, run: usize, events: usize) -> Vec<Arc<core_events::Record>> {
    let sub_end = events * 5 / 6;
    let mut records = Vec::new();
    for at in 0..events {
        let sub = (at % 3 == 1 && at < sub_end).then_some(0);
        let kind = if at % 2 == 0 { Kind::Log } else { Kind::Node(1) };
        let facts = if at == sub_end {
            vec![cast.fact(run, None, Kind::Log), cast.fact(run, Some(0), Kind::End)]
        } else {
            vec![cast.fact(run, sub, kind)]
        };
        records.extend(router.publish(facts).await.unwrap().records);
        if at % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    records.extend(router.publish(vec![cast.fact(run, None, Kind::End)]).await.unwrap().records);
    records
}

/// Reads to the end with breaks; now and then drops its subscription and comes back with the last cursor that it was given.
async fn follow(router: Arc<Router>, mut stream: Stream, seed: usize) -> Vec<Stream> {
    let mut streams = Vec::new();
    let mut start = Start::Beginning;
    let mut state = seed;
    let mut chance = move |one_in: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).is_multiple_of(one_in)
    };
    loop {
        let request = SubscribeRequest {
            execution: stream.target.clone(),
            start: start.clone(),
            filter: stream.filter.clone(),
            encoder: Arc::new(Lines),
        };
        let mut subscription = match router.subscribe(request).await {
            Ok(Subscribed::Open(subscription)) => subscription,
            Ok(Subscribed::Finished) | Err(SubscribeError::Closed(_)) => return streams,
            Err(SubscribeError::Lookup(LookupError::Deleted(_))) => return streams,
            // It has not begun.
            Err(SubscribeError::Lookup(LookupError::Unknown(_))) => {
                tokio::task::yield_now().await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        stream.start = subscription.start().offset;
        loop {
            let budget = Budget { events: 1 + seed % 7, bytes: 4_096 };
            let delivery = std::future::poll_fn(|cx| subscription.poll_next(cx, budget)).await;
            let Some(cursor) = place(&delivery).cloned() else { continue };
            stream.got.push(delivery);
            if stream.ended() {
                streams.push(stream);
                return streams;
            }
            if chance(64) {
                start = Start::After(cursor);
                break;
            }
            if chance(8) {
                tokio::task::yield_now().await;
            }
        }
        streams.push(Stream { got: std::mem::take(&mut stream.got), ..stream.clone() });
    }
}
