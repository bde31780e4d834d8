//! The handshake of a peer connection at either side, as a state machine: frames come in, [`Step`]s go out. Its messages are in
//! [`crate::hello`], how a member shows that it is one in [`crate::introduction`].
//!
//! What whoever drives it must keep: a member is remembered durably before [`Greeting::handle_met`] says so (M1), and a node that
//! is told [`Next::Fatal`] does not go on. What is drawn for a handshake is drawn for it alone, and nobody can guess it.

use crate::acquaintances::PeerRefusal;
use crate::directory::Identity;
use crate::endpoint::Endpoint;
use crate::hello::{
    About, Hello, HelloError, LaneId, Limits, Met, Refused, Service, Versions, Welcome, harmless,
};
use crate::introduction::Introduction;
use crate::lanes::pair_count;
use crate::nonce::Challenges;
use abd::{Members, NodeId};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// What a node says of itself to everybody, and what it wants to have in common with members.
#[derive(Clone, Debug)]
pub struct Own {
    /// Which member it is.
    pub id: NodeId,
    /// The members of its cluster.
    pub members: Members,
    /// The same with their addresses, as in [`About::cluster`].
    pub cluster: String,
    /// How timestamps are chosen.
    pub timestamps: String,
    /// What it lets others send.
    pub limits: Limits,
    /// How many event loops it has.
    pub loops: u16,
    /// Where clients reach it.
    pub endpoint: Option<Endpoint>,
    /// What it speaks.
    pub versions: Versions,
}

/// Who greets, at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// What does not change.
    pub own: &'a Own,
    /// Who it is, and whom it has met.
    pub identity: &'a Identity,
    /// Its last durable batch.
    pub sequence: u64,
}

/// What is to be done.
#[derive(Debug)]
pub struct Step {
    /// The body of a frame, to be sent first.
    pub send: Option<Bytes>,
    /// And then.
    pub next: Next,
}

/// How a handshake goes on.
#[derive(Debug)]
pub enum Next {
    /// With the other side's next frame.
    Frame,
    /// This member is to be met: what is new of it is to be remembered durably.
    Meet(Introduction, Challenges),
    /// It is over.
    Done(Greeted),
    /// This side does not go on, and what is sent says so. The other side may be gone.
    Refused {
        /// Who the other side says that it is.
        peer: Option<u32>,
        /// In a word for the log.
        why: String,
    },
    /// The connection is to be closed: what came cannot be taken, or the other side does not go on.
    Failed(HelloError),
    /// This node must not go on: a member says so who can be believed (M1).
    Fatal(String),
}

/// Whom a connection has turned out to be with.
#[derive(Debug)]
pub enum Greeted {
    /// A member's lane. Each has durably remembered the other's directory.
    Member(Member),
    /// Whoever asks for the Coordinator service.
    Caller,
}

/// A member at the other side.
#[derive(Debug)]
pub struct Member {
    /// Which one.
    pub id: NodeId,
    /// The lane that the connection is.
    pub lane: LaneId,
    /// What it says of itself.
    pub about: About,
    /// In which of its starts it is.
    pub boot: u32,
}

/// One handshake.
#[derive(Debug)]
pub struct Greeting(State);

#[derive(Debug)]
enum State {
    /// A hello is awaited; drawn for this handshake.
    Hello([u8; 16]),
    /// A welcome of this member.
    Welcome(NodeId, LaneId, [u8; 16]),
    /// Its introduction.
    Introduction(Other),
    /// It is being remembered.
    Meeting(Other),
    /// That it has met this node.
    Met(Other),
    Over,
}

#[derive(Debug)]
struct Other {
    is_dialler: bool,
    challenges: Challenges,
    member: Member,
}

impl Other {
    fn done(self) -> Next {
        Next::Done(Greeted::Member(self.member))
    }

    /// What is to be made of a message in whose place there may be a verdict. Whoever has met this node may say that it must not
    /// go on, and whoever it has never met.
    fn told<T>(&self, host: Host<'_>, message: Result<T, HelloError>) -> Result<T, Box<Step>> {
        match message {
            Err(HelloError::Refused(Refused::Impostor(why, tags)))
                if host.identity.believes(self.member.id.0, self.challenges, &why, &tags) =>
            {
                let why = format!("node {} refuses this node: {}", self.member.id, harmless(&why));
                Err(Box::new(Next::Fatal(why).alone()))
            }
            message => Ok(message?),
        }
    }
}

impl Next {
    fn after(self, send: impl FnOnce(&mut BytesMut)) -> Step {
        let mut body = BytesMut::new();
        send(&mut body);
        Step { send: Some(body.freeze()), next: self }
    }

