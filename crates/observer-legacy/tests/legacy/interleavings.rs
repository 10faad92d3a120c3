//! Whatever clients and the run do in whatever order, nobody misses a message without being told (I4, I5).

use core_events::{
    Cursor, EndReason,
    ports::{Budget, Delivery, Start, Subscription},
};
use observer_legacy::{MonitoringStreamObserver, QUEUE_MESSAGES};
use proptest::prelude::*;

use crate::{
    calls::{RUN, begin, end, log},
    reader::{PLENTY, lines, next, open, ready},
};

#[derive(Debug, Clone)]
enum Step {
    Publish(u64),
    Open { now: bool },
    Poll { client: usize, events: usize, times: usize },
    Resume { client: usize },
    Leave { client: usize },
}

struct Client {
    stream: Box<dyn Subscription>,
    /// The last message that it got or was told to be missing. The run's first message is number 1.
    at: u64,
    /// How many messages it was behind, at most.
    behind: u64,
    slow: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..8_usize;
    prop_oneof![
        3 => (1..400_u64).prop_map(Step::Publish),
        2 => any::<bool>().prop_map(|now| Step::Open { now }),
        4 => (client.clone(), 1..150_usize, 1..6_usize)
            .prop_map(|(client, events, times)| Step::Poll { client, events, times }),
        1 => client.clone().prop_map(|client| Step::Resume { client }),
        1 => client.prop_map(|client| Step::Leave { client }),
    ]
}

/// The number that the test gave the message; the run's first and last ones have none.
fn number(message: &str, expected: u64) -> u64 {
    message.split('#').nth(1).map_or(expected, |text| text.parse().unwrap())
}

impl Client {
    async fn open(observer: &MonitoringStreamObserver, start: Start) -> Self {
        let stream = open(observer, RUN, start).await;
        let at = stream.start().offset;
        Self { stream, at, behind: 0, slow: false }
    }

    fn cursor(&self) -> Cursor {
        self.stream.start().epoch.at(self.at)
    }

    /// Whether that was the end.
    fn take(&mut self, delivery: &Delivery, published: u64) -> bool {
        match delivery {
            Delivery::Gap(gap) => {
                assert_eq!((gap.from.offset, gap.reset), (self.at, false));
                assert!(gap.to.offset > self.at);
                self.at = gap.to.offset;
            }
            Delivery::End(over) => {
                assert_eq!(over.cursor.offset, self.at);
                self.slow = over.reason == EndReason::Slow;
                return true;
            }
            delivery => {
                let Delivery::Block(block) = delivery else { panic!("{delivery:?}") };
                for message in lines(delivery) {
                    assert_eq!(number(&message, self.at + 1), self.at + 1);
                    self.at += 1;
                }
                assert_eq!(block.last.offset, self.at);
            }
        }
        assert!(self.at <= published);
        false
    }
}

async fn play(steps: Vec<Step>) {
    let observer = MonitoringStreamObserver::new();
    begin(&observer, RUN).await;
    let mut published = 1;
    let mut clients: Vec<Client> = Vec::new();
    for step in steps {
        let of = |client: usize| (!clients.is_empty()).then(|| client % clients.len());
        match step {
            Step::Publish(count) => {
                for _ in 0..count {
                    published += 1;
                    log(&observer, RUN, &format!("#{published}#")).await;
                }
                for client in &mut clients {
                    client.behind = client.behind.max(published - client.at);
                }
            }
            Step::Open { now } => {
                let start = if now { Start::Now } else { Start::Beginning };
                clients.push(Client::open(&observer, start).await);
            }
            Step::Poll { client, events, times } => {
                let Some(index) = of(client) else { continue };
                for _ in 0..times {
                    let client = &mut clients[index];
                    let Some(delivery) = ready(&mut *client.stream, Budget { events, ..PLENTY }) else {
                        break;
                    };
                    let before = client.at;
                    if client.take(&delivery, published) {
                        assert!(client.slow, "nobody else is ended before the run");
                        break;
                    }
                    assert!(matches!(delivery, Delivery::Gap(_)) || client.at - before <= events as u64);
                }
            }
            Step::Resume { client } => {
                if let Some(index) = of(client) {
                    let start = Start::After(clients[index].cursor());
                    clients[index] = Client::open(&observer, start).await;
                }
            }
            Step::Leave { client } => {
                if let Some(index) = of(client) {
                    drop(clients.swap_remove(index));
                }
            }
        }
    }
    end(&observer, RUN).await;
    published += 1;
    for client in &mut clients {
        while !client.slow {
            let delivery = next(&mut *client.stream).await;
            if client.take(&delivery, published) {
                break;
            }
        }
        if client.slow {
            assert!(client.behind > QUEUE_MESSAGES as u64, "its queue was full");
        } else {
            assert_eq!(client.at, published);
        }
    }
    drop(clients);
    assert_eq!(observer.clients(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn i5_what_a_client_gets_has_no_hole_that_it_is_not_told_of(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(steps));
    }
}
