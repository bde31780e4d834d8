//! Both sides of a handshake, frame by frame.

use super::*;
use crate::endpoint::Endpoint;
use crate::hello::{LaneKind, Limits, Versions};
use crate::nonce::Nonce;
use abd::Members;
use alloc::collections::VecDeque;
use alloc::vec;

#[path = "changed_tests.rs"]
mod changed;

const LANE: LaneId = LaneId { kind: LaneKind::Small, pair: 0 };

/// A node on a disk of its own.
struct Node {
    own: Own,
    identity: Identity,
    /// Whether its disk takes what it is to remember.
    writes: bool,
}

fn node(id: u32) -> Node {
    let members = Members::new((1..=3).map(NodeId).collect());
    let own = Own {
        id: NodeId(id),
        members,
        cluster: "1=a:1,2=b:1,3=c:1".into(),
        timestamps: "logical".into(),
        limits: Limits { key: 10, value: 20, frame: 1000 },
        loops: 2,
        endpoint: Endpoint::new("n", 1),
        versions: Versions::OURS,
    };
    let [disk, database] = [[u8::try_from(id).unwrap(); 16], [9; 16]];
    let mut identity = Identity::new(id, vec![1, 2, 3], disk, database);
    identity.start(Nonce(disk), false).unwrap();
    Node { own, identity, writes: true }
}

impl Node {
    fn host(&self) -> Host<'_> {
        Host { own: &self.own, identity: &self.identity, sequence: 7 }
    }

    /// Carries out what need not be sent; the end, if this is it.
    fn carry_out(
        &mut self,
        greeting: &mut Greeting,
        mut step: Step,
        out: &mut VecDeque<Bytes>,
    ) -> Option<Next> {
        loop {
            out.extend(step.send);
            match step.next {
                Next::Frame => return None,
                Next::Meet(introduction, challenges) => {
                    let mut met = self.identity.meet(&introduction, challenges).map(|_| ());
                    if met.is_ok() && !self.writes {
                        met = Err(PeerRefusal::CannotRemember("no space".into()));
                    }
                    step = greeting.handle_met(met, self.host());
                }
                end => return Some(end),
            }
        }
    }
}

/// How it ends for whoever has connected and for the other side; `None`: it is still waiting when the connection is closed.
fn connect(a: &mut Node, b: &mut Node) -> (Option<Next>, Option<Next>) {
    connect_on(LANE, a, b, |body| body)
}

fn connect_on(
    lane: LaneId,
    a: &mut Node,
    b: &mut Node,
    mut between: impl FnMut(Bytes) -> Bytes,
) -> (Option<Next>, Option<Next>) {
    let (mut to_a, mut to_b) = (VecDeque::new(), VecDeque::new());
    let (mut dialler, step) = Greeting::dial(b.own.id, lane, [1; 16], a.host());
    let mut end_a = a.carry_out(&mut dialler, step, &mut to_b);
    let (mut acceptor, step) = Greeting::accept([2; 16]);
    let mut end_b = b.carry_out(&mut acceptor, step, &mut to_a);
    loop {
        if end_b.is_none()
            && let Some(body) = to_b.pop_front()
        {
            let step = acceptor.handle_frame(body, b.host());
            end_b = b.carry_out(&mut acceptor, step, &mut to_a);
        } else if end_a.is_none()
            && let Some(body) = to_a.pop_front()
        {
            let step = dialler.handle_frame(between(body), a.host());
            end_a = a.carry_out(&mut dialler, step, &mut to_b);
        } else {
            return (end_a, end_b);
        }
    }
}

fn met(end: Option<Next>) -> (u32, u32) {
    match end {
        Some(Next::Done(Greeted::Member(Member { id, lane, about, boot, version, learned }))) => {
            assert_eq!((version, learned), (6, None));
            assert_eq!((about.member, lane, about.limits.value), (Some(id.0), LANE, 20));
            assert_eq!(about.endpoint, Endpoint::new("n", 1));
            (id.0, boot)
        }
        end => panic!("{end:?}"),
    }
}

fn refusal(end: Option<Next>) -> String {
    match end {
        Some(Next::Refused { why, .. }) => why,
        end => panic!("{end:?}"),
    }
}

/// What the other side was told, as far as it is no verdict on it.
fn failure(end: Option<Next>) -> String {
    match end {
        Some(Next::Failed(why)) => why.to_string(),
        end => panic!("{end:?}"),
    }
}

#[test]
fn m1_two_members_meet_and_each_knows_that_the_other_has() {
    let (mut a, mut b) = (node(1), node(2));
    let (end_a, end_b) = connect(&mut a, &mut b);
    assert_eq!((met(end_a), met(end_b)), ((2, 1), (1, 1)));
    assert_eq!(a.identity.peers.boot_and_batches(2), Some((1, 7)));
    assert_eq!(b.identity.peers.boot_and_batches(1), Some((1, 7)));
}

#[test]
fn m1_a_verdict_of_somebody_who_was_met_ends_a_node() {
    let (mut a, mut b) = (node(1), node(2));
    connect(&mut a, &mut b);
    // It comes back on a copy from before its last start.
    let copy = a.identity.clone();
    a.identity.start(Nonce([5; 16]), false).unwrap();
    connect(&mut a, &mut b);
    a.identity = copy;
    let (end_a, end_b) = connect(&mut a, &mut b);
    assert!(refusal(end_b).contains("older copy of its data directory"));
    let Some(Next::Fatal(why)) = end_a else { panic!("{end_a:?}") };
    assert!(why.starts_with("node 2 refuses this node: node 1 came with an older copy"), "{why}");
}