    fn alone(self) -> Step {
        Step { send: None, next: self }
    }
}

impl From<HelloError> for Box<Step> {
    fn from(why: HelloError) -> Self {
        Self::new(Next::Failed(why).alone())
    }
}

/// Tells the other side why this one does not go on.
fn refuse(peer: Option<u32>, refused: &Refused) -> Box<Step> {
    let (Refused::Mismatch(why) | Refused::Impostor(why, _)) = refused;
    Box::new(Next::Refused { peer, why: why.clone() }.after(|body| refused.put(body)))
}

fn mismatch(peer: Option<u32>, why: String) -> Box<Step> {
    refuse(peer, &Refused::Mismatch(why))
}

impl Host<'_> {
    fn about(self, challenge: [u8; 16]) -> About {
        let Own { id, cluster, timestamps, limits, loops, endpoint, .. } = self.own;
        About {
            cluster: cluster.clone(),
            timestamps: timestamps.clone(),
            member: Some(id.0),
            challenge,
            admitted: self.identity.admitted,
            limits: *limits,
            loops: *loops,
            endpoint: endpoint.clone(),
        }
    }

    fn introduce(self, to: &Other, next: Next) -> Step {
        let introduction = self.identity.introduce(to.member.id.0, to.challenges, self.sequence);
        next.after(|body| introduction.put(body))
    }
}

impl Own {
    /// Whether the other side belongs to the same cluster: one of the same members. Their addresses may differ, as they do
    /// while a changed one is made known to one node after the other; who is who is told by the data directories (M1).
    fn check_cluster(&self, theirs: &About) -> Result<(), String> {
        let id = |entry: &str| entry.split_once('=')?.0.trim().parse().map(NodeId).ok();
        let mut ids: Option<Vec<NodeId>> = theirs.cluster.split(',').map(id).collect();
        ids.iter_mut().for_each(|ids| ids.sort_unstable());
        if ids.as_deref() != Some(self.members.ids()) {
            let (theirs, ours) = (&theirs.cluster, &self.cluster);
            return Err(format!(
                "its --cluster is \"{theirs}\", this node's is \"{ours}\": the ids must be the same"
            ));
        }
        if theirs.timestamps != self.timestamps {
            let (theirs, ours) = (&theirs.timestamps, &self.timestamps);
            return Err(format!("its --timestamps is {theirs}, this node's is {ours}"));
        }
        match theirs.member {
            Some(member) if !self.members.contains(NodeId(member)) => {
                Err(format!("node {member} is not in --cluster"))
            }
            _ => Ok(()),
        }
    }

    /// Who it is and which lane it opens, if it is for the Replica service; or why it may not come in.
    fn check(&self, hello: &Hello) -> Result<Option<(NodeId, LaneId)>, String> {
        let about = &hello.about;
        if let Some(member) = about.member {
            self.check_cluster(about)?;
            if member == self.id.0 {
                return Err(format!("this is node {member}, too: two nodes have one id"));
            }
        }
        match (hello.service, about.member, hello.lane) {
            (Service::Coordinator, ..) => Ok(None),
            (Service::Replica, None, _) => Err("the Replica service is for members only".into()),
            (Service::Replica, Some(member), Some(lane))
                if lane.pair < pair_count(about.loops, self.loops) =>
            {
                Ok(Some((NodeId(member), lane)))
            }
            (Service::Replica, Some(_), _) => {
                Err("it does not say which lane it opens, or one that is not there".into())
            }
        }
    }
}

impl Greeting {
    /// Of the side that has connected to a member.
    pub fn dial(peer: NodeId, lane: LaneId, challenge: [u8; 16], host: Host<'_>) -> (Self, Step) {
        let (versions, about) = (host.own.versions, host.about(challenge));
        let hello = Hello { versions, service: Service::Replica, lane: Some(lane), about };
        let step = Next::Frame.after(|body| hello.put(body));
        (Self(State::Welcome(peer, lane, challenge)), step)
    }

    /// Of the side that somebody has connected to.
    pub fn accept(challenge: [u8; 16]) -> (Self, Step) {
        (Self(State::Hello(challenge)), Next::Frame.alone())
    }

