//! What may be appended: the same as with the log in memory.

use core_events::{
    limits::MAX_EVENT_BYTES,
    ports::{AppendError, ListQuery, LookupError, ProducerBatch, Unstored},
};
use proptest::prelude::*;
use router::{MemoryLog, MemoryLogOptions};

use super::*;

fn batch(epoch: u64, seq: u64, facts: Vec<Fact>) -> Append {
    let batch = Some(ProducerBatch { producer: "p".into(), epoch, seq });
    Append { batch, unstored: Unstored::Refuse, facts }
}

async fn refused(log: &dyn EventLog, append: impl Into<Append>) -> AppendError {
    log.append(append.into()).await.unwrap_err()
}

async fn rules(log_: &dyn EventLog) {
    let put = async |facts: Vec<Fact>| log_.append(facts.into()).await.unwrap();
    put(vec![begin("a"), begin("a.x")]).await;
    put(vec![begin("b")]).await;
    let appended = put(vec![log("a.x", ""), log("a", "")]).await;
    let places: Vec<_> = appended.records.iter().map(|r| (r.offset, r.seq)).collect();
    assert_eq!((places, log_.head()), (vec![(4, 3), (5, 4)], 5));

    // As a whole or not at all.
    for (facts, error) in [
        (vec![], AppendError::Mixed),
        (vec![log("a", ""), log("b", "")], AppendError::Mixed),
        (vec![end("a.x"), log("a.x", "")], AppendError::Ended(id("a.x"))),
        (vec![end("a"), log("a.x", "")], AppendError::Ended(id("a"))),
        (vec![end("a"), end("a")], AppendError::Ended(id("a"))),
    ] {
        assert_eq!(refused(log_, facts).await, error);
    }
    let too_large = log("a", &"x".repeat(MAX_EVENT_BYTES));
    assert!(matches!(refused(log_, vec![log("a", ""), too_large]).await, AppendError::TooLarge(_)));
    let mut foreign = log("b", "");
    foreign.context.execution = id("a.x");
    assert_eq!(refused(log_, vec![foreign]).await, AppendError::Mixed);
    assert_eq!(log_.head(), 5);

    // Batches.
    log_.append(batch(3, 0, vec![log("b", "")])).await.unwrap();
    log_.append(batch(3, 1, vec![log("b", "")])).await.unwrap();
    for (epoch, seq, error) in [
        (3, 1, AppendError::Repeated { seq: 1 }),
        (3, 0, AppendError::Repeated { seq: 0 }),
        (3, 3, AppendError::OutOfOrder { expected: 2, got: 3 }),
        (4, 1, AppendError::OutOfOrder { expected: 0, got: 1 }),
        (2, 9, AppendError::Fenced { current: 3 }),
    ] {
        assert_eq!(refused(log_, batch(epoch, seq, vec![log("b", "")])).await, error);
    }
    log_.append(batch(4, 0, vec![end("b")])).await.unwrap();

    // Nothing follows an end, and a batch that came through did so once.
    assert_eq!(refused(log_, batch(4, 0, vec![end("b")])).await, AppendError::Repeated { seq: 0 });
    assert_eq!(refused(log_, batch(4, 1, vec![log("b", "")])).await, AppendError::Ended(id("b")));
    assert_eq!(refused(log_, vec![begin("b.y")]).await, AppendError::Ended(id("b")));
    put(vec![end("a.x")]).await;
    assert_eq!(refused(log_, vec![log("a.x", "")]).await, AppendError::Ended(id("a.x")));
    put(vec![log("a", ""), end("a")]).await;
    assert_eq!(refused(log_, vec![begin("a.y")]).await, AppendError::Ended(id("a")));
    let mut foreign = begin("c");
    foreign.context.execution = id("a.x");
    assert_eq!(refused(log_, vec![foreign]).await, AppendError::Mixed);
    assert_eq!(log_.find(&id("a.x")).await.unwrap().ended, Some(9));
    assert_eq!(log_.find(&id("a")).await.unwrap().ended, Some(11));
    log_.remove(&id("b")).await.unwrap();
    assert_eq!(refused(log_, vec![log("b", "")]).await, AppendError::Ended(id("b")));
    assert_eq!(log_.find(&id("b")).await, Err(LookupError::Deleted(id("b"))));
    assert_eq!(log_.find(&id("z")).await, Err(LookupError::Unknown(id("z"))));
}

