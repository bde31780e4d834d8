//! Handshakes of a cluster whose members have been changed (rules C1, C2 and M1).

use super::*;
use crate::configuration::{DirectoryId, Member as Named, Stage};
use crate::hello::WITH_CONFIGURATIONS;
use crate::nonce::Tag;
use crate::peer::joining::{Answer, answer, question};
use abd::{Scope, TimestampMode};
use alloc::vec::Vec;

#[path = "healed_tests.rs"]
mod healed;

fn member(id: u32, directory: Option<DirectoryId>) -> Named {
    Named { id: NodeId(id), directory, address: format!("n{id}:1") }
}

/// The directory of [`node`].
fn own(id: u32) -> DirectoryId {
    [u8::try_from(id).unwrap(); 16]
}

/// A configuration of these nodes, each with its own directory.
fn stable(epoch: u32, ids: &[u32]) -> Configuration {
    let members = ids.iter().map(|id| member(*id, Some(own(*id)))).collect();
    let (scope, timestamps) = (Scope { epoch, ..Scope::FIRST }, TimestampMode::Logical);
    Configuration { scope, timestamps, level: 1, next_id: 10, members, stage: Stage::Stable }
}

fn awaiting(epoch: u32, ids: &[u32], next: Vec<Named>) -> Configuration {
    Configuration { stage: Stage::Awaiting(next), ..stable(epoch, ids) }
}

fn with(id: u32, configuration: Configuration) -> Node {
    let mut node = node(id);
    assert!(node.identity.install(configuration));
    node
}

fn learned(end: Option<Next>) -> Option<u32> {
    match end {
        Some(Next::Done(Greeted::Member(Member { learned, .. }))) => learned.map(|told| told.epoch()),
        end => panic!("{end:?}"),
    }
}

fn retired(end: Option<Next>) -> u32 {
    match end {
        Some(Next::Retired(told)) => told.epoch(),
        end => panic!("{end:?}"),
    }
}

/// Two nodes that have met in the first configuration.
fn acquainted(a: u32, b: u32) -> (Node, Node) {
    let (mut a, mut b) = (node(a), node(b));
    met(connect(&mut a, &mut b).0);
    (a, b)
}

fn restart(node: &mut Node, nonce: u8) {
    node.identity.start(Nonce([nonce; 16]), false).unwrap();
}

#[test]
fn c1_whoever_lags_is_told_the_newer_configuration_whichever_side_connects() {
    let (mut a, mut b) = acquainted(1, 2);
    assert!(b.identity.install(stable(3, &[1, 2, 4])));
    let (end_a, end_b) = connect(&mut a, &mut b);
    assert_eq!((learned(end_a), learned(end_b)), (Some(3), None));
    restart(&mut a, 21);
    let (end_b, end_a) = connect(&mut b, &mut a);
    assert_eq!((learned(end_a), learned(end_b)), (Some(3), None));
    // From then on it has it.
    assert!(a.identity.install(stable(3, &[1, 2, 4])) && !a.identity.install(stable(3, &[1, 2, 4])));
    let (end_a, end_b) = connect(&mut a, &mut b);
    assert_eq!((learned(end_a), learned(end_b)), (None, None));
}

/// It was away while the others replaced it; and the disk that was replaced, months later, started as often as one likes.
#[test]
fn m1_whoever_comes_back_and_is_named_no_more_is_told_so_for_ever() {
    for starts in [0, 1, 100] {
        let (mut stale, mut other) = acquainted(3, 2);
        assert!(other.identity.install(stable(3, &[1, 2, 4])));
        for start in 0..starts {
            restart(&mut stale, 30 + start);
            restart(&mut other, 130 + start % 40);
        }
        if starts > 0 {
            // The other one remembers its last starts, and it is forgotten there.
            assert_eq!(other.identity.peers.directory_of(3), None);
        }
        let (end, refused) = connect(&mut stale, &mut other);
        if starts == 100 {
            // Nothing shows any more who says so: it is no verdict.
            assert!(failure(end).contains("no member any more"));
            continue;
        }
        assert_eq!(retired(end), 3);
        assert!(refusal(refused).contains("node 3 is no member with its data directory"));
        // The same if it is connected to by somebody who has not heard yet that it is gone.
        let (_, end) = connect(&mut other, &mut stale);
        assert_eq!(retired(end), 3);
    }
}

