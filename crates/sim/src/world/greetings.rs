//! Handshakes: the node's own state machine at either side. Each of its frames arrives at once.

use super::directories::random;
use super::{Node, World};
use crate::checks::{strangers, verdicts};
use crate::plan::Plan;
use crate::trace::What;
use ::node::directory::Identity;
use ::node::hello::{HelloError, LaneId, LaneKind, Limits, Refused, Versions};
use ::node::limits::FRAME_BYTES_MAX;
use ::node::nonce::{Nonce, Tag};
use ::node::peer::greeting::{Greeted, Greeting, Host, Next, Own, Step};
use abd::{Members, NodeId};
use bytes::{Bytes, BytesMut};

/// By so much a stranger's boot count is ahead of the real one.
const AHEAD: u32 = 3;
const LANE: LaneId = LaneId { kind: LaneKind::Small, pair: 0 };

/// What a node says of itself.
pub(super) fn own(id: u32, plan: &Plan) -> Own {
    let members = plan.nodes;
    let value = plan.value_limits.get(id as usize - 1).copied().unwrap_or(u64::MAX);
    let cluster: Vec<String> = (1..=members).map(|id| format!("{id}=n{id}:1")).collect();
    Own {
        id: NodeId(id),
        members: Members::new((1..=members).map(NodeId).collect()),
        cluster: cluster.join(","),
        timestamps: "the same".into(),
        limits: Limits { key: u64::MAX, value, frame: FRAME_BYTES_MAX as u64 },
        loops: 1,
        endpoint: None,
        versions: Versions::OURS,
    }
}

impl Node {
    /// Who greets.
    fn host(&self) -> Host<'_> {
        Host { own: &self.own, identity: &self.identity, sequence: self.sequence() }
    }
}

impl World {
    /// Two processes greet each other, the first as the one that has connected; whether each has met the other.
    pub(super) fn greet(&mut self, dialler: u32, acceptor: u32, lane: LaneId) -> bool {
        let sides = [dialler, acceptor];
        let [ours, theirs] = [(); 2].map(|()| random(&mut self.rng));
        let host = self.nodes[dialler as usize].host();
        let (dialling, mut step) = Greeting::dial(NodeId(acceptor + 1), lane, ours, host);
        let mut greetings = [dialling, Greeting::accept(theirs).0];
        let mut met = [false; 2];
        let mut turn = 0;
        loop {
            let (said, has_met) = self.take_step(sides[turn], &mut greetings[turn], step);
            met[turn] |= has_met;
            let Some(body) = said else { return met == [true; 2] };
            turn = 1 - turn;
            step = greetings[turn].handle_frame(body, self.nodes[sides[turn] as usize].host());
        }
    }

    /// Does what a handshake wants; what is sent, and whether both sides have met now.
    fn take_step(&mut self, node: u32, greeting: &mut Greeting, step: Step) -> (Option<Bytes>, bool) {
        let Step { send, next } = step;
        match next {
            Next::Meet(introduction, challenges) => {
                let believing = self.lies.believes_strangers;
                let state = &mut self.nodes[node as usize];
                let met = state.meet(&introduction, challenges, believing);
                let step = greeting.handle_met(met, state.host());
                return self.take_step(node, greeting, step);
            }
            Next::Done(Greeted::Member(member)) => {
                if let Some(learned) = member.learned {
                    self.learn(node, learned);
                }
                self.confirmed_by(node, member.id);
                return (send, true);
            }
            Next::Fatal(why) => self.believe(node, why),
            Next::Failed(HelloError::Refused(Refused::Impostor(why, _))) if self.lies.believes_verdicts => {
                self.believe(node, why);
            }
            Next::Failed(HelloError::Refused(Refused::Mismatch(why))) if self.lies.believes_trouble => {
                self.believe(node, why);
            }
            Next::Frame
            | Next::Done(Greeted::Caller | Greeted::Newcomer)
            | Next::Refused { .. }
            | Next::Failed(_) => {}
            Next::Retired(configuration) => self.retire(node, configuration.epoch()),
            Next::Renamed { directory, .. } => self.nodes[node as usize].identity.show(directory),
        }
        (send, false)
    }

    /// A member has remembered this node's directory (rule M1).
    fn confirmed_by(&mut self, node: u32, peer: NodeId) {
        let state = &mut self.nodes[node as usize];
        // What cannot be written down is said again by the next one who meets it.
        let _ = state.write_identity(|identity| _ = identity.was_met_by(peer.0));
        let Some(process) = &state.process else { return };
        let is_first = process.desk.shard.borrow().configuration().is_first();
        if process.desk.admission.borrow_mut().confirmed_by(peer) && is_first && !state.identity.is_gone() {
            if state.write_identity(|identity| identity.admitted = true).is_err() {
                return self.crash(node, false, "it cannot write its identity");
            }
            let Some(process) = &self.nodes[node as usize].process else { return };
            process.desk.admission.borrow_mut().admit();
        }
    }

    /// A node is told that it must not go on, and believes it.
    fn believe(&mut self, node: u32, why: String) {
        let is_whole = !self.nodes[node as usize].meddled && !self.lies.trusts_directory();
        let judged = verdicts::check(node, is_whole, &why);
        self.lose(node, why);
        self.convict(judged);
    }

    /// Somebody who knows all about a member but its nonces greets a node as that, with a boot count far ahead. Then he comes
    /// again and says that the node must not go on.
    pub(crate) fn greet_as_stranger(&mut self, node: u32, claimed: u32) {
        let real = &self.nodes[claimed as usize];
        let (own, disk, boot) = (real.own.clone(), real.identity.disk, real.identity.boot);
        let knows = self.nodes[node as usize].identity.peers.directory_of(claimed + 1) == Some(disk);
        if self.nodes[node as usize].process.is_none() || !knows {
            // Whoever was never met is taken at his word; as he is by whom he has not met since he has another directory.
            return;
        }
        self.trace.record(self.now, || What::Stranger { node, claimed });
        let mut stranger = Identity::new(claimed + 1, Vec::new(), disk, disk);
        for _ in 0..boot + AHEAD {
            assert!(stranger.start(Nonce(random(&mut self.rng)), false).is_ok(), "there are numbers left");
        }
        let mut verdict = BytesMut::new();
        let forged = Tag(random(&mut self.rng));
        Refused::Impostor("a stranger says so".into(), vec![forged]).put(&mut verdict);
        let before = self.nodes[node as usize].identity.peers.clone();
        for verdict in [None, Some(verdict.freeze())] {
            let host = Host { own: &own, identity: &stranger, sequence: u64::MAX };
            let [ours, theirs] = [(); 2].map(|()| random(&mut self.rng));
            let (mut stranger, hello) = Greeting::dial(NodeId(node + 1), LANE, theirs, host);
            let (mut greeting, _) = Greeting::accept(ours);
            let mut said = hello.send;
            for _ in 0..2 {
                let Some(body) = said else { break };
                let step = greeting.handle_frame(body, self.nodes[node as usize].host());
                let (answer, _) = self.take_step(node, &mut greeting, step);
                said = answer.and_then(|answer| stranger.handle_frame(answer, host).send);
                if verdict.is_some() {
                    said.clone_from(&verdict);
                }
            }
        }
        let unchanged = strangers::check(node, claimed, &before, &self.nodes[node as usize].identity.peers);
        self.convict(unchanged);
    }
}
