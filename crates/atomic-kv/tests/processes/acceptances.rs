//! Rules P2', P5 and P7 across a restart of all nodes: what was promised and accepted counts as before. A member that a test plays
//! begins updates, and never ends them.

use crate::support::client::Response;
use crate::support::member::{Lanes, Member};
use crate::support::{Cluster, Node};
use abd::{Ballot, Base, Content, Deadline, Proposal, Reply, Request, Version};
use bytes::Bytes;

/// Two nodes, and a third one that is played: both dial it.
pub(crate) fn last_is_played() -> (Cluster, Member) {
    let mut cluster = Cluster::new(3, &[]);
    let member = Member::play(&cluster.nodes[2]);
    start(&mut cluster);
    (cluster, member)
}

/// Starts the two, and waits until they are ready.
pub(crate) fn start(cluster: &mut Cluster) {
    cluster.nodes[..2].iter_mut().for_each(Node::start);
    cluster.nodes[..2].iter().for_each(Node::wait_ready);
}

/// kill -9 of the two.
pub(crate) fn kill(cluster: &mut Cluster) {
    cluster.nodes[..2].iter_mut().for_each(Node::kill);
}

fn ballot(round: u64) -> Ballot {
    Ballot { epoch: 1, round, node: 3, boot: 1 }
}

/// Asks for a promise at whatever is the newest version; that version.
#[track_caller]
pub(crate) fn promised(lanes: &mut Lanes, key: &'static str, round: u64) -> Version {
    let request =
        Request::Prepare { key: Bytes::from(key), ballot: ballot(round), base: None, have: Version::MIN };
    match lanes.small.call(&request) {
        Reply::Promise(promise) => promise.newest.version,
        other => panic!("no promise: {other:?}"),
    }
}

/// Proposes a value as the successor of a version that the node has.
pub(crate) fn propose(
    lanes: &mut Lanes,
    key: &'static str,
    round: u64,
    base: Version,
    value: &'static str,
) -> Reply {
    let ballot = ballot(round);
    let proposal = Proposal {
        update: ballot.update(),
        content: Content::Value(Bytes::from(value)),
        deadline: Deadline::NONE,
    };
    let (base, proposal) = (Box::new(Base::Named(base)), Box::new(proposal));
    lanes.small.call(&Request::Accept { key: Bytes::from(key), ballot, base, proposal })
}

#[test]
fn what_was_accepted_and_not_published_is_finished_after_a_restart_of_all() {
    let (mut cluster, member) = last_is_played();
    assert_eq!(cluster.nodes[0].connect().call("SET chosen 6"), Response::ok());
    let [mut first, mut second] = member.accepted([1, 2]);
    for key in ["chosen", "begun"] {
        let base = promised(&mut first, key, 10);
        assert_eq!(promised(&mut second, key, 10), base, "{key}");
        assert_eq!(propose(&mut first, key, 10, base, "7"), Reply::Accepted, "{key}");
        // A majority has chosen it, or one node alone has accepted it.
        if key == "chosen" {
            assert_eq!(propose(&mut second, key, 10, base, "7"), Reply::Accepted, "{key}");
        }
    }
    kill(&mut cluster);
    drop(member);
    start(&mut cluster);
    // The node that has accepted nothing asks the other one. Without it there is no majority.
    let mut client = cluster.nodes[1].connect();
    for key in ["chosen", "begun"] {
        assert_eq!(client.call(&format!("INCR {key}")), Response::Integer(8), "{key}");
        assert_eq!(cluster.nodes[0].connect().call(&format!("GET {key}")), Response::bulk("8"), "{key}");
    }
}

#[test]
fn p5_what_was_promised_is_kept_over_a_restart() {
    let (mut cluster, member) = last_is_played();
    for restarted in [false, true] {
        if restarted {
            kill(&mut cluster);
            member.forget_accepted();
            start(&mut cluster);
        }
        for mut lanes in member.accepted([1, 2]) {
            if !restarted {
                assert_eq!(promised(&mut lanes, "k", 50), Version::MIN);
            }
            let told = propose(&mut lanes, "k", 40, Version::MIN, "lower");
            assert!(matches!(&told, Reply::Nack { promised, .. } if *promised >= ballot(50)), "{told:?}");
        }
    }
    // Whoever begins above it is served.
    assert_eq!(cluster.nodes[0].connect().call("INCR k"), Response::Integer(1));
}
