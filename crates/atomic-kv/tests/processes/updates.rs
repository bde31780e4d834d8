//! Updates under kill -9, pauses and the loss of all nodes at once, in both timestamp modes: counters lose nothing and gain
//! nothing, lists keep their order, a lock has one holder.

use crate::support::client::Response;
use crate::support::{Background, Cluster, SEVERAL_LOOPS};
use lincheck::{Action, Answer, Change, Operation, Update};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;
use tools::verify::{Recording, Workload};

const LOGICAL: &[&str] = &["--timestamps", "logical"];
const TRUETIME: &[&str] = &["--timestamps", "truetime", "--clock-error", "1ms"];

/// All kinds of updates at the same time, each on keys of its own.
fn updates(cluster: &Cluster) -> [Background; 3] {
    [Workload::Counter, Workload::Append, Workload::Lock]
        .map(|workload| Background::start_with(workload, cluster.addresses()))
}

#[track_caller]
fn judge(load: [Background; 3]) {
    let [counters, lists, locks] = load;
    tokens(&lists.judge());
    locks.judge();
    balance(&counters.judge());
}

/// Counts without the judge: each counter ends at what was acknowledged, and what may have happened beside it.
#[track_caller]
fn balance(recording: &Recording) {
    for (key, chosen) in recording.history.by_key() {
        let operations = || chosen.iter().map(|index| &recording.history.operations[*index]);
        let increments = || operations().filter(|operation| matches!(operation.action, Action::Update(_)));
        let certain = increments().filter(|operation| operation.ret.is_some()).count();
        let all = increments().count();
        // Nobody counts any more when the first client looks at all keys.
        let last: &Operation = operations().max_by_key(|operation| operation.invoke).unwrap();
        let Action::Read(Some(number)) = &last.action else {
            panic!("the last look at {}: {last:?}", key.escape_ascii())
        };
        let number: usize = str::from_utf8(number).unwrap().parse().unwrap();
        assert!((certain..=all).contains(&number), "{number} instead of {certain} to {all}");
        let answers: HashSet<&Answer> = increments()
            .filter(|operation| operation.ret.is_some())
            .map(|operation| match &operation.action {
                Action::Update(update) => &update.answer,
                _ => unreachable!("an increment is an update"),
            })
            .collect();
        assert_eq!(answers.len(), certain, "a number was answered twice");
    }
}

/// Looks at each list at the end without the judge: no token is in it twice, none that was refused, and each that was acknowledged
/// since the last Set.
#[track_caller]
fn tokens(recording: &Recording) {
    for (key, chosen) in recording.history.by_key() {
        let operations = || chosen.iter().map(|index| &recording.history.operations[*index]);
        // What was refused is not among them.
        let written: BTreeMap<&[u8], &Operation> = operations()
            .filter_map(|operation| match &operation.action {
                Action::Write(token) | Action::Update(Update { change: Change::Append(token), .. }) => {
                    Some((&token[..], operation))
                }
                _ => None,
            })
            .collect();
        let last = operations().max_by_key(|operation| operation.invoke).unwrap();
        let Action::Read(Some(list)) = &last.action else {
            panic!("the last look at {}: {last:?}", key.escape_ascii())
        };
        let list: Vec<&[u8]> = list.split_inclusive(|byte| *byte == b';').collect();
        let set: BTreeSet<&[u8]> = list.iter().copied().collect();
        assert_eq!(set.len(), list.len(), "a token is in it twice: {last:?}");
        assert!(set.iter().all(|token| written.contains_key(token)), "nobody wrote it: {last:?}");
        // A list begins with what was set last; whatever began after that was acknowledged is in it.
        let beginning = written[list[0]];
        let since = match &beginning.action {
            Action::Write(_) => beginning.ret.unwrap_or(u64::MAX),
            _ => 0,
        };
        for (token, operation) in &written {
            let is_due = operation.ret.is_some() && operation.invoke > since;
            assert!(!is_due || set.contains(token), "{operation:?} is lost: {last:?}");
        }
    }
}

fn coordinators_are_killed(flags: &[&str]) {
    let mut cluster = Cluster::start(3, flags);
    let load = updates(&cluster);
    for index in [0, 1, 2] {
        Background::for_a_moment();
        cluster.nodes[index].kill();
        Background::for_a_moment();
        cluster.nodes[index].start();
        cluster.nodes[index].wait_ready();
    }
    Background::for_a_moment();
    judge(load);
}

#[test]
fn coordinators_are_killed_logical() {
    coordinators_are_killed(LOGICAL);
}

#[test]
fn coordinators_are_killed_truetime() {
    coordinators_are_killed(TRUETIME);
}

#[test]
fn coordinators_are_killed_several_loops() {
    coordinators_are_killed(SEVERAL_LOOPS);
}

fn all_nodes_are_killed_at_once(flags: &[&str]) {
    let mut cluster = Cluster::start(3, flags);
    let load = updates(&cluster);
    for _ in 0..3 {
        Background::for_a_moment();
        cluster.kill_all();
        cluster.start_all();
    }
    Background::for_a_moment();
    judge(load);
}

#[test]
fn all_nodes_are_killed_at_once_logical() {
    all_nodes_are_killed_at_once(LOGICAL);
}

#[test]
fn all_nodes_are_killed_at_once_truetime() {
    all_nodes_are_killed_at_once(TRUETIME);
}

fn coordinators_are_paused(flags: &[&str]) {
    let cluster = Cluster::start(3, flags);
    let load = updates(&cluster);
    for index in [0, 1, 2] {
        Background::for_a_moment();
        cluster.nodes[index].pause();
        Background::for_a_moment();
        cluster.nodes[index].resume();
    }
    Background::for_a_moment();
    judge(load);
}

#[test]
fn coordinators_are_paused_logical() {
    coordinators_are_paused(LOGICAL);
}

#[test]
fn coordinators_are_paused_truetime() {
    coordinators_are_paused(TRUETIME);
}

/// A coordinator that is killed takes along what is in flight at it. Nobody else is told that anything is unknown, or refused.
fn a_killed_coordinator_takes_its_own_updates_along(flags: &[&str]) {
    let mut cluster = Cluster::start(3, flags);
    let load = Background::patient(Workload::Counter, cluster.addresses());
    Background::for_a_moment();
    cluster.nodes[0].kill();
    let mut others: Vec<_> = cluster.nodes[1..].iter().map(|node| node.connect()).collect();
    for number in 0..40 {
        assert_eq!(others[number % 2].call("INCR probe"), Response::Integer(number as i64 + 1));
    }
    Background::for_a_moment();
    let recording = load.judge();
    // The last looks are none of theirs, and may begin at a node that is gone.
    let told: Vec<_> =
        recording.events.iter().filter(|event| event.at < nanoseconds(recording.span)).collect();
    for event in &told {
        // Client `i` began at node `i`, counted around.
        assert!(event.client % 3 == 0 && event.text.starts_with("connection lost"), "{told:?}");
    }
    let clients: BTreeSet<u64> = told.iter().map(|event| event.client).collect();
    assert_eq!(clients.len(), told.len(), "one operation each: {told:?}");
    let unknown = recording.unknown();
    assert!(unknown <= told.len(), "{unknown} of unknown outcome: {told:?}");
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}

#[test]
fn a_killed_coordinator_takes_its_own_updates_along_logical() {
    a_killed_coordinator_takes_its_own_updates_along(LOGICAL);
}

#[test]
fn a_killed_coordinator_takes_its_own_updates_along_truetime() {
    a_killed_coordinator_takes_its_own_updates_along(TRUETIME);
}
