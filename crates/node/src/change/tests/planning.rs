//! What is begun, and what is refused before it begins.

use super::plan::{Plan, Request, newcomers, plan};
use super::*;

#[test]
fn m1_a_change_names_everybody_with_the_directory_that_he_has_shown() {
    let mut driver = driver(1, 3);
    down(&mut driver, 3, START);
    let to = begun(&driver, &replace(3, "host4:1"));
    assert_eq!((to.epoch(), to.next_id, to.level), (2, 5, LEVEL));
    let directories: Vec<_> = to.members.iter().map(|member| member.directory).collect();
    assert_eq!(directories, [1, 2, 3].map(|id| Some(directory(id))));
    assert_eq!(next(&to), [1, 2, 4]);
    let [new] = newcomers(&to, &replace(3, "host4:1"))[..] else { panic!("one comes") };
    assert_eq!((new.id.0, new.directory, new.address.as_str()), (4, None, "host4:1"));
    // It was never met, so nobody knows whom to name.
    let mut stranger = Driver::new(NodeId(1), directory(1), first(3), settings(), START);
    meet(&mut stranger, 2, START);
    let why = refused(&stranger, &replace(3, "host4:1"));
    assert!(why.contains("node 3 has not shown its directory") && why.contains("(M1)"), "{why}");
    stranger.handle_remembered(NodeId(3), directory(3));
    assert_eq!(begun(&stranger, &replace(3, "host4:1")), to, "it is remembered from an earlier start");
}

/// A lost disk is often replaced in the same machine.
#[test]
fn who_comes_may_have_the_address_of_who_goes() {
    let mut driver = driver(1, 3);
    down(&mut driver, 3, START);
    let request = replace(3, "host3:1");
    let to = begun(&driver, &request);
    driver.handle_installed(&to, START);
    assert_eq!(plan(driver.view(), &request), Ok(Plan::UnderWay));
    let [new] = newcomers(&to, &request)[..] else { panic!("one comes") };
    assert_eq!((new.id.0, to.at("host3:1").map(|member| member.id.0)), (4, Some(4)));
}

