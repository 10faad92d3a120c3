use core_events::{Fact, Record};
use proptest::prelude::*;

use super::*;
use crate::{
    remove,
    stats::Counters,
    testing::{Store, begin, end, id, log},
};

type Gone = Option<(u64, u64)>;

fn read_all(store: &Store, scope: Scope, after: Offset, up_to: Offset, max_records: usize) -> ReadBatch {
    let range = ReadRange { scope, after, up_to: up_to.min(store.head), max_records, max_bytes: usize::MAX };
    read(&store.connection, &range).unwrap()
}

/// The offsets that are gone, those that are there, and how far it looked.
fn look(store: &Store, scope: Scope, after: Offset, up_to: Offset) -> (Gone, Vec<u64>, u64) {
    let batch = read_all(store, scope, after, up_to, 100);
    let pruned = batch.pruned.map(|pruned| (*pruned.offsets.start(), *pruned.offsets.end()));
    (pruned, batch.records.iter().map(|record| record.offset).collect(), batch.scanned_to)
}

fn run(text: &str) -> Scope {
    Scope::Run(id(text))
}

fn remove_run(store: &mut Store, root: &str) {
    let (head, counters) = (store.head, Counters::default());
    remove::run(&mut store.connection, &id(root), head, &counters).unwrap().unwrap();
}

#[test]
fn records_come_back_as_they_were() {
    let mut store = Store::new();
    let mut written = store.append([begin("a"), begin("a.x"), log("a.x", "hello"), begin("b")]);
    written.extend(store.append([end("a.x"), end("a")]));
    let batch = read_all(&store, Scope::All, 0, 99, 100);
    assert_eq!((&batch.records, batch.scanned_to, batch.pruned), (&written, 6, None));
    let of_a = read_all(&store, run("a"), 0, 99, 100);
    assert_eq!(of_a.records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(of_a.records.iter().all(|record| record.root == id("a")));
}

#[test]
fn bounds_are_kept_and_one_record_comes_in_any_case() {
    let mut store = Store::new();
    store.append((0..10).map(|n| log(if n % 2 == 0 { "a" } else { "b" }, &"x".repeat(1_000))));
    let range =
        |max_records, max_bytes| ReadRange { scope: run("b"), after: 3, up_to: 9, max_records, max_bytes };
    let offsets = |range| {
        let batch = read(&store.connection, &range).unwrap();
        (batch.records.iter().map(|record| record.offset).collect::<Vec<_>>(), batch.scanned_to)
    };
    assert_eq!(offsets(range(100, usize::MAX)), (vec![4, 6, 8], 9));
    assert_eq!(offsets(range(2, usize::MAX)), (vec![4, 6], 6));
    assert_eq!(offsets(range(0, 0)), (vec![4], 4));
    assert_eq!(offsets(range(100, 1_500)), (vec![4, 6], 6));
    assert_eq!(look(&store, run("b"), 10, 99), (None, vec![], 10), "there is nothing to look at");
    assert_eq!(look(&store, run("nobody"), 0, 99), (None, vec![], 10));
}

#[test]
fn a_removed_run_is_one_gap_to_its_readers_and_holes_to_those_of_all() {
    let mut store = Store::new();
    store.append([begin("a"), begin("b"), begin("b.x"), log("a", ""), end("b"), log("a", ""), begin("c")]);
    remove_run(&mut store, "b");
    assert_eq!(look(&store, run("b"), 0, 99), (Some((2, 5)), vec![], 7));
    assert_eq!(look(&store, run("b"), 3, 4), (Some((4, 4)), vec![], 4));
    assert_eq!(look(&store, run("b"), 5, 99), (None, vec![], 7));
    assert_eq!(look(&store, run("a"), 0, 99), (None, vec![1, 4, 6], 7));
    let of_all = |store: &Store| {
        assert_eq!(look(store, Scope::All, 0, 99), (None, vec![1], 1));
        assert_eq!(look(store, Scope::All, 1, 99), (Some((2, 3)), vec![4], 4));
        assert_eq!(look(store, Scope::All, 4, 99), (Some((5, 5)), vec![6, 7], 7));
        assert_eq!(look(store, Scope::All, 1, 2), (Some((2, 2)), vec![], 2));
    };
    of_all(&store);
    // It makes no difference how much of it is still in the file.
    while remove::purge(&mut store.connection, 1).unwrap().is_some() {
        of_all(&store);
    }
    assert_eq!(store.count("events"), 4);
}

#[test]
fn a_long_removed_run_is_passed_over_in_parts() {
    let mut store = Store::new();
    let length = SKIPPED as u64 + 10;
    store.append((0..length - 1).map(|_| log("a", "")).chain([end("a"), begin("b")]));
    remove_run(&mut store, "a");
    assert_eq!(look(&store, Scope::All, 0, u64::MAX), (Some((1, length - 10)), vec![], length - 10));
    assert_eq!(
        look(&store, Scope::All, length - 10, u64::MAX),
        (Some((length - 9, length)), vec![length + 1], length + 1)
    );
}

#[test]
fn what_was_given_up_is_a_hole_within_a_run() {
    let mut store = Store::new();
    store.append((0..12).map(|n| log(if n % 2 == 0 { "a" } else { "b" }, "")));
    // a has 1, 3, 5, 7, 9, 11.
    for lost in [1, 5, 7, 11] {
        store.lose(lost);
    }
    assert_eq!(look(&store, run("a"), 0, 99), (Some((1, 2)), vec![3], 3));
    assert_eq!(look(&store, run("a"), 3, 99), (Some((4, 8)), vec![9], 9));
    assert_eq!(look(&store, run("a"), 4, 6), (Some((5, 6)), vec![], 6));
    assert_eq!(look(&store, run("a"), 9, 99), (Some((10, 11)), vec![], 12));
    assert_eq!(look(&store, run("a"), 9, 10), (Some((10, 10)), vec![], 10));
    assert_eq!(look(&store, run("b"), 0, 99), (None, vec![2, 4, 6, 8, 10, 12], 12));
    assert_eq!(look(&store, Scope::All, 0, 99), (Some((1, 1)), vec![2, 3, 4], 4));
}

/// What happens to a store.
#[derive(Debug, Clone)]
enum Act {
    /// A fact of a run, of its sub-run, or its end.
    Append(u8, u8),
    Remove(u8),
    Purge(u32),
    Lose(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0..6_u8, 0..8_u8).prop_map(|(run, what)| Act::Append(run, what)),
        2 => (0..6_u8).prop_map(Act::Remove),
        1 => (1..5_u32).prop_map(Act::Purge),
        1 => (1..60_u64).prop_map(Act::Lose),
    ]
}

