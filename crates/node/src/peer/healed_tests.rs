//! Handshakes of a node that comes back under another directory id (rules M1 and S3).

use super::*;

/// One node has two directory ids while it heals, and the new one alone after that.
#[test]
fn m1_a_node_that_was_healed_is_met_as_the_pair_that_it_has_become() {
    let (mut a, mut b) = acquainted(1, 2);
    let mut next = stable(3, &[1, 2, 3]).members;
    next[0].directory = Some([11; 16]);
    let joint =
        Configuration { stage: Stage::Joint { next: next.clone(), lost: vec![] }, ..stable(3, &[1, 2, 3]) };
    assert_eq!((a.identity.heal_as([11; 16]), a.identity.heal_as([12; 16])), ([11; 16], [11; 16]));
    for node in [&mut a, &mut b] {
        assert!(node.identity.install(joint.clone()));
    }
    met_again(&mut a, &mut b);
    assert_eq!((a.identity.disk, b.identity.peers.directory_of(1)), (own(1), Some(own(1))));
    let old = a.identity.clone();
    let healed = Configuration { members: next, ..stable(4, &[1, 2, 3]) };
    for node in [&mut a, &mut b] {
        assert!(node.identity.install(healed.clone()));
    }
    assert_eq!((a.identity.disk, a.identity.next_directory()), ([11; 16], None));
    met_again(&mut a, &mut b);
    assert_eq!(b.identity.peers.directory_of(1), Some([11; 16]));
    // A copy from before that has not lost anything but the news: it comes to the same. One from before it healed is nobody.
    a.identity = old;
    restart(&mut a, 61);
    let (end_a, end_b) = connect(&mut a, &mut b);
    assert!(matches!(end_b, Some(Next::Refused { .. })), "{end_b:?}");
    assert_eq!(renamed(end_a), ([11; 16], 4));
}

/// By which id a node is named in the configuration with which it was refused.
fn renamed(end: Option<Next>) -> (DirectoryId, u32) {
    match end {
        Some(Next::Renamed { directory, epoch }) => (directory, epoch),
        end => panic!("{end:?}"),
    }
}

/// Joint, in which node 3 comes back from one directory as another one; and the end of that.
fn healing(epoch: u32, from: DirectoryId, to: DirectoryId, is_gone: bool) -> (Configuration, Configuration) {
    let with = |directory| {
        let mut configuration = stable(epoch, &[1, 2, 3]);
        configuration.members[2].directory = Some(directory);
        configuration
    };
    let lost = if is_gone { vec![NodeId(3)] } else { vec![] };
    let healed = Configuration { scope: Scope { epoch: epoch + 1, ..Scope::FIRST }, ..with(to) };
    let stage = Stage::Joint { next: healed.members.clone(), lost };
    (Configuration { stage, ..with(from) }, healed)
}

/// Node 3 has lost a part of its database, or all of it.
fn wants_to_heal(three: &mut Node, is_gone: bool) {
    three.identity.heal_as([33; 16]);
    if is_gone {
        three.identity.lose([32; 16]);
    }
}

/// It was cut off when the others began to heal it, or when they switched, and shows a directory that nobody names any more. The refusal says
/// what has become of it, whichever side connects.
#[test]
fn m1_a_node_that_was_away_when_it_was_healed_learns_that_from_the_refusal() {
    for (is_gone, knows_joint, dials) in [
        (false, true, true),
        (false, true, false),
        (true, true, true),
        (true, false, true),
        (true, false, false),
    ] {
        let (mut three, mut other) = acquainted(3, 2);
        let (joint, healed) = healing(2, own(3), [33; 16], is_gone);
        wants_to_heal(&mut three, is_gone);
        if knows_joint {
            assert!(three.identity.install(joint.clone()));
        }
        assert!(other.identity.install(joint.clone()) && other.identity.install(healed.clone()));
        restart(&mut three, 81);
        let voting = three.identity.voting();
        let mut greet = |three: &mut Node| {
            if dials {
                let (end, refused) = connect(three, &mut other);
                (end, refused)
            } else {
                let (refused, end) = connect(&mut other, three);
                (end, refused)
            }
        };
        let (end, refused) = greet(&mut three);
        if is_gone && knows_joint {
            // It shows the next one already.
            assert_eq!(learned(end), Some(3));
            continue;
        }
        assert!(refusal(refused).contains("node 3 is no member with its data directory"));
        let (directory, epoch) = renamed(end);
        assert_eq!((directory, epoch), ([33; 16], 3));
        three.identity.show(directory);
        assert_eq!((three.identity.presented(), three.identity.voting()), ([33; 16], voting));
        let (end, end_other) = greet(&mut three);
        assert_eq!((learned(end), learned(end_other)), (Some(3), None));
        assert!(three.identity.install(healed.clone()));
        assert_eq!((three.identity.disk, three.identity.votes()), ([33; 16], true));
        let (end, end_other) = greet(&mut three);
        assert_eq!((learned(end), learned(end_other)), (None, None));
    }
}

