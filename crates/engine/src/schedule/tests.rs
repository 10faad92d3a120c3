use std::collections::BTreeSet;

use diagram::{CodeJobNode, ConditionNode, EdgeDraft, Language, NodeDraft, StartNode};
use proptest::prelude::*;

use super::{reference::Reference, *};

/// A graph as numbers: the kind of each node, and edges between them.
#[derive(Debug, Clone)]
struct Plan {
    /// Start, condition, or other.
    kinds: Vec<u8>,
    edges: Vec<(usize, usize, bool)>,
    /// Which ready or running node goes next, and what a condition decides.
    choices: Vec<(usize, bool)>,
}

fn plans() -> impl Strategy<Value = Plan> {
    (2..9_usize).prop_flat_map(|count| {
        let kinds = prop::collection::vec(0..6_u8, count);
        let edges = prop::collection::vec((0..count, 0..count, any::<bool>()), 1..2 * count + 2);
        let choices = prop::collection::vec((0..64_usize, any::<bool>()), 60);
        (kinds, edges, choices).prop_map(|(kinds, edges, choices)| Plan { kinds, edges, choices })
    })
}

fn build(plan: &Plan) -> Option<Arc<ExecutableDiagram>> {
    let mut builder = ExecutableDiagram::builder();
    let nodes: Vec<NodeIndex> = plan
        .kinds
        .iter()
        .enumerate()
        .map(|(i, kind)| {
            let kind = match kind {
                0 => NodeKind::Start(StartNode::default()),
                1..3 => NodeKind::Condition(ConditionNode::custom("True")),
                _ => NodeKind::CodeJob(CodeJobNode::inline(Language::Python, "pass")),
            };
            builder.node(NodeDraft::new(format!("N{i}"), kind))
        })
        .collect();
    for &(from, to, yes) in &plan.edges {
        if plan.kinds[to] == 0 {
            continue;
        }
        let handle = if matches!(plan.kinds[from], 1..3) { branch(yes) } else { Handle::Default };
        builder.edge(EdgeDraft::new(nodes[from], nodes[to]).leaving_by(handle));
    }
    builder.build().ok().map(Arc::new)
}

/// What the schedule would start, in any order, if it started all.
fn ready(schedule: &mut Schedule) -> BTreeSet<NodeIndex> {
    let queued: Vec<NodeIndex> = schedule.ready.iter().copied().collect();
    queued
        .into_iter()
        .filter(|&node| schedule.nodes[node].pending_entry || schedule.witness(node).is_none())
        .collect()
}

/// Puts `node` first in the queue, as another number of parallel nodes might have.
fn start(schedule: &mut Schedule, node: NodeIndex) -> Started {
    schedule.ready.retain(|&other| other != node);
    schedule.ready.push_front(node);
    schedule.start_next().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// At every step of every run: the same nodes are ready, the same are skipped, and the same dead-locks are found.
    #[test]
    fn keeps_to_the_definition(plan in plans()) {
        let Some(diagram) = build(&plan) else { return Ok(()) };
        let mut schedule = Schedule::new(Arc::clone(&diagram), 1_000);
        let mut reference = Reference::new(&diagram);
        let mut running: Vec<NodeIndex> = Vec::new();
        let mut skipped = BTreeSet::new();
        let value = Arc::new(Value::Null);
        for &(choice, decision) in &plan.choices {
            skipped.extend(schedule.take_skipped());
            prop_assert_eq!(&skipped, &reference.skipped);
            let ready = ready(&mut schedule);
            prop_assert_eq!(&ready, &reference.ready());
            let choices = ready.len() + running.len();
            if choices == 0 {
                let blocked: Vec<NodeIndex> = schedule.blocked().iter().map(|blocked| blocked.node).collect();
                prop_assert_eq!(blocked, reference.waiting());
                prop_assert!(schedule.start_next().is_none());
                return Ok(());
            }
            let choice = choice % choices;
            if let Some(&node) = ready.iter().nth(choice) {
                let consumed = diagram.incoming(node).iter().filter(|&&edge| !schedule.waiting[edge].is_empty()).count();
                let started = start(&mut schedule, node);
                prop_assert_eq!(started.node, node);
                prop_assert_eq!(started.values.len(), consumed);
                reference.start(node);
                running.push(node);
            } else {
                let node = running.swap_remove(choice - ready.len());
                let is_condition = branches(&diagram.node(node).unwrap().kind);
                let exit = if is_condition { Exit::Branch(decision) } else { Exit::Default };
                prop_assert!(schedule.end(node, exit, &value).is_ok());
                reference.end(node, exit);
            }
        }
    }
}