#[test]
fn m1_the_trouble_of_another_node_is_no_verdict() {
    for troubled in [1, 2] {
        let (mut a, mut b) = (node(1), node(2));
        [&mut a, &mut b][troubled - 1].writes = false;
        let (end_a, end_b) = connect(&mut a, &mut b);
        let (told, refused) = if troubled == 1 { (end_b, end_a) } else { (end_a, end_b) };
        assert_eq!(refusal(refused), "this node cannot write to its own disk now: no space");
        assert!(failure(told).contains("cannot write to its own disk"));
    }
}

#[test]
fn v1_a_verdict_of_a_stranger_ends_nobody() {
    let (mut a, mut b) = (node(1), node(2));
    connect(&mut a, &mut b);
    for tags in [vec![], vec![crate::nonce::Tag([3; 16])]] {
        let mut frames = 0;
        let (end, _) = connect_on(LANE, &mut a, &mut b, |body| {
            frames += 1;
            let mut forged = BytesMut::new();
            Refused::Impostor("go away\n".into(), tags.clone()).put(&mut forged);
            if frames == 2 { forged.freeze() } else { body }
        });
        assert_eq!(failure(end), "it refuses this node: go away\u{fffd}");
    }
}

#[test]
fn who_is_in_another_cluster_or_claims_a_name_that_is_taken_stays_outside() {
    let changed = |change: &dyn Fn(&mut Own)| {
        let (mut a, mut b) = (node(1), node(2));
        change(&mut a.own);
        let (told, refused) = connect(&mut a, &mut b);
        let why = refusal(refused);
        assert_eq!(failure(told), format!("it refuses to talk to this node: {why}"));
        why
    };
    for cluster in ["1=a:1,2=b:1", "1=a:1,2=b:1,4=c:1", "1=a:1,2=b:1,2=c:1,3=c:1", "", "1,2,3"] {
        let why = changed(&|own| own.cluster = cluster.into());
        assert!(why.contains("the ids must be the same"), "{why}");
    }
    assert!(changed(&|own| own.timestamps = "truetime".into()).contains("--timestamps is truetime"));
    assert!(changed(&|own| own.id = NodeId(2)).contains("two nodes have one id"));
    assert!(changed(&|own| own.id = NodeId(9)).contains("node 9 is not in --cluster"));
    let (mut a, mut b) = (node(1), node(2));
    let (_, refused) = connect_on(LaneId { pair: 2, ..LANE }, &mut a, &mut b, |body| body);
    assert!(refusal(refused).contains("which lane it opens"));
    // Addresses may differ.
    a.own.cluster = "3=x:1,1=y:1,2=z:1".into();
    met(connect(&mut a, &mut b).0);
}

#[test]
fn who_answers_at_the_address_of_another_is_not_taken_for_that() {
    let (mut a, mut b) = (node(1), node(3));
    let (mut dialler, hello) = Greeting::dial(NodeId(2), LANE, [1; 16], a.host());
    let (mut acceptor, _) = Greeting::accept([2; 16]);
    let welcome = acceptor.handle_frame(hello.send.unwrap(), b.host()).send.unwrap();
    let step = dialler.handle_frame(welcome, a.host());
    assert!(refusal(Some(step.next)).contains("that of node 2, which it is not"));
    // In its introduction, too.
    (a, b) = (node(1), node(2));
    b.identity.node = 3;
    assert!(refusal(connect(&mut a, &mut b).0).contains("it says that it is node 3"));
}

#[test]
fn a_client_library_is_not_told_which_member_answers() {
    let host = node(2);
    let mut out = BytesMut::new();
    let about = About { member: None, ..node(1).host().about([0; 16]) };
    let hello =
        Hello { versions: Versions::OURS, service: Service::Coordinator, lane: None, about, address: None };
    hello.put(&mut out);
    let (mut acceptor, _) = Greeting::accept([2; 16]);
    let step = acceptor.handle_frame(out.freeze(), host.host());
    assert!(matches!(step.next, Next::Done(Greeted::Caller)));
    let welcome = Welcome::get(step.send.unwrap(), Versions::OURS).unwrap();
    assert_eq!((welcome.about.member, welcome.about.challenge), (None, [2; 16]));
    assert_eq!(welcome.about.endpoint, None);
}

#[test]
fn releases_without_a_common_version_are_told_so_in_their_own_words() {
    let (mut a, mut b) = (node(1), node(2));
    a.own.versions = Versions::new(8, 9).unwrap();
    let (told, refused) = connect(&mut a, &mut b);
    assert!(refusal(refused).contains("it speaks versions 8 to 9, this node versions 5 to 6"));
    assert!(failure(told).contains("it speaks versions 5 to 6, this node versions 8 to 9"));
    // What is no greeting is not answered at all.
    let (mut acceptor, _) = Greeting::accept([2; 16]);
    let step = acceptor.handle_frame("GET / HTTP/1.1".into(), b.host());
    assert!(step.send.is_none() && matches!(step.next, Next::Failed(HelloError::Stranger)));
}
