//! The handshake of a peer connection at either side, as a state machine: frames come in, [`Step`]s go out. Its messages are in
//! [`crate::hello`], how a member shows that it is one in [`crate::introduction`].
//!
//! What whoever drives it must keep: a member is remembered durably before [`Greeting::handle_met`] says so (M1), and a node that
//! is told [`Next::Fatal`] does not go on. What is drawn for a handshake is drawn for it alone, and nobody can guess it.

pub use super::own::Own;

use crate::acquaintances::PeerRefusal;
use crate::configuration::{Configuration, DirectoryId};
use crate::directory::{Identity, RefusedWith};
use crate::hello::{About, Hello, HelloError, LaneId, Met, Refused, Service, Welcome, harmless};
use crate::introduction::Introduction;
use crate::nonce::Challenges;
use abd::NodeId;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use bytes::{Bytes, BytesMut};

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
    /// This node is no member any more: a member says so who can be believed, and this configuration does not name it (M1). It may be
    /// [disguised](Configuration::disguised).
    Retired(Configuration),
    /// The connection is to be closed. A member who can be believed has refused the directory id that was shown: a newer configuration names
    /// this node by another one of its ids. With that ([`Identity::show`]) it may come again, and hear the configuration.
    Renamed {
        /// Which id.
        directory: DirectoryId,
        /// Of that configuration.
        epoch: u32,
    },
}

/// Whom a connection has turned out to be with.
#[derive(Debug)]
pub enum Greeted {
    /// A member's lane. Each has durably remembered the other's directory.
    Member(Member),
    /// Whoever asks for the Coordinator service.
    Caller,
    /// Whoever asked for the Join service, and has his answer.
    Newcomer,
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
    /// Which version of the peer protocol is spoken with it.
    pub version: u16,
    /// A configuration that it told, newer than the one that this node had installed: to be installed.
    pub learned: Option<Configuration>,
}

impl Member {
    /// Before it has introduced itself.
    fn unmet(id: NodeId, lane: LaneId, about: About, version: u16) -> Self {
        Self { id, lane, about, boot: 0, version, learned: None }
    }
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
    /// What is to be made of a message in whose place there may be a verdict. Whoever has met this node may say that it must not
    /// go on, or is behind, and whoever it has never met.
    fn told<T>(&self, host: Host<'_>, message: Result<T, HelloError>) -> Result<T, Box<Step>> {
        let may_judge = host.identity.may_be_judged_by(self.member.id.0);
        match message {
            Err(HelloError::Refused(Refused::Impostor(why, tags)))
                if may_judge && host.identity.believes(self.member.id.0, self.challenges, &why, &tags) =>
            {
                let why = format!("node {} refuses this node: {}", self.member.id, harmless(&why));
                Err(Box::new(Next::Fatal(why).alone()))
            }
            Err(HelloError::Refused(Refused::Retired(configuration, tags))) if may_judge => {
                let from = self.member.id.0;
                Err(match host.identity.refused_with(from, self.challenges, &configuration, &tags) {
                    Some(RefusedWith::NewName { directory, epoch }) => {
                        Box::new(Next::Renamed { directory, epoch }.alone())
                    }
                    Some(RefusedWith::Retirement(told)) => Box::new(Next::Retired(told).alone()),
                    None => HelloError::Refused(Refused::Retired(configuration, tags)).into(),
                })
            }
            message => Ok(message?),
        }
    }

