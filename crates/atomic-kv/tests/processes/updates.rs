//! Updates under kill -9, pauses and the loss of all nodes at once, in both timestamp modes: counters lose nothing and gain
//! nothing, lists keep their order, a lock has one holder.

use crate::support::{Background, Cluster, SEVERAL_LOOPS};
use lincheck::{Action, Operation};
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
    lists.judge();
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
