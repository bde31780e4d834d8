//! From stage to stage.

use super::plan::Request;
use super::*;
use crate::functions::registers::Registers;
use alloc::collections::BTreeMap;

/// The drivers of the members, and the reserved key, which is decided as production decides it.
struct Cluster {
    keys: Registers,
    drivers: BTreeMap<u32, Driver>,
    now: Instant,
}

impl Cluster {
    fn new(count: u32) -> Self {
        let drivers = (1..=count).map(|own| (own, driver(own, count))).collect();
        Self { keys: Registers::new(1 << 20), drivers, now: START }
    }

    /// Carries out a proposal; everybody installs what is decided.
    fn decide(&mut self, proposal: &Proposal) -> Decision {
        let decision = proposal.decision(&self.keys.carry_out(proposal.operation()));
        if let Decision::Done(configuration) = &decision {
            self.install(configuration);
        }
        decision
    }

    fn install(&mut self, configuration: &Configuration) {
        for driver in self.drivers.values_mut() {
            driver.handle_installed(configuration, self.now);
        }
    }

    fn begin(&mut self, at: u32, request: &Request) {
        let driver = &self.drivers[&at];
        let proposal = Proposal { from: driver.view().configuration.clone(), to: begun(driver, request) };
        assert!(matches!(self.decide(&proposal), Decision::Done(_)));
    }

    fn every(&mut self, mut tell: impl FnMut(&mut Driver)) {
        self.drivers.values_mut().for_each(&mut tell);
    }

    fn dies(&mut self, id: u32) {
        self.drivers.remove(&id);
        let now = self.now;
        self.every(|driver| down(driver, id, now));
    }