    /// The end of a handshake in which both sides have met. What the other one told may have no place for this node.
    fn done(self, host: Host<'_>) -> Next {
        match self.member.learned.filter(|told| told.epoch() > host.identity.epoch()) {
            Some(told) if !host.identity.is_named_by(&told) => Next::Retired(told),
            learned => Next::Done(Greeted::Member(Member { learned, ..self.member })),
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

/// Tells the other side why this one does not go on; `why` is for this one's log.
fn refuse(peer: Option<u32>, why: String, refused: &Refused) -> Box<Step> {
    Box::new(Next::Refused { peer, why }.after(|body| refused.put(body)))
}

fn mismatch(peer: Option<u32>, why: String) -> Box<Step> {
    refuse(peer, why.clone(), &Refused::Mismatch(why))
}

impl Host<'_> {
    fn about(self, challenge: [u8; 16]) -> About {
        let Own { id, cluster, timestamps, limits, loops, endpoint, .. } = self.own;
        About {
            cluster: self.identity.configuration().map_or_else(|| cluster.clone(), Configuration::text),
            timestamps: timestamps.clone(),
            member: Some(id.0),
            challenge,
            admitted: self.identity.votes(),
            limits: *limits,
            loops: *loops,
            endpoint: endpoint.clone(),
            epoch: self.identity.changed().map(Configuration::epoch),
        }
    }

    fn introduce(self, to: &Other, next: Next) -> Step {
        let introduction = self.identity.introduce(to.member.id.0, to.challenges, self.sequence);
        next.after(|body| introduction.put(body))
    }
}

impl Greeting {
    /// Of the side that has connected to a member.
    pub fn dial(peer: NodeId, lane: LaneId, challenge: [u8; 16], host: Host<'_>) -> (Self, Step) {
        let (versions, about) = (host.own.versions, host.about(challenge));
        let hello = Hello { versions, service: Service::Replica, lane: Some(lane), about, address: None };
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
                other.told(host, Met::get(body, host.own.versions)).map(|_| other.done(host).alone())
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
        let checked = host.own.check(host.identity, &hello, version);
        let Hello { service, about, .. } = hello;
        let member = checked.map_err(|why| mismatch(about.member, why))?;
        let own = host.about(challenge);
        // Somebody who is no member is not told which one this is.
        let (member_told, endpoint) = match about.member {
            Some(_) => (own.member, own.endpoint.clone()),
            None => (None, None),
        };
        // Ids of directories are told in introductions alone.
        let configuration = host.identity.configuration().filter(|_| service == Service::Join);
        let about_own = About { member: member_told, endpoint, ..own };
        let configuration = configuration.map(Configuration::without_directories);
        let welcome = Welcome { version, about: about_own, configuration };
        let Some((id, lane)) = member else {
            let who = if service == Service::Join { Greeted::Newcomer } else { Greeted::Caller };
            return Ok(Next::Done(who).after(|body| welcome.put(body)));
        };
        let challenges = Challenges { dialler: about.challenge, acceptor: challenge };
        self.0 = State::Introduction(Other {
            is_dialler: false,
            challenges,
            member: Member::unmet(id, lane, about, version),
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
        let Welcome { version, about, .. } = Welcome::get(body, host.own.versions)?;
        host.own.check_cluster(host.identity, &about, version).map_err(|why| mismatch(Some(peer.0), why))?;
        if about.member != Some(peer.0) {
            let why = format!("its address is that of node {peer}, which it is not");
            return Err(mismatch(Some(peer.0), why));
        }
        let challenges = Challenges { dialler: challenge, acceptor: about.challenge };
        let member = Member::unmet(peer, lane, about, version);
        let other = Other { is_dialler: true, challenges, member };
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
        // Of what cannot be understood the meeting says so.
        other.member.learned = host.identity.news_of(&introduction).ok().flatten();
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
            Ok(()) if other.is_dialler => other.done(host).after(|body| Met.put(body)),
            Ok(()) => {
                let step = host.introduce(&other, Next::Frame);
                self.0 = State::Met(other);
                step
            }
            Err(why @ PeerRefusal::NotNamed { .. }) => {
                // Only whoever has the newer configuration knows better.
                let newest = host.identity.changed().filter(|_| other.member.learned.is_none());
                // Whoever it is has shown nothing yet.
                let Some(newest) = newest.map(|newest| newest.disguised().encoded()) else {
                    return *mismatch(Some(peer), why.to_string());
                };
                let tags = host.identity.vouch_for(peer, other.challenges, &newest);
                *refuse(Some(peer), why.to_string(), &Refused::Retired(newest, tags))
            }
            // What is not certain, or this node's own trouble, is no verdict on the other one.
            Err(why) if !why.is_final() => *mismatch(Some(peer), why.to_string()),
            Err(why) => {
                let told = why.to_string();
                let tags = host.identity.vouch(peer, other.challenges, &told);
                *refuse(Some(peer), told.clone(), &Refused::Impostor(told, tags))
            }
        }
    }
}

#[cfg(test)]
#[path = "greeting_tests.rs"]
mod tests;
