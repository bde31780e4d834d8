use super::*;
use alloc::format;
use alloc::vec;
use bytes::Bytes;

fn first(count: u32) -> Configuration {
    let addresses = (1..=count).map(|id| (NodeId(id), format!("host{id}:1")));
    Configuration::first(addresses, TimestampMode::Logical)
}

/// Of the second epoch: all directories are known.
fn known(count: u32) -> Configuration {
    let mut configuration = first(count).successor().unwrap();
    for member in &mut configuration.members {
        member.directory = Some([u8::try_from(member.id.0).unwrap(); 16]);
    }
    configuration.level = LEVEL;
    configuration
}

fn newcomer(id: u32, directory: Option<u8>) -> Member {
    Member { id: NodeId(id), directory: directory.map(|byte| [byte; 16]), address: format!("host{id}:1") }
}

/// Node 3 of three is replaced by node 4, stage by stage.
fn replacement() -> [Configuration; 4] {
    let stable = known(3);
    let mut awaiting = stable.successor().unwrap();
    awaiting.next_id = 5;
    let kept = stable.members[..2].to_vec();
    awaiting.stage = Stage::Awaiting([kept.clone(), vec![newcomer(4, None)]].concat());
    let mut joint = awaiting.successor().unwrap();
    joint.stage = Stage::Joint { next: [kept.clone(), vec![newcomer(4, Some(4))]].concat(), lost: vec![] };
    let mut switched = joint.successor().unwrap();
    (switched.members, switched.stage) = ([kept, vec![newcomer(4, Some(4))]].concat(), Stage::Stable);
    [stable, awaiting, joint, switched]
}

#[test]
fn configurations_come_back_from_their_bytes() {
    for configuration in replacement().into_iter().chain([first(1), first(7)]) {
        let bytes = configuration.encoded();
        assert_eq!(Configuration::decode(&bytes), Ok(configuration));
        for length in 0..bytes.len() {
            assert!(Configuration::decode(&bytes.slice(..length)).is_err(), "cut at {length}");
        }
        // Bytes of a peer never end a node, whatever they are.
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0xff;
            let _ = Configuration::decode(&Bytes::from(damaged));
        }
    }
}

/// C2 (docs/PROTOCOL.md): a plain configuration is followed by any joint one, a joint one by one of two.
#[test]
fn c2_a_change_goes_its_way_or_back() {
    let [stable, awaiting, joint, switched] = replacement();
    for pair in [&stable, &awaiting, &joint, &switched].windows(2) {
        assert_eq!(pair[0].check_successor(pair[1]), Ok(()), "{pair:?}");
        assert!(pair[1].check_successor(pair[0]).is_err());
    }
    for from in [&awaiting, &joint] {
        let mut back = from.successor().unwrap();
        back.stage = Stage::Stable;
        assert_eq!(from.check_successor(&back), Ok(()));
        assert_eq!(back.members, stable.members);
    }
    let mut other = joint.successor().unwrap();
    (other.members, other.stage) = (vec![newcomer(9, Some(9))], Stage::Stable);
    other.next_id = 10;
    assert_eq!(joint.check_successor(&other), Err(NotASuccessor::Members));
}

#[test]
fn ids_are_never_used_again_and_nobody_votes_without_a_directory() {
    let [stable, awaiting, joint, switched] = replacement();
    let mut again = switched.successor().unwrap();
    again.stage = Stage::Awaiting(vec![newcomer(1, Some(1)), newcomer(3, None)]);
    assert_eq!(switched.check_successor(&again), Err(NotASuccessor::Members));
    let mut reused = switched.successor().unwrap();
    reused.next_id = 4;
    assert_eq!(switched.check_successor(&reused), Err(NotASuccessor::Ids));
    let mut early = awaiting.successor().unwrap();
    let Some(next) = awaiting.next() else { panic!("it awaits somebody") };
    early.stage = Stage::Joint { next: next.to_vec(), lost: vec![] };
    assert!(matches!(awaiting.check_successor(&early), Err(NotASuccessor::Unfit(_))));
    assert!(!awaiting.is_voter(NodeId(4), [4; 16]) && awaiting.may_connect(NodeId(4), [4; 16]));
    assert!(joint.is_voter(NodeId(4), [4; 16]) && !joint.may_connect(NodeId(4), [5; 16]));
    assert!(joint.is_voter(NodeId(3), [3; 16]) && !switched.may_connect(NodeId(3), [3; 16]));
    assert!(!stable.is_voter(NodeId(3), [4; 16]) && first(3).is_voter(NodeId(3), [4; 16]));
}

/// A node that heals has one id and two directories, and both vote; unless the old one is gone.
#[test]
fn whoever_heals_votes_as_two_pairs() {
    let stable = known(3);
    let mut healing = stable.successor().unwrap();
    let mut next = stable.members.clone();
    next[2].directory = Some([33; 16]);
    healing.stage = Stage::Joint { next: next.clone(), lost: vec![] };
    assert_eq!(stable.check_successor(&healing), Ok(()));
    assert!(healing.is_voter(NodeId(3), [3; 16]) && healing.is_voter(NodeId(3), [33; 16]));
    healing.stage = Stage::Joint { next, lost: vec![NodeId(3)] };
    assert!(!healing.is_voter(NodeId(3), [3; 16]) && healing.is_voter(NodeId(3), [33; 16]));
    let quorums = healing.quorums();
    let set = |ids: &[u32]| ids.iter().copied().map(NodeId).collect();
    assert!(quorums.is_quorum(set(&[1, 2])) && !quorums.is_quorum(set(&[1, 3])));
}