/// The same without a store: all records, and what became of them.
#[derive(Debug, Default)]
struct Model {
    records: Vec<std::sync::Arc<Record>>,
    over: Vec<ExecutionId>,
    removed: Vec<ExecutionId>,
    lost: Vec<Offset>,
}

impl Model {
    fn gone(&self, record: &Record) -> bool {
        self.removed.contains(&record.root) || self.lost.contains(&record.offset)
    }

    fn fact(&self, run: u8, what: u8) -> Option<Fact> {
        let root = format!("r{run}");
        let open = !self.over.contains(&id(&root)) && !self.removed.contains(&id(&root));
        open.then(|| match what {
            0 => end(&root),
            1 | 2 => log(&format!("{root}.x"), "sub"),
            _ => log(&root, "line"),
        })
    }
}

/// Reads `scope` from `after` to `up_to` in batches; the positions that were told as gone, and those that were delivered.
fn through(
    store: &Store,
    scope: &Scope,
    (after, up_to): (Offset, Offset),
    max_records: usize,
) -> Result<(Vec<u64>, Vec<u64>), TestCaseError> {
    let (mut at, mut gone, mut there) = (after, Vec::new(), Vec::new());
    let up_to = up_to.min(store.head);
    while at < up_to {
        let batch = read_all(store, scope.clone(), at, up_to, max_records);
        prop_assert!(batch.scanned_to > at && batch.scanned_to <= up_to);
        let mut last = at;
        if let Some(Pruned { offsets }) = batch.pruned {
            prop_assert!(*offsets.start() > last && *offsets.end() <= batch.scanned_to);
            last = *offsets.end();
            gone.extend(offsets);
        }
        for record in &batch.records {
            prop_assert!(record.offset > last && record.offset <= batch.scanned_to);
            last = record.offset;
            there.push(record.offset);
        }
        at = batch.scanned_to;
    }
    Ok((gone, there))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is read, in batches of any size: every record that is there once, in order; every one that is not, in a gap; and no gap
    /// over one that is there.
    #[test]
    fn every_record_is_delivered_or_told_as_gone(
        acts in prop::collection::vec(act(), 1..80),
        spans in prop::collection::vec((0..70_u64, 0..70_u64, 1..6_usize), 6),
    ) {
        let (mut store, mut model) = (Store::new(), Model::default());
        for act in acts {
            match act {
                Act::Append(run, what) => {
                    let Some(fact) = model.fact(run, what) else { continue };
                    let root = fact.context.root.clone();
                    model.records.extend(store.append([fact]));
                    if what == 0 {
                        model.over.push(root);
                    }
                }
                Act::Remove(run) => {
                    let root = id(&format!("r{run}"));
                    if model.over.contains(&root) && !model.removed.contains(&root) {
                        remove_run(&mut store, root.as_str());
                        model.removed.push(root);
                    }
                }
                Act::Purge(limit) => {
                    remove::purge(&mut store.connection, limit).unwrap();
                }
                Act::Lose(offset) => {
                    // A terminal event is never given up.
                    if model.records.iter().any(|r| r.offset == offset && r.terminal.is_none()) {
                        store.lose(offset);
                        model.lost.push(offset);
                    }
                }
            }
        }
        let scopes = (0..6).map(|run| Scope::Run(id(&format!("r{run}")))).chain([Scope::All]);
        for scope in scopes {
            for (after, up_to, max_records) in &spans {
                let (gone, there) = through(&store, &scope, (*after, *up_to), *max_records)?;
                let wanted = model.records.iter().filter(|r| {
                    let of_scope = match &scope {
                        Scope::All => true,
                        Scope::Run(root) => r.root == *root,
                    };
                    of_scope && r.offset > *after && r.offset <= *up_to
                });
                let (lost, kept): (Vec<_>, Vec<_>) = wanted.partition(|record| model.gone(record));
                let kept: Vec<_> = kept.iter().map(|record| record.offset).collect();
                prop_assert_eq!(&there, &kept, "{:?} {} {}", scope, after, up_to);
                for record in lost {
                    prop_assert!(gone.contains(&record.offset), "{:?}: {} is not told", scope, record.offset);
                }
                prop_assert!(!kept.iter().any(|offset| gone.contains(offset)), "{:?}: a gap over a record", scope);
                if scope == Scope::All {
                    prop_assert!(gone.iter().all(|o| model.records.iter().any(|r| r.offset == *o && model.gone(r))));
                }
            }
        }
    }
}