#[test]
fn m1_another_directory_of_a_member_is_no_member_and_a_copy_is_refused_as_ever() {
    let (mut a, mut b) = acquainted(1, 2);
    for node in [&mut a, &mut b] {
        assert!(node.identity.install(stable(4, &[1, 2, 3])));
    }
    met_again(&mut a, &mut b);
    let copy = a.identity.clone();
    restart(&mut a, 41);
    met_again(&mut a, &mut b);
    a.identity = copy;
    restart(&mut a, 42);
    assert!(matches!(connect(&mut a, &mut b).0, Some(Next::Fatal(_))));
    // An empty directory under the same id: this one has never met anybody, so it takes others at their word.
    let mut empty = node(1);
    empty.identity.disk = [77; 16];
    let (end, refused) = connect(&mut empty, &mut b);
    assert_eq!((retired(end), refusal(refused).contains("node 1 is no member")), (4, true));
}

fn met_again(a: &mut Node, b: &mut Node) {
    let (end_a, end_b) = connect(a, b);
    assert_eq!((learned(end_a), learned(end_b)), (None, None));
}

/// Somebody who says that he is this node.
fn stranger(id: u32) -> Node {
    let mut stranger = node(id);
    stranger.identity = Identity::new(id, vec![1, 2, 3], own(id), [9; 16]);
    restart(&mut stranger, 99);
    stranger
}

/// Whoever knows the id of a node's directory is believed by that node, so a stranger hears of none.
#[test]
fn m1_a_refusal_tells_no_ids_of_directories() {
    let mut other = with(2, stable(4, &[1, 2, 3]));
    let (mut acceptor, _) = Greeting::accept([2; 16]);
    let mut nobody = node(3);
    nobody.identity.disk = [99; 16];
    nobody.identity.install(Configuration { members: vec![member(3, Some([99; 16]))], ..stable(2, &[2]) });
    let (mut dialler, hello) = Greeting::dial(NodeId(2), LANE, [1; 16], nobody.host());
    let welcome = acceptor.handle_frame(hello.send.unwrap(), other.host()).send.unwrap();
    let introduction = dialler.handle_frame(welcome, nobody.host()).send.unwrap();
    let Next::Meet(said, challenges) = acceptor.handle_frame(introduction, other.host()).next else {
        panic!()
    };
    let met = other.identity.meet(&said, challenges).map(|_| ());
    let refused = acceptor.handle_met(met, other.host()).send.unwrap();
    let tells = |id: u32| refused.windows(16).any(|bytes| bytes == own(id));
    assert!(!(1..=3).any(tells));
    let hides = stable(4, &[1, 2, 3]).disguised().encoded();
    assert!(refused.windows(hides.len()).any(|bytes| bytes == hides));
}

/// What anybody could do who reaches a peer port.
#[test]
fn m1_a_stranger_retires_nobody() {
    let (mut a, b) = acquainted(1, 2);
    // He tells a configuration of his own, as somebody whom nobody has met, and as one who was met.
    let before = a.identity.clone();
    for id in [9, 2] {
        let mut stranger = stranger(id);
        stranger.identity.disk = if id == 2 { b.identity.disk } else { [66; 16] };
        let named = member(id, Some(stranger.identity.disk));
        stranger.identity.install(Configuration { members: vec![named], ..stable(50, &[2]) });
        let (end, refused) = connect(&mut stranger, &mut a);
        let why = if id == 9 { "nothing shows that it is one of this cluster" } else { "copy of its data" };
        assert!(refusal(refused).contains(why), "{end:?}");
        assert!(a.identity == before);
    }
    // Or he says in his hello that he has one, and tells none.
    let said = Introduction {
        configuration: None,
        ..stranger(9).identity.introduce(1, Challenges { dialler: [1; 16], acceptor: [2; 16] }, 0)
    };
    let met = a.identity.meet(&said, Challenges { dialler: [1; 16], acceptor: [2; 16] });
    assert_eq!(met, Err(PeerRefusal::NotNamed { node: 9, epoch: 1 }));
    assert!(a.identity == before);
    // He answers with a verdict. Nobody has met node 9, and node 1 has never heard of it.
    for claimed in [2, 9] {
        let mut refuses = stranger(claimed);
        refuses.identity.install(stable(50, &[2, 9]));
        let (_, end) = connect(&mut refuses, &mut a);
        assert!(!matches!(end, Some(Next::Retired(_) | Next::Fatal(_))), "{end:?}");
        let retired = Refused::Retired(stable(50, &[2, 9]).encoded(), vec![Tag([3; 16])]);
        for verdict in [retired, Refused::Impostor("go away".into(), vec![])] {
            let (mut acceptor, _) = Greeting::accept([2; 16]);
            let (_, hello) = Greeting::dial(NodeId(1), LANE, [1; 16], refuses.host());
            acceptor.handle_frame(hello.send.unwrap(), a.host());
            let mut said = BytesMut::new();
            verdict.put(&mut said);
            let end = acceptor.handle_frame(said.freeze(), a.host()).next;
            assert_eq!(failure(Some(end)), verdict.to_string());
        }
    }
    assert!(a.identity == before);
}

