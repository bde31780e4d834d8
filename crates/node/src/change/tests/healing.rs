//! One member at a time, and only if of every key a majority is whole.

use super::plan::Request;
use super::*;

fn wanted(is_gone: bool) -> Option<HealWanted> {
    Some(HealWanted { directory: [33; 16], is_gone })
}

/// Node 1 of so many, all of which have told that they have lost nothing.
fn driver(count: u32) -> Driver {
    let mut driver = super::driver(1, count);
    (1..=count).for_each(|id| driver.handle_lost(NodeId(id), vec![]));
    driver
}

fn range(after: &'static str, up_to: &'static str) -> Range {
    let end = |key: &'static str| (!key.is_empty()).then(|| key.into());
    Range { after: end(after), up_to: end(up_to) }
}

#[test]
fn a_member_changes_places_with_itself() {
    for is_gone in [false, true] {
        let mut driver = driver(3);
        driver.handle_heal_wanted(NodeId(3), wanted(is_gone));
        let proposal = driver.clone().poll_proposal(START).unwrap();
        assert_eq!(proposal.from.check_successor(&proposal.to), Ok(()));
        let healing = proposal.to;
        assert!(healing.is_joint() && next(&healing) == [1, 2, 3]);
        // BL5 (docs/PROTOCOL.md): the pair that is gone does not vote.
        assert_eq!(healing.is_voter(NodeId(3), directory(3)), !is_gone);
        assert!(healing.is_voter(NodeId(3), [33; 16]));
        driver.handle_installed(&healing, START);
        assert_eq!(driver.poll_proposal(after(100)), None, "nobody is synced");
        (1..=3).for_each(|id| driver.handle_synced(NodeId(id), healing.epoch(), START));
        let switched = driver.clone().poll_proposal(after(100)).unwrap().to;
        assert_eq!(switched.members[2].directory, Some([33; 16]));
        driver.handle_installed(&switched, START);
        assert_eq!(driver.poll_proposal(after(200)), None, "it has what it wanted");
    }
}

/// M1 (docs/PROTOCOL.md): who is synced is a pair. What a third directory has pulled is of no use to the one that is to vote.
#[test]
fn what_another_directory_has_pulled_does_not_count() {
    let mut driver = driver(3);
    driver.handle_heal_wanted(NodeId(3), wanted(true));
    let healing = driver.clone().poll_proposal(START).unwrap().to;
    driver.handle_installed(&healing, START);
    driver.handle_heal_wanted(NodeId(3), Some(HealWanted { directory: [34; 16], is_gone: true }));
    [1, 3].iter().for_each(|id| driver.handle_synced(NodeId(*id), healing.epoch(), START));
    down(&mut driver, 2, START);
    assert_eq!(driver.clone().poll_proposal(after(100)), None, "1 alone is synced of those to come");
    driver.handle_heal_wanted(NodeId(3), wanted(true));
    assert!(driver.poll_proposal(after(100)).is_some());
}

/// Its database is lost again while it is healed: nobody waits for it, and it is healed under its third directory as soon as this is over.
#[test]
fn who_has_lost_his_database_again_is_not_waited_for_and_heals_after_that() {
    let mut driver = driver(3);
    driver.handle_heal_wanted(NodeId(3), wanted(true));
    let healing = driver.clone().poll_proposal(START).unwrap().to;
    driver.handle_installed(&healing, START);
    // It was synced, and has lost that, too. It shows the directory that the change names.
    (1..=3).for_each(|id| driver.handle_synced(NodeId(id), if id == 1 { 0 } else { healing.epoch() }, START));
    driver.handle_met(NodeId(3), [33; 16], LEVEL);
    driver.handle_heal_wanted(NodeId(3), Some(HealWanted { directory: [34; 16], is_gone: true }));
    assert_eq!(driver.clone().poll_proposal(after(1)), None, "2 alone is synced of those to come");
    driver.handle_synced(NodeId(1), healing.epoch(), after(1));
    let switched = driver.clone().poll_proposal(after(1)).unwrap().to;
    assert_eq!(switched.members[2].directory, Some([33; 16]));
    driver.handle_installed(&switched, after(1));
    let again = driver.clone().poll_proposal(after(2)).unwrap().to;
    assert_eq!(again.next().unwrap()[2].directory, Some([34; 16]));
    assert!(!again.is_voter(NodeId(3), [33; 16]));
}