fn chain(length: usize, back: bool) -> Arc<ExecutableDiagram> {
    let mut builder = ExecutableDiagram::builder();
    let start = builder.node(NodeDraft::new("Start", NodeKind::Start(StartNode::default())));
    let mut last = start;
    let mut first = None;
    for i in 0..length {
        let kind = NodeKind::Condition(ConditionNode::custom("True"));
        let node = builder.node(NodeDraft::new(format!("C{i}"), kind));
        let handle = if last == start { Handle::Default } else { Handle::CondTrue };
        builder.edge(EdgeDraft::new(last, node).leaving_by(handle));
        first.get_or_insert(node);
        last = node;
    }
    if let (true, Some(first)) = (back, first) {
        builder.edge(EdgeDraft::new(last, first).leaving_by(Handle::CondTrue));
    }
    Arc::new(builder.build().unwrap())
}

/// A chain of any length needs neither stack nor patience: this would take minutes if a step cost its length.
#[test]
fn long_chains_and_loops_cost_a_step_per_node() {
    let length = 200_000;
    for back in [false, true] {
        let mut schedule = Schedule::new(chain(length, back), 1_000);
        let value = Arc::new(Value::Null);
        let mut steps = 0;
        while steps < 2 * length {
            let Some(Started { node, .. }) = schedule.start_next() else { break };
            let exit = if steps == 0 { Exit::Default } else { Exit::Branch(true) };
            schedule.end(node, exit, &value).unwrap();
            steps += 1;
        }
        assert_eq!(steps, if back { 2 * length } else { length + 1 });
    }
}

#[test]
fn a_ready_node_that_ceases_to_be_ready_is_not_started() {
    // N waits for its place while the condition that decided against it begins anew.
    let mut builder = ExecutableDiagram::builder();
    let start = builder.node(NodeDraft::new("Start", NodeKind::Start(StartNode::default())));
    let condition = builder.node(NodeDraft::new("C", NodeKind::Condition(ConditionNode::custom("x"))));
    let node =
        builder.node(NodeDraft::new("N", NodeKind::CodeJob(CodeJobNode::inline(Language::Python, ""))));
    builder.edge(EdgeDraft::new(start, node));
    builder.edge(EdgeDraft::new(start, condition));
    builder.edge(EdgeDraft::new(condition, node).leaving_by(Handle::CondTrue));
    builder.edge(EdgeDraft::new(condition, condition).leaving_by(Handle::CondFalse));
    let mut schedule = Schedule::new(Arc::new(builder.build().unwrap()), 10);
    let value = Arc::new(Value::Null);

    assert_eq!(schedule.start_next().unwrap().node, start);
    schedule.end(start, Exit::Default, &value).unwrap();
    assert_eq!(schedule.start_next().unwrap().node, condition);
    schedule.end(condition, Exit::Branch(false), &value).unwrap();
    assert_eq!(ready(&mut schedule), BTreeSet::from([condition, node]));
    schedule.ready.make_contiguous().sort_by_key(|&other| other != condition);
    assert_eq!(schedule.start_next().unwrap().node, condition);
    assert!(schedule.start_next().is_none(), "the condition may decide for it now");
    schedule.end(condition, Exit::Branch(true), &value).unwrap();
    let started = schedule.start_next().unwrap();
    assert_eq!((started.node, started.values.len()), (node, 2));
}