    /// The other side has sent this.
    ///
    /// # Panics
    /// When no frame was asked for.
    pub fn handle_frame(&mut self, body: Bytes, host: Host<'_>) -> Step {
        let taken = match core::mem::replace(&mut self.0, State::Over) {
            State::Hello(challenge) => self.hello(body, challenge, host),
            State::Welcome(peer, lane, challenge) => self.welcome(body, peer, lane, challenge, host),
            State::Introduction(other) => self.introduction(body, other, host),
            State::Met(other) => {
                other.told(host, Met::get(body, host.own.versions)).map(|_| other.done().alone())
            }
            State::Meeting(_) | State::Over => panic!("a frame that nobody has asked for"),
        };
        taken.unwrap_or_else(|end| *end)
    }

    fn hello(&mut self, body: Bytes, challenge: [u8; 16], host: Host<'_>) -> Result<Step, Box<Step>> {
        let ours = host.own.versions;
        let hello = Hello::get(body, ours).map_err(|why| {
            let HelloError::Version { theirs, ours } = why else { return why.into() };
            // In the other side's words.
            let told = HelloError::Version { theirs: ours, ours: theirs }.to_string();
            let Step { send, .. } = *mismatch(None, told);
            Box::new(Step { send, next: Next::Refused { peer: None, why: why.to_string() } })
        })?;
        let Some(version) = hello.versions.common(ours) else {
            unreachable!("a hello without a common version is an error");
        };
        let checked = host.own.check(&hello);
        let about = hello.about;
        let member = checked.map_err(|why| mismatch(about.member, why))?;
        let own = host.about(challenge);
        // Somebody who is no member is not told which one this is.
        let (member_told, endpoint) = match about.member {
            Some(_) => (own.member, own.endpoint.clone()),
            None => (None, None),
        };
        let welcome = Welcome { version, about: About { member: member_told, endpoint, ..own } };
        let Some((id, lane)) = member else {
            return Ok(Next::Done(Greeted::Caller).after(|body| welcome.put(body)));
        };
        let challenges = Challenges { dialler: about.challenge, acceptor: challenge };
        self.0 = State::Introduction(Other {
            is_dialler: false,
            challenges,
            member: Member { id, lane, about, boot: 0 },
        });
        Ok(Next::Frame.after(|body| welcome.put(body)))
    }

    fn welcome(
        &mut self,
        body: Bytes,
        peer: NodeId,
        lane: LaneId,
        challenge: [u8; 16],
        host: Host<'_>,
    ) -> Result<Step, Box<Step>> {
        let Welcome { about, .. } = Welcome::get(body, host.own.versions)?;
        host.own.check_cluster(&about).map_err(|why| mismatch(Some(peer.0), why))?;
        if about.member != Some(peer.0) {
            let why = format!("its address is that of node {peer} in --cluster, which it is not");
            return Err(mismatch(Some(peer.0), why));
        }
        let challenges = Challenges { dialler: challenge, acceptor: about.challenge };
        let other = Other { is_dialler: true, challenges, member: Member { id: peer, lane, about, boot: 0 } };
        let step = host.introduce(&other, Next::Frame);
        self.0 = State::Introduction(other);
        Ok(step)
    }

    fn introduction(&mut self, body: Bytes, mut other: Other, host: Host<'_>) -> Result<Step, Box<Step>> {
        let introduction = other.told(host, Introduction::get(body, host.own.versions))?;
        let peer = other.member.id;
        if introduction.node != peer.0 {
            let why =
                format!("it says that it is node {}, and before that it was node {peer}", introduction.node);
            return Err(mismatch(Some(peer.0), why));
        }
        other.member.boot = introduction.boot;
        let next = Next::Meet(introduction, other.challenges);
        self.0 = State::Meeting(other);
        Ok(next.alone())
    }

    /// The member is durably remembered, or not let in.
    ///
    /// # Panics
    /// When nobody was to be met.
    pub fn handle_met(&mut self, met: Result<(), PeerRefusal>, host: Host<'_>) -> Step {
        let State::Meeting(other) = core::mem::replace(&mut self.0, State::Over) else {
            panic!("somebody whom nobody wanted to meet");
        };
        let peer = other.member.id.0;
        match met {
            Ok(()) if other.is_dialler => other.done().after(|body| Met.put(body)),
            Ok(()) => {
                let step = host.introduce(&other, Next::Frame);
                self.0 = State::Met(other);
                step
            }
            // What is not certain, or this node's own trouble, is no verdict on the other one.
            Err(why) if !why.is_final() => *mismatch(Some(peer), why.to_string()),
            Err(why) => {
                let told = why.to_string();
                let tags = host.identity.vouch(peer, other.challenges, &told);
                *refuse(Some(peer), &Refused::Impostor(told, tags))
            }
        }
    }
}

#[cfg(test)]
#[path = "greeting_tests.rs"]
mod tests;