#[tokio::test]
async fn both_logs_keep_the_same_rules() {
    rules(&MemoryLog::default()).await;
    let dir = tempfile::tempdir().unwrap();
    rules(&*open(dir.path())).await;
}

#[tokio::test]
async fn ends_and_batches_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let log_ = open(dir.path());
    log_.append(batch(1, 0, vec![begin("a"), begin("a.x"), end("a.x")])).await.unwrap();
    log_.append(batch(1, 0, vec![begin("b"), end("b")])).await.unwrap();
    kill(log_);
    let log_ = open(dir.path());
    for run in ["a", "b"] {
        let repeated = refused(&*log_, batch(1, 0, vec![begin(run)])).await;
        assert_eq!(repeated, AppendError::Repeated { seq: 0 });
    }
    assert_eq!(refused(&*log_, batch(1, 1, vec![log("b", "")])).await, AppendError::Ended(id("b")));
    assert_eq!(refused(&*log_, vec![log("a.x", "")]).await, AppendError::Ended(id("a.x")));
    log_.append(batch(1, 1, vec![log("a", "")])).await.unwrap();
    assert_eq!(places(&log_, Scope::Run(id("a"))).await, [(1, 1), (2, 2), (3, 3), (6, 4)]);
}

#[derive(Debug, Clone)]
enum Step {
    Append { facts: Vec<(u8, u8, u8)>, batch: Option<(u64, u64)> },
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let facts = prop::collection::vec((0..3_u8, 0..3_u8, 0..8_u8), 0..4);
    let batch = prop::option::of((0..2_u64, 0..3_u64));
    prop_oneof![
        12 => (facts, batch).prop_map(|(facts, batch)| Step::Append { facts, batch }),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

fn facts(drawn: &[(u8, u8, u8)]) -> Vec<Fact> {
    // Mostly of one run, since others are refused.
    let first = drawn.first().map_or(0, |drawn| drawn.0);
    let fact = |&(run, child, what): &(u8, u8, u8)| {
        let run = char::from(b'a' + if what == 7 { run } else { first });
        let execution = if child == 0 { run.to_string() } else { format!("{run}.{child}") };
        match what {
            0 => end(&execution),
            1..3 => begin(&execution),
            _ => log(&execution, "line"),
        }
    };
    drawn.iter().map(fact).collect()
}

async fn compare(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let model = MemoryLog::new(MemoryLogOptions::default());
    let mut log_ = open(dir.path());
    let epoch = log_.epoch();
    for step in steps {
        match step {
            Step::Append { facts: drawn, batch } => {
                let batch = batch.map(|(epoch, seq)| ProducerBatch { producer: "p".into(), epoch, seq });
                let append = Append { facts: facts(&drawn), batch, unstored: Unstored::Deliver };
                let expected = model.append(append.clone()).await.map(|appended| appended.records);
                let got = log_.append(append).await.map(|appended| appended.records);
                assert_eq!(got, expected);
            }
            Step::Kill => {
                kill(log_);
                log_ = open(dir.path());
            }
            Step::Close => {
                log_.close();
                log_ = open(dir.path());
            }
        }
        assert_eq!((log_.head(), log_.epoch()), (model.head(), epoch.clone()));
    }
    for name in ["a", "a.1", "a.2", "b", "b.1", "b.2", "c", "c.1", "c.2"].map(id) {
        // A root is known here as soon as any part of it is.
        if model.find(&name).await.is_ok() {
            assert_eq!(log_.find(&name).await, model.find(&name).await);
            let (state, cursor) = log_.state(&name).await.unwrap();
            assert_eq!((state, cursor.offset), (model.state(&name).await.unwrap().0, model.head()));
        }
        let scope = Scope::Run(name);
        let range = ReadRange {
            scope: scope.clone(),
            after: 0,
            up_to: 1_000,
            max_records: 1_000,
            max_bytes: usize::MAX,
        };
        assert_eq!(read(&log_, scope).await, model.read(range).await.unwrap().records);
    }
    let query = ListQuery { limit: 10, ..ListQuery::default() };
    let all = log_.list(&query).await.unwrap();
    for run in model.list(&query).await.unwrap() {
        assert!(all.contains(&run), "{run:?} in {all:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever is appended, and however often the process dies in between.
    #[test]
    fn it_answers_as_the_log_in_memory(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(steps));
    }
}