    fn passes(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Who proposes something now.
    fn proposers(&mut self) -> Vec<u32> {
        let now = self.now;
        let polled =
            self.drivers.iter_mut().filter_map(|(id, driver)| driver.clone().poll_proposal(now).map(|_| *id));
        polled.collect()
    }

    /// Lets one of them propose; what comes of it.
    fn goes_on(&mut self, id: u32) -> Decision {
        let now = self.now;
        let driver = self.drivers.get_mut(&id).expect("it lives");
        let proposal = driver.poll_proposal(now).expect("it proposes something");
        assert_eq!(driver.poll_proposal(now), None, "one is in flight");
        let outcome = self.keys.carry_out(proposal.operation());
        let known = driver.handle_outcome(&outcome, now);
        if let Some(known) = &known {
            self.install(known);
        }
        proposal.decision(&outcome)
    }

    fn configuration(&self) -> &Configuration {
        &self.drivers.values().next().expect("somebody lives").view().configuration
    }
}

/// C2 (docs/PROTOCOL.md): stable, awaiting, joint, stable, one epoch each.
#[test]
fn c2_a_dead_node_is_replaced_stage_by_stage() {
    let mut cluster = Cluster::new(3);
    cluster.dies(3);
    cluster.begin(2, &replace(3, "host4:1"));
    assert_eq!(cluster.proposers(), [0; 0]);
    assert_eq!(cluster.drivers[&1].waits_for(cluster.now), "waits for node 4 at host4:1");
    // A node that nobody names is not kept, and one that is awaited is met.
    cluster.every(|driver| {
        meet(driver, 9, START);
        meet(driver, 4, START);
    });
    assert!(cluster.drivers[&1].view().seen(NodeId(9)).is_none());
    assert!(matches!(cluster.goes_on(1), Decision::Done(_)));
    assert!(cluster.configuration().is_joint() && next(cluster.configuration()) == [1, 2, 4]);
    assert!(cluster.configuration().is_voter(NodeId(4), directory(4)));
    let epoch = cluster.configuration().epoch();
    assert_eq!(epoch, 3);
    assert_eq!(cluster.drivers[&1].waits_for(cluster.now), "synced 0 of 3; waits for node 1, 2, 4");
    for id in [4, 1, 2] {
        assert_eq!(cluster.proposers(), [0; 0]);
        cluster.every(|driver| driver.handle_synced(NodeId(id), epoch, START));
    }
    assert!(matches!(cluster.goes_on(1), Decision::Done(_)));
    let switched = cluster.configuration();
    assert_eq!((ids(&switched.members), &switched.stage), (vec![1, 2, 4], &Stage::Stable));
    assert_eq!(cluster.proposers(), [0; 0]);
}

/// C3: being synced in another epoch is not being synced.
#[test]
fn c3_no_switch_before_a_majority_of_the_new_members_is_synced_in_the_joint_epoch() {
    let mut cluster = Cluster::new(3);
    cluster.begin(1, &even(change(&[], &[3])));
    let epoch = cluster.configuration().epoch();
    cluster.every(|driver| {
        driver.handle_synced(NodeId(1), epoch - 1, START);
        driver.handle_synced(NodeId(2), epoch + 1, START);
        driver.handle_synced(NodeId(3), epoch, START);
    });
    cluster.passes(SILENCE * 2);
    assert_eq!(cluster.proposers(), [0; 0], "node 3 is not one of those to come");
    let mut one = Cluster::new(3);
    one.begin(1, &change(&["a:1", "b:1"], &[]));
    one.every(|driver| {
        meet(driver, 4, START);
        meet(driver, 5, START);
    });
    one.goes_on(1);
    let epoch = one.configuration().epoch();
    one.every(|driver| {
        driver.handle_synced(NodeId(1), epoch, START);
        driver.handle_synced(NodeId(5), epoch, START);
    });
    one.dies(2);
    one.dies(3);
    one.passes(SILENCE * 2);
    assert_eq!(one.proposers(), [0; 0], "two of five");
    one.every(|driver| driver.handle_synced(NodeId(4), epoch, START));
    assert_eq!(one.proposers(), [1]);
}

#[test]
fn the_switch_waits_for_those_who_answer_and_for_a_while_for_those_who_do_not() {
    let mut cluster = Cluster::new(3);
    cluster.begin(1, &replace(3, "host4:1"));
    cluster.every(|driver| meet(driver, 4, START));
    cluster.goes_on(1);
    let epoch = cluster.configuration().epoch();
    cluster.every(|driver| {
        driver.handle_synced(NodeId(1), epoch, START);
        driver.handle_synced(NodeId(2), epoch, START);
    });
    cluster.passes(SILENCE * 3);
    assert_eq!(cluster.proposers(), [0; 0], "node 4 answers, and has much to copy");
    let now = cluster.now;
    cluster.every(|driver| down(driver, 4, now));
    assert_eq!(cluster.proposers(), [0; 0]);
    let end = cluster.drivers.get_mut(&1).unwrap().poll_timeout(now).unwrap();
    assert_eq!(end, now + SILENCE);
    cluster.now = end;
    assert_eq!(cluster.proposers(), [1]);
}

/// C3 (docs/PROTOCOL.md): one that answers and cannot be synced does not hold up the others for ever.
#[test]
fn c3_a_majority_switches_once_nobody_comes_nearer_to_being_synced() {
    let mut cluster = Cluster::new(3);
    cluster.begin(1, &replace(3, "host4:1"));
    cluster.every(|driver| meet(driver, 4, START));
    cluster.goes_on(1);
    let epoch = cluster.configuration().epoch();
    let synced = |cluster: &mut Cluster, id| {
        let now = cluster.now;
        cluster.every(|driver| driver.handle_synced(NodeId(id), epoch, now));
    };
    synced(&mut cluster, 1);
    cluster.passes(STALLED * 2);
    assert_eq!(cluster.proposers(), [0; 0], "one of three is no majority");
    synced(&mut cluster, 2);
    for page in 1..=3 {
        cluster.passes(STALLED / 2);
        let now = cluster.now;
        cluster.every(|driver| driver.handle_pulled(NodeId(4), page, now));
        assert_eq!(cluster.proposers(), [0; 0], "it goes on");
    }
    // It restarts all the time, and begins again.
    let now = cluster.now;
    let stalls = cluster.drivers.get_mut(&1).unwrap().poll_timeout(now).unwrap();
    assert_eq!(stalls, now + STALLED);
    for time in [STALLED / 3, STALLED / 2] {
        let now = now + time;
        cluster.every(|driver| {
            down(driver, 4, now);
            meet(driver, 4, now);
            driver.handle_pulled(NodeId(4), 2, now);
        });
    }
    let why = cluster.drivers[&1].waits_for(now);
    assert_eq!(why, "synced 2 of 3; waits for node 4, or for 60 s without progress");
    cluster.now = now + (STALLED - Duration::from_nanos(1));
    assert_eq!(cluster.proposers(), [0; 0]);
    cluster.now = stalls;
    assert_eq!(cluster.proposers(), [1]);
}

#[test]
fn drivers_take_turns_and_one_that_dies_is_continued() {
    let mut cluster = Cluster::new(3);
    cluster.begin(3, &change(&["host4:1", "host5:1"], &[]));
    cluster.every(|driver| {
        meet(driver, 4, START);
        meet(driver, 5, START);
    });
    assert_eq!(cluster.proposers(), [1]);
    // Those that are awaited have no say, whatever their ids.
    let awaited = cluster.configuration().clone();
    let mut newcomer = Driver::new(NodeId(4), directory(4), awaited, settings(), START);
    (1..=5).for_each(|id| meet(&mut newcomer, id, START));
    assert_eq!(newcomer.poll_proposal(after(100)), None);
    let polled = |cluster: &mut Cluster, id| cluster.drivers.get_mut(&id).unwrap().poll_timeout(START);
    assert_eq!(polled(&mut cluster, 2), Some(START + RANK_PAUSE));
    assert_eq!(polled(&mut cluster, 3), Some(START + RANK_PAUSE * 2));
    cluster.dies(1);
    assert_eq!(polled(&mut cluster, 2), Some(START));
    assert!(matches!(cluster.goes_on(2), Decision::Done(_)));
    assert!(cluster.configuration().is_joint());
}

/// C2: two drivers at once, and one that was stopped in the middle and goes on long after.
#[test]
fn c2_of_two_drivers_one_wins_and_the_other_one_learns_of_it() {
    let mut cluster = Cluster::new(3);
    cluster.begin(1, &even(change(&[], &[3])));
    let epoch = cluster.configuration().epoch();
    cluster.every(|driver| [1, 2].iter().for_each(|id| driver.handle_synced(NodeId(*id), epoch, START)));
    let late = cluster.drivers.get_mut(&1).unwrap().poll_proposal(START).expect("the switch");
    let back = begun(&cluster.drivers[&2], &Request::Abort);
    let abort = Proposal { from: late.from.clone(), to: back.clone() };
    assert_eq!(abort.decision(&cluster.keys.carry_out(abort.operation())), Decision::Done(back.clone()));
    let outcome = cluster.keys.carry_out(late.operation());
    assert_eq!(late.decision(&outcome), Decision::Other(back.clone()));
    let driver = cluster.drivers.get_mut(&1).unwrap();
    assert_eq!(driver.handle_outcome(&outcome, START), Some(back.clone()));
    // Whoever aborts again, not having heard how that ended, is told that it is done.
    assert_eq!(abort.decision(&cluster.keys.carry_out(abort.operation())), Decision::Done(back));
}

#[test]
fn what_comes_to_nothing_is_tried_again_after_a_pause() {
    let mut driver = driver(1, 3);
    driver.handle_installed(&begun(&driver, &replace(3, "host4:1")), START);
    meet(&mut driver, 4, START);
    let proposal = driver.poll_proposal(START).unwrap();
    assert_eq!(driver.poll_timeout(START), None, "it waits for the outcome");
    let refused = Outcome::Refused(abd::Reason::Stopping);
    assert!(matches!(proposal.decision(&refused), Decision::Refused(_)));
    assert_eq!(driver.handle_outcome(&refused, START), None);
    assert_eq!(driver.poll_proposal(START), None);
    assert_eq!(driver.poll_timeout(START), Some(START + RETRY));
    assert_eq!(driver.poll_proposal(START + RETRY), Some(proposal));
}

#[test]
fn quorums_become_joint_only_where_both_sides_have_a_majority_that_answers() {
    let mut driver = driver(1, 3);
    driver.handle_installed(&begun(&driver, &replace(3, "host4:1")), START);
    meet(&mut driver, 4, START);
    down(&mut driver, 4, START);
    assert_eq!(driver.waits_for(START), "waits for node 4 at host4:1", "it was met, and is gone again");
    meet(&mut driver, 4, START);
    assert!(driver.clone().poll_proposal(START).is_some());
    driver.handle_remembered(NodeId(4), [44; 16]);
    assert_eq!(driver.waits_for(START), "waits for node 4 at host4:1", "it came with another directory");
    driver.handle_remembered(NodeId(4), directory(4));
    [2, 3].iter().for_each(|id| down(&mut driver, *id, START));
    let why = driver.waits_for(START);
    assert_eq!(why, "waits for a majority of 1, 2, 3: 1 of 3 answer, and 2 are needed");
    meet(&mut driver, 2, START);
    driver.handle_met(NodeId(4), directory(4), 0);
    assert!(driver.waits_for(START).starts_with("node 4 runs a release that cannot"));
}

#[test]
fn the_first_configuration_is_left_by_a_change_alone_and_a_later_one_for_a_new_level() {
    let mut driver = driver(1, 3);
    assert_eq!(driver.poll_proposal(after(100)), None);
    let mut old = begun(&driver, &Request::Move { id: NodeId(1), address: "a:1".into() });
    old.level = 0;
    driver.handle_installed(&old, START);
    let raised = driver.poll_proposal(START).unwrap().to;
    assert_eq!((raised.level, raised.epoch(), &raised.stage), (LEVEL, 3, &Stage::Stable));
    let mut mixed = super::driver(1, 3);
    mixed.handle_met(NodeId(2), directory(2), 0);
    mixed.handle_installed(&old, START);
    assert_eq!(mixed.poll_proposal(START), None, "one member cannot yet");
}