/// What it reads whole, a member that has lost a part has pulled like any other.
#[test]
fn who_has_lost_a_part_is_synced_by_the_directory_that_he_has() {
    let mut driver = driver(3);
    driver.handle_installed(&Configuration { level: LEVEL, ..begun(&driver, &replace(3, "host4:1")) }, START);
    meet(&mut driver, 4, START);
    let joint = driver.clone().poll_proposal(START).unwrap().to;
    driver.handle_installed(&joint, START);
    driver.handle_heal_wanted(NodeId(2), Some(HealWanted { directory: [22; 16], is_gone: false }));
    [1, 2, 4].iter().for_each(|id| driver.handle_synced(NodeId(*id), joint.epoch(), START));
    assert!(driver.poll_proposal(START).is_some());
}

#[test]
fn nobody_heals_right_after_a_change_was_given_up() {
    let mut driver = driver(3);
    driver.handle_heal_wanted(NodeId(3), wanted(false));
    let healing = driver.clone().poll_proposal(START).unwrap().to;
    driver.handle_installed(&healing, START);
    driver.handle_installed(&begun(&driver, &Request::Abort), after(1));
    assert_eq!(driver.poll_proposal(after(2)), None);
    assert!(driver.waits_for(after(2)).starts_with("a member is to heal, within 60 s"));
    assert_eq!(driver.poll_timeout(after(2)), Some(after(1) + HELD_OFF));
    assert!(driver.clone().poll_proposal(after(1) + HELD_OFF).is_some());
    // Meanwhile another change may begin, and one that is through holds nothing off.
    begun(&driver, &replace(3, "host4:1"));
}

/// It was away while a heal was begun and given up.
#[test]
fn who_has_missed_that_a_heal_was_given_up_holds_it_off_too() {
    let mut there = driver(3);
    let mut away = there.clone();
    for driver in [&mut there, &mut away] {
        driver.handle_heal_wanted(NodeId(3), wanted(false));
    }
    let healing = there.clone().poll_proposal(START).unwrap().to;
    there.handle_installed(&healing, START);
    away.handle_installed(&begun(&there, &Request::Abort), after(1));
    assert_eq!(away.poll_proposal(after(2)), None);
    assert!(away.poll_proposal(after(1) + HELD_OFF).is_some());
}

#[test]
fn a_directory_that_wants_to_come_back_is_not_taken_for_the_one_that_was_lost() {
    let mut driver = Driver::new(NodeId(1), directory(1), first(3), settings(), START);
    (1..=2).for_each(|id| meet(&mut driver, id, START));
    (1..=3).for_each(|id| driver.handle_lost(NodeId(id), vec![]));
    driver.handle_heal_wanted(NodeId(3), wanted(true));
    driver.handle_met(NodeId(3), [33; 16], LEVEL);
    assert!(driver.waits_for(START).contains("node 3 has not shown its directory"));
    assert_eq!(driver.poll_proposal(START), None);
    driver.handle_remembered(NodeId(3), directory(3));
    let healing = driver.poll_proposal(START).unwrap().to;
    assert_eq!(healing.members[2].directory, Some(directory(3)));
}

#[test]
fn who_has_not_told_what_he_has_lost_may_have_lost_everything() {
    let mut driver = super::driver(1, 3);
    driver.handle_heal_wanted(NodeId(3), wanted(false));
    driver.handle_lost(NodeId(3), vec![range("b", "d")]);
    driver.handle_lost(NodeId(1), vec![]);
    assert_eq!(driver.poll_proposal(START), None);
    driver.handle_lost(NodeId(2), vec![]);
    assert!(driver.poll_proposal(START).is_some());
}

#[test]
fn one_heals_at_a_time_and_another_change_waits() {
    let mut driver = driver(5);
    driver.handle_heal_wanted(NodeId(4), Some(HealWanted { directory: [44; 16], is_gone: false }));
    driver.handle_heal_wanted(NodeId(3), wanted(false));
    let first = driver.clone().poll_proposal(START).unwrap().to;
    assert_eq!(first.next().unwrap()[2].directory, Some([33; 16]));
    driver.handle_installed(&first, START);
    let why = refused(&driver, &replace(5, "a:1"));
    assert!(why.starts_with("node 3 is healing (epoch 2); wait") && why.contains("abort-change"), "{why}");
    // Given up, it begins again after a while: nobody has to ask for it.
    driver.handle_installed(&begun(&driver, &Request::Abort), START);
    assert_eq!(driver.poll_proposal(START), None);
    assert!(driver.poll_proposal(START + HELD_OFF).is_some());
}