/// While it was away everybody else was replaced: nobody whom it knows is left, and those who are know its directory.
#[test]
fn m1_whoever_was_away_believes_those_who_know_its_directory() {
    let mut away = acquainted(1, 2).0;
    let mut new = with(5, stable(7, &[1, 4, 5]));
    let (end_new, end_away) = connect(&mut new, &mut away);
    assert_eq!((learned(end_away), learned(end_new)), (Some(7), None));
    assert_eq!(away.identity.peers.directory_of(5), Some(own(5)));
    assert!(away.identity.install(stable(7, &[1, 4, 5])));
    assert_eq!(away.identity.peers.directory_of(2), None, "who is no member is forgotten");
}

/// A newcomer may lose its directory until the members have taken note of it.
#[test]
fn m1_a_newcomer_is_met_with_the_directory_that_it_shows_and_with_no_other_after_that() {
    let next = || vec![member(1, Some(own(1))), member(2, Some(own(2))), member(4, None)];
    let mut one = with(1, awaiting(5, &[1, 2, 3], next()));
    let mut newcomer = with(4, awaiting(5, &[1, 2, 3], next()));
    assert!(!newcomer.identity.votes());
    met_again(&mut newcomer, &mut one);
    assert_eq!(one.identity.peers.directory_of(4), Some(own(4)));
    newcomer = with(4, awaiting(5, &[1, 2, 3], next()));
    newcomer.identity.disk = [44; 16];
    met_again(&mut one, &mut newcomer);
    assert_eq!(one.identity.peers.directory_of(4), Some([44; 16]));
    let mut joint = next();
    joint[2] = member(4, Some([44; 16]));
    let joint = Configuration { stage: Stage::Joint { next: joint, lost: vec![] }, ..stable(6, &[1, 2, 3]) };
    assert!(one.identity.install(joint));
    let (end_newcomer, end_one) = connect(&mut newcomer, &mut one);
    assert_eq!((learned(end_newcomer), learned(end_one)), (Some(6), None));
    let mut other = with(4, awaiting(5, &[1, 2, 3], next()));
    assert_eq!(retired(connect(&mut other, &mut one).0), 6);
}

#[test]
fn a_release_without_configurations_has_no_part_in_a_cluster_that_was_changed() {
    let (mut a, mut b) = acquainted(1, 2);
    a.own.versions = Versions::new(5, 5).unwrap();
    let version = |end| match end {
        Some(Next::Done(Greeted::Member(Member { version, .. }))) => version,
        end => panic!("{end:?}"),
    };
    let (end_a, end_b) = connect(&mut a, &mut b);
    assert_eq!((version(end_a), version(end_b)), (5, 5));
    assert!(b.identity.install(stable(2, &[1, 2, 3])));
    let (told, refused) = connect(&mut a, &mut b);
    assert!(refusal(refused).contains("it speaks version 5, and version 6 is needed"));
    assert!(failure(told).contains("the members have been changed (epoch 2)"));
    assert!(refusal(connect(&mut b, &mut a).0).contains("version 6 is needed"));
    assert_eq!(WITH_CONFIGURATIONS, 6);
}

#[test]
fn whoever_asks_to_join_is_told_who_is_awaited_at_its_address_and_nothing_else() {
    let host = with(2, awaiting(5, &[1, 2, 3], vec![member(1, Some(own(1))), member(4, None)]));
    let asked = |address: &str| {
        let (mut acceptor, _) = Greeting::accept([2; 16]);
        let step = acceptor.handle_frame(question(address), host.host());
        assert!(matches!(step.next, Next::Done(Greeted::Newcomer)), "{step:?}");
        let welcome = Welcome::get(step.send.clone().unwrap(), Versions::new(6, 6).unwrap()).unwrap();
        assert_eq!((welcome.about.epoch, welcome.about.member), (Some(5), None));
        (welcome.configuration, answer(step.send.unwrap(), address).unwrap())
    };
    // Whoever knows the id of a node's directory may be believed by that node.
    let known = host.identity.configuration().unwrap();
    let without = known.without_directories();
    assert!(without.everybody().iter().all(|member| member.directory.is_none()) && *known != without);
    assert_eq!(
        (without.text(), without.next_id, without.quorums()),
        (known.text(), known.next_id, known.quorums())
    );
    assert_eq!(asked("n4:1"), (Some(without.clone()), Answer::Awaited(NodeId(4), without.clone())));
    for other in ["n1:1", "n9:1", ""] {
        let (members, awaited) = ("1=n1:1,2=n2:1,3=n3:1".into(), "4=n4:1".into());
        let told = Answer::Nobody { epoch: 5, members, awaited };
        assert_eq!(asked(other), (Some(without.clone()), told));
    }
}