/// Nobody shows another directory because a stranger says so, or for what is no news.
#[test]
fn m1_what_a_stranger_refuses_with_is_not_believed() {
    let (mut three, mut other) = acquainted(3, 2);
    let (joint, healed) = healing(2, own(3), [33; 16], true);
    three.identity.lose([33; 16]);
    let challenges = Challenges { dialler: [1; 16], acceptor: [2; 16] };
    let refused = |three: &Node, of: &Node, told: &Configuration| {
        let told = told.disguised().encoded();
        let tags = of.identity.vouch_for(3, challenges, &told);
        three.identity.refused_with(2, challenges, &told, &tags).is_some()
    };
    assert!(refused(&three, &other, &joint) && !refused(&three, &stranger(2), &joint));
    assert!(three.identity.install(joint.clone()) && three.identity.install(healed.clone()));
    assert!(!refused(&three, &other, &joint) && !refused(&three, &other, &healed));
    restart(&mut other, 82);
    assert!(other.identity.install(healed));
    met_again(&mut three, &mut other);
}

/// Whoever loses his database while he is healed may have acknowledged something under the next id already: he has no vote until he is
/// healed under a third one, and is a member until then, whether the change is given up or through.
#[test]
fn m1_a_node_that_loses_its_database_again_waits_and_is_healed_after_that() {
    for (is_gone, is_given_up, sees_end) in [
        (true, true, true),
        (true, false, true),
        (false, true, true),
        (false, false, true),
        (true, false, false),
    ] {
        let (mut three, mut other) = acquainted(3, 2);
        let (joint, healed) = healing(2, own(3), [33; 16], is_gone);
        wants_to_heal(&mut three, is_gone);
        for node in [&mut three, &mut other] {
            assert!(node.identity.install(joint.clone()));
        }
        for drawn in [[34; 16], [35; 16]] {
            three.identity.lose(drawn);
            restart(&mut three, 83);
            assert_eq!(three.identity.next_directory(), Some([34; 16]), "nobody names it, so it is kept");
            assert!(three.identity.is_named_by(&joint) && !three.identity.votes());
            met_again(&mut three, &mut other);
        }
        let back = healing(1, own(3), own(3), false).1;
        let back = Configuration { scope: healed.scope, ..back };
        let (after, pair) = if is_given_up { (back, own(3)) } else { (healed, [33; 16]) };
        let mut nodes = if sees_end { vec![&mut three, &mut other] } else { vec![&mut other] };
        nodes.iter_mut().for_each(|node| assert!(node.identity.install(after.clone())));
        let wanted = three.identity.heal_wanted(false).unwrap();
        assert_eq!((wanted.directory, wanted.is_gone), ([34; 16], true));
        if sees_end {
            assert_eq!((three.identity.presented(), three.identity.votes()), (pair, false));
            met_again(&mut three, &mut other);
        }
        let (joint, healed) = healing(4, pair, [34; 16], true);
        assert!(other.identity.install(joint.clone()));
        for node in [&mut three, &mut other] {
            node.identity.install(joint.clone());
            assert!(node.identity.install(healed.clone()));
        }
        assert_eq!(
            (three.identity.disk, three.identity.votes(), three.identity.is_gone()),
            ([34; 16], true, false)
        );
        met_again(&mut three, &mut other);
    }
}
