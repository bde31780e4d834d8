use super::*;
use crate::directory::Identity;
use crate::hello::Versions;
use crate::introduction::ANCESTRY_MAX;
use alloc::vec;
use bytes::BytesMut;

fn random(number: u64) -> [u8; 16] {
    // No two are equal, and none is zero.
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Every handshake draws anew.
struct Handshakes(u64);

impl Handshakes {
    fn next(&mut self) -> Challenges {
        self.0 += 2;
        Challenges { dialler: random(self.0), acceptor: random(self.0 + 1) }
    }

    /// One connects to the other; what each makes of the other.
    fn between(
        &mut self,
        dialler: &mut Identity,
        acceptor: &mut Identity,
        batches: u64,
    ) -> Result<(), PeerRefusal> {
        let challenges = self.next();
        let met = sent(&dialler.introduce(acceptor.node, challenges, batches));
        acceptor.meet(&met, challenges)?;
        let back = sent(&acceptor.introduce(dialler.node, challenges, 0));
        dialler.meet(&back, challenges)?;
        dialler.was_met_by(acceptor.node);
        acceptor.was_met_by(dialler.node);
        Ok(())
    }
}

/// As it comes out on the other side.
fn sent(introduction: &Introduction) -> Introduction {
    let mut body = BytesMut::new();
    introduction.put(&mut body);
    let received = Introduction::get(body.freeze(), Versions::OURS).unwrap();
    assert_eq!(&received, introduction);
    received
}

fn node(id: u32) -> Identity {
    Identity::new(id, vec![1, 2, 3], random(u64::from(id)), random(100))
}

fn start(identity: &mut Identity, seed: u64) {
    identity.start(Nonce(random(1 << 40 | u64::from(identity.node) << 20 | seed)), false).unwrap();
}

fn pair() -> (Identity, Identity, Handshakes) {
    let (mut one, mut two) = (node(1), node(2));
    start(&mut one, 1);
    start(&mut two, 1);
    let mut handshakes = Handshakes(1 << 50);
    handshakes.between(&mut one, &mut two, 100).unwrap();
    (one, two, handshakes)
}

#[test]
fn m1_members_know_each_other_again_whoever_connects_and_however_often_they_start() {
    let (mut one, mut two, mut handshakes) = pair();
    for round in 2..10 {
        start(&mut one, round);
        if round % 3 == 0 {
            start(&mut two, round);
        }
        handshakes.between(&mut one, &mut two, 100).unwrap();
        handshakes.between(&mut two, &mut one, 0).unwrap();
    }
    // More often than the directory remembers: it remembers in which start it was met.
    for round in 10..200 {
        start(&mut one, round);
    }
    assert_eq!(one.introduce(2, handshakes.next(), 0).proofs.len(), ANCESTRY_MAX + 2);
    handshakes.between(&mut one, &mut two, 100).unwrap();
}

/// The nonce is told at the first meeting and never again.
#[test]
fn v1_nothing_that_is_sent_later_shows_a_nonce() {
    let (mut one, mut two, mut handshakes) = pair();
    start(&mut one, 2);
    let challenges = handshakes.next();
    let shown = |introduction: &Introduction, of: &[u64], node: u32| {
        let mut body = BytesMut::new();
        introduction.put(&mut body);
        of.iter().any(|seed| {
            let nonce = random(1 << 40 | u64::from(node) << 20 | seed);
            body.windows(16).any(|window| window == nonce)
        })
    };
    let first = one.introduce(3, challenges, 0);
    assert!(shown(&first, &[2], 1), "to somebody whom it has never met");
    let met = one.introduce(2, challenges, 100);
    assert!(!shown(&met, &[1, 2], 1));
    two.meet(&met, challenges).unwrap();
    assert!(!shown(&two.introduce(1, challenges, 0), &[1], 2));
}

/// What two anonymous connections could do: read who node 1 is, and greet node 2 as that with a boot count far ahead.
#[test]
fn v1_a_higher_boot_count_is_not_believed_without_a_proof() {
    let (mut one, mut two, mut handshakes) = pair();
    let before = two.clone();
    let challenges = handshakes.next();
    let real = one.introduce(2, challenges, 100);
    let stranger = |boot: u32, change: &dyn Fn(&mut Introduction)| {
        let mut said = Introduction { boot, ..real.clone() };
        change(&mut said);
        said
    };
    let known = real.boot;
    for (said, final_for_him) in [
        // With what he has overheard, bound to another boot count.
        (stranger(known + 1000, &|_| {}), true),
        (stranger(known + 1000, &|said| said.proofs.clear()), false),
        (stranger(known + 1000, &|said| said.proofs.iter_mut().for_each(|proof| proof.boot += 1000)), false),
        (stranger(known, &|said| said.sequence += 1), true),
        (stranger(known, &|said| said.present = Present::Clear(Nonce([5; 16]))), true),
        (stranger(known + 1, &|said| said.present = Present::Clear(Nonce([5; 16]))), true),
    ] {
        let refused = two.meet(&said, handshakes.next()).unwrap_err();
        assert_eq!(refused.is_final(), final_for_him, "{refused}");
        assert!(two == before, "a stranger has changed what is remembered");
    }
    // Nor what was said in another handshake.
    assert_eq!(two.meet(&real, handshakes.next()), Err(PeerRefusal::Copy(1, known)));
    assert_eq!(two.meet(&real, challenges), Ok(false));
    // The member itself is met as ever.
    start(&mut one, 2);
    handshakes.between(&mut one, &mut two, 100).unwrap();
}

#[test]
fn m1_another_or_an_older_directory_is_refused() {
    let (mut one, mut two, mut handshakes) = pair();
    let (older, twin) = (one.clone(), one.clone());
    start(&mut one, 2);
    handshakes.between(&mut one, &mut two, 150).unwrap();
    let mut refused = |mut said: Identity, seed: Option<u64>, batches| {
        if let Some(seed) = seed {
            start(&mut said, seed);
        }
        let refused = handshakes.between(&mut said, &mut two, batches).unwrap_err();
        assert!(refused.is_final(), "{refused}");
        refused
    };
    let empty = Identity::new(1, vec![1, 2, 3], random(50), random(100));
    assert_eq!(refused(empty, Some(7), 0), PeerRefusal::OtherDisk(1));
    assert!(matches!(refused(older, None, 200), PeerRefusal::RolledBack { what: "boot count", .. }));
    // It counts to the same boot, in another run; and past it.
    assert_eq!(refused(twin.clone(), Some(8), 200), PeerRefusal::Copy(1, 2));
    let mut further = twin;
    start(&mut further, 8);
    assert_eq!(refused(further, Some(9), 200), PeerRefusal::Copy(1, 2));
    let before = refused(one.clone(), Some(3), 149);
    assert!(matches!(before, PeerRefusal::RolledBack { what: "durable batches", now: 149, known: 150, .. }));
    handshakes.between(&mut one, &mut two, 150).unwrap();
}

#[test]
fn an_older_greeting_of_the_same_run_is_no_rollback() {
    let (mut one, mut two, mut handshakes) = pair();
    assert!(two.peers.observe(1, 200));
    handshakes.between(&mut one, &mut two, 100).unwrap();
    // It did not lower what is remembered, nor does an older count.
    assert!(!two.peers.observe(1, 150));
    start(&mut one, 2);
    let older = handshakes.between(&mut one, &mut two, 150);
    assert!(matches!(older, Err(PeerRefusal::RolledBack { now: 150, known: 200, .. })), "{older:?}");
}

/// One side may have written down that it met the other when the other could not any more.
#[test]
fn a_first_meeting_of_which_one_side_knows_nothing_is_made_up_for() {
    let (mut one, mut two, mut handshakes) = pair();
    let mut forgetful = node(2);
    start(&mut forgetful, 1);
    // Node 1 sends it nothing in the clear, as it has met it, and yet it is understood.
    let challenges = handshakes.next();
    let said = one.introduce(2, challenges, 100);
    assert!(matches!(said.present, Present::Sealed(..)));
    assert_eq!(forgetful.meet(&said, challenges), Ok(true));
    start(&mut one, 2);
    handshakes.between(&mut one, &mut forgetful, 100).unwrap();
    // Somebody who is not whom it has met understands nothing.
    let mut other = node(2);
    start(&mut other, 5);
    let refused = other.meet(&one.introduce(2, challenges, 100), challenges).unwrap_err();
    assert!(refused == PeerRefusal::Unproven(1) && !refused.is_final());
    start(&mut two, 2);
}

/// Another node's word about this one counts only if it is that node's.
#[test]
fn a_verdict_is_believed_from_whom_it_has_met_and_from_whom_it_never_met() {
    let (one, mut two, mut handshakes) = pair();
    let challenges = handshakes.next();
    start(&mut two, 2);
    let tags = two.vouch(1, challenges, "a copy");
    assert!(one.believes(2, challenges, "a copy", &tags));
    assert!(!one.believes(2, challenges, "another copy", &tags));
    assert!(!one.believes(2, handshakes.next(), "a copy", &tags));
    assert!(!one.believes(2, challenges, "a copy", &[]));
    let mut stranger = node(2);
    start(&mut stranger, 1 << 10);
    assert!(!one.believes(2, challenges, "a copy", &stranger.vouch(1, challenges, "a copy")));
    assert!(one.believes(3, challenges, "another directory", &[]), "nobody has met node 3");
}

#[test]
fn counts_of_nobody_and_counts_that_no_file_could_hold() {
    let (_, mut two, _) = pair();
    assert!(!two.peers.observe(3, 5), "nobody has met it");
    assert!(two.peers.observe(1, u64::MAX));
    assert_eq!(two.peers.boot_and_batches(1), Some((1, i64::MAX.unsigned_abs())));
}