#[test]
fn nobody_heals_against_the_settings() {
    let mut driver = driver(3);
    driver.settings.heals = false;
    driver.handle_heal_wanted(NodeId(3), wanted(false));
    assert_eq!(driver.poll_proposal(after(100)), None);
    assert_eq!(driver.waits_for(START), "a member is to heal, and --heal is off");
    // Nor says anybody that he wants to, if it is off everywhere.
    driver.handle_heal_wanted(NodeId(3), None);
    assert_eq!(driver.waits_for(START), "");
    driver.handle_lost(NodeId(3), vec![range("b", "d")]);
    assert_eq!(driver.waits_for(START), "node 3 has lost something that stays lost, as --heal is off");
}

/// A change that waits for who is away would keep an operator from bringing him back elsewhere.
#[test]
fn a_heal_begins_when_those_who_are_whole_answer() {
    let mut driver = driver(3);
    driver.handle_heal_wanted(NodeId(3), wanted(false));
    driver.handle_lost(NodeId(3), vec![range("b", "d")]);
    down(&mut driver, 2, START);
    assert_eq!(driver.poll_proposal(after(100)), None);
    assert!(driver.waits_for(after(100)).contains("1 of 3 members are known to be whole"));
    begun(&driver, &Request::Move { id: NodeId(2), address: "moved:1".into() });
    driver.handle_up(NodeId(2), true, after(101));
    assert!(driver.poll_proposal(after(101)).is_some());
}

/// Compared with looking at each range.
#[test]
fn whether_a_key_is_in_one_of_the_ranges_is_found_by_halving() {
    let ranges = [range("", "b"), range("b", "d"), range("f", "g"), range("p", "")];
    for count in 0..=ranges.len() {
        for after in ["", "a", "b", "c", "d", "e", "f", "g", "o", "p", "z"] {
            let key = format!("{after}\0");
            let is_in = |range: &Range| {
                let (begin, end) = (range.after.as_deref().unwrap_or_default(), range.up_to.as_deref());
                key.as_bytes() > begin && end.is_none_or(|end| key.as_bytes() <= end)
            };
            let asked = Some(after.as_bytes()).filter(|after| !after.is_empty());
            let found = heal::have_next(&ranges[..count], asked, settings().order);
            assert_eq!(found, ranges[..count].iter().any(is_in), "{after} in {count}");
        }
    }
}

#[test]
fn of_every_key_a_majority_is_whole() {
    let mut driver = driver(3);
    driver.handle_heal_wanted(NodeId(3), wanted(false));
    let heals = |driver: &mut Driver, lost: [Vec<Range>; 3]| {
        for (id, lost) in (1..).zip(lost) {
            driver.handle_lost(NodeId(id), lost);
        }
        driver.clone().poll_proposal(START).is_some()
    };
    let (low, middle, high) = (range("", "b"), range("b", "d"), range("c", ""));
    assert!(heals(&mut driver, [vec![], vec![], vec![range("", "")]]));
    assert!(heals(&mut driver, [vec![low.clone()], vec![], vec![middle.clone()]]), "at different places");
    assert!(heals(&mut driver, [vec![], vec![low.clone()], vec![middle.clone(), range("e", "")]]));
    assert!(!heals(&mut driver, [vec![], vec![high.clone()], vec![middle.clone()]]), "c to d");
    assert!(
        !heals(&mut driver, [vec![middle.clone()], vec![high], vec![]]),
        "c to d, though node 3 is whole there"
    );
    assert!(!heals(&mut driver, [vec![low], vec![], vec![range("", "a")]]));
    let why = driver.waits_for(START);
    assert!(
        why.starts_with("node 3 cannot heal: there are keys of which 1 of 3 members are known to be whole"),
        "{why}"
    );
    // Whose directory is gone has lost everything.
    driver.handle_heal_wanted(NodeId(3), wanted(true));
    assert!(!heals(&mut driver, [vec![], vec![middle], vec![]]));
    assert!(heals(&mut driver, [vec![], vec![], vec![]]));
}

#[test]
fn what_is_lost_is_kept_within_bounds() {
    let ranges = |count: usize| {
        let key = |number: usize| Some(format!("{number:06}").into());
        (0..count)
            .map(|number| Range { after: key(2 * number), up_to: key(2 * number + 1) })
            .collect::<Vec<_>>()
    };
    let kept = heal::bounded(ranges(LOST_RANGES_MAX + 10));
    assert_eq!(kept.len(), LOST_RANGES_MAX);
    assert_eq!(kept.last().unwrap().up_to, ranges(LOST_RANGES_MAX + 10).last().unwrap().up_to);
    assert_eq!(heal::bounded(ranges(LOST_RANGES_MAX)), ranges(LOST_RANGES_MAX));
}