#[test]
fn ids_come_from_the_counter_and_are_never_used_again() {
    let driver = driver(1, 3);
    let to = begun(&driver, &change(&["host9:1", "host8:1"], &[]));
    assert_eq!((next(&to), to.next_id), (vec![1, 2, 3, 4, 5], 6));
    let to = begun(&driver, &change(&["a:1", "b:1", "c:1"], &[1, 2, 3]));
    assert_eq!(next(&to), [4, 5, 6]);
    let to = begun(&driver, &even(change(&[], &[3])));
    assert!(to.is_joint() && next(&to) == [1, 2], "nobody has to be waited for");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let driver = driver(1, 3);
    for (request, why) in [
        (replace(9, "host4:1"), "there is no node 9: the members are 1, 2, 3"),
        (replace(3, "host4"), "'host4' is no HOST:PORT"),
        (replace(3, "host4:0"), "'host4:0' is no HOST:PORT"),
        (replace(3, "host2:1"), "host2:1 is the address of node 2, which stays"),
        (change(&["a:1", "a:1"], &[]), "a:1 is named twice"),
        (change(&["a:1"], &[2, 2]), "node 2 is named twice"),
        (change(&[], &[]), "nobody would be added or removed"),
        (change(&[], &[1, 2, 3]), "there would be 0 members, and a cluster has 1 to 7"),
        (change(&["a:1", "b:1", "c:1", "d:1", "e:1"], &[]), "there would be 8 members"),
        (Request::Move { id: NodeId(4), address: "a:1".into() }, "there is no node 4"),
        (Request::Move { id: NodeId(1), address: "host2:1".into() }, "the address of node 2"),
    ] {
        let told = refused(&driver, &request);
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn an_even_number_has_to_be_meant() {
    let driver = driver(1, 3);
    for request in [change(&["a:1"], &[]), change(&[], &[3])] {
        assert!(refused(&driver, &request).contains("an even number survives no more failures"));
        begun(&driver, &even(request));
    }
    // Who replaces one of four has not asked for four.
    let driver = super::driver(1, 4);
    begun(&driver, &replace(4, "a:1"));
}

#[test]
fn no_change_begins_that_leaves_no_live_majority() {
    let mut five = driver(1, 5);
    down(&mut five, 2, START);
    down(&mut five, 3, START);
    let why = refused(&five, &change(&[], &[4, 5]));
    assert_eq!(why, "of the new members 1, 2, 3 there would answer 1 (1) = 1 of 3, and 2 are needed");
    begun(&five, &change(&[], &[2, 3]));
    let why = refused(&five, &change(&["a:1"], &[1, 4, 5]));
    assert_eq!(
        why,
        "of the new members 2, 3, 6 there would answer nobody + 1 (6) to come = 1 of 3, and 2 are needed"
    );
    // The members themselves have to decide it.
    let mut three = driver(1, 3);
    down(&mut three, 2, START);
    down(&mut three, 3, START);
    let why = refused(&three, &replace(3, "a:1"));
    assert_eq!(why, "of the members 1, 2, 3 there answer 1 (1), and a change is decided by 2 of 3");
}

#[test]
fn every_member_that_stays_has_a_release_that_can_change_members() {
    let mut driver = driver(1, 3);
    driver.handle_met(NodeId(3), directory(3), 0);
    let why = "node 3 runs a release that cannot change the members: upgrade it first";
    assert_eq!(refused(&driver, &replace(2, "a:1")), why);
    assert_eq!(refused(&driver, &replace(3, "a:1")), why, "it would go on in the old epoch");
    let unmet = || {
        let mut driver = Driver::new(NodeId(1), directory(1), first(3), settings(), START);
        meet(&mut driver, 2, START);
        driver.handle_remembered(NodeId(3), directory(3));
        driver
    };
    // A dead node that is replaced is not waited for.
    begun(&unmet(), &replace(3, "a:1"));
    assert!(refused(&unmet(), &replace(2, "a:1")).contains("nobody knows whether its release can"));
    // One that answers and says nothing of it is not taken for one that does not answer.
    let mut silent = unmet();
    silent.handle_up(NodeId(3), true, START);
    assert!(refused(&silent, &replace(2, "a:1")).starts_with("node 3 answers and does not tell"));
    // Once all could, nobody is asked again.
    let mut later = unmet();
    later.handle_installed(
        &begun(&super::driver(1, 3), &Request::Move { id: NodeId(1), address: "a:1".into() }),
        START,
    );
    begun(&later, &replace(2, "b:1"));
}

#[test]
fn a_command_may_be_repeated_and_two_changes_do_not_mix() {
    let mut driver = driver(1, 3);
    let request = change(&["a:1", "b:1"], &[3, 2]);
    let to = begun(&driver, &request);
    driver.handle_installed(&to, START);
    let same = change(&["b:1", "a:1"], &[2, 3]);
    assert_eq!(plan(driver.view(), &same), Ok(Plan::UnderWay));
    assert_eq!(newcomers(&to, &same).len(), 2);
    for other in [
        change(&["a:1", "b:1"], &[3]),
        change(&["a:1"], &[3, 2]),
        replace(3, "c:1"),
        Request::Move { id: NodeId(1), address: "z:1".into() },
    ] {
        let why = refused(&driver, &other);
        let expected = "another change is under way (epoch 2, awaiting: 1, 2, 3 -> 1, 4, 5)";
        assert!(why.starts_with(expected), "{why}");
    }
    let mut through = to.successor().unwrap();
    (through.members, through.stage) = (to.next().unwrap().to_vec(), Stage::Stable);
    driver.handle_installed(&through, START);
    assert_eq!(plan(driver.view(), &same), Ok(Plan::Done));
    assert!(refused(&driver, &change(&["a:1", "c:1"], &[2, 3])).starts_with("there is no node 2"));
    assert!(refused(&driver, &replace(9, "a:1")).starts_with("there is no node 9"), "it never was");
}

#[test]
fn c2_a_change_is_given_up_at_any_moment_before_the_switch() {
    let mut driver = driver(1, 3);
    assert_eq!(plan(driver.view(), &Request::Abort), Ok(Plan::Done), "there is nothing to be given up");
    let before = begun(&driver, &Request::Move { id: NodeId(3), address: "moved:1".into() });
    driver.handle_installed(&before, START);
    assert_eq!(before.members[2].address, "moved:1");
    let same = Request::Move { id: NodeId(3), address: "moved:1".into() };
    assert_eq!(plan(driver.view(), &same), Ok(Plan::Done));
    for request in [replace(3, "a:1"), even(change(&[], &[3]))] {
        let to = begun(&driver, &request);
        driver.handle_installed(&to, START);
        let back = begun(&driver, &Request::Abort);
        assert_eq!((&back.members, &back.stage), (&before.members, &Stage::Stable));
        assert_eq!(back.next_id, to.next_id, "an id that was given away is not given again");
        driver.handle_installed(&back, START);
    }
}
