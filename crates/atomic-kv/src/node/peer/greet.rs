//! The handshake of a peer connection, at either side; its messages are in [`::node::hello`], how a member shows that it is
//! one in [`::node::introduction`].

use super::{ConnectionError, peer_versions, read_frame};
use crate::identity::random;
use crate::node::Node;
use ::node::hello::{
    About, HANDSHAKE_BYTES_MAX, Hello, HelloError, LaneId, Met, Refused, Service, Welcome, harmless,
};
use ::node::introduction::Introduction;
use ::node::lanes::pair_count;
use ::node::nonce::Challenges;
use abd::NodeId;
use abd::wire::put_frame;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A handshake must be over within this time.
const GREETING_LIMIT: Duration = Duration::from_secs(5);

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("it closed the connection without a greeting")]
    Silent,
    /// This side does not go on, and has said so.
    #[error("{why}")]
    Refused {
        /// Who the other side says that it is.
        peer: Option<u32>,
        why: String,
    },
}

impl From<HelloError> for GreetingError {
    fn from(why: HelloError) -> Self {
        Self::Connection(why.into())
    }
}

/// A connection whose handshake is over.
pub(super) struct Greeted {
    pub(super) stream: TcpStream,
    /// What was read after the handshake.
    pub(super) input: BytesMut,
    /// The other side.
    pub(super) about: About,
    /// In which start a member is; zero for whoever is none.
    pub(super) boot: u32,
}

/// What a connection was accepted for.
pub(super) enum Visitor {
    /// A member's lane.
    Member(NodeId, LaneId, Greeted),
    /// A connection of the Coordinator service.
    Caller(Greeted),
}

async fn send(stream: &mut TcpStream, body: impl FnOnce(&mut BytesMut)) -> Result<(), GreetingError> {
    let mut out = BytesMut::new();
    put_frame(&mut out, body);
    stream.write_all(&out).await.map_err(ConnectionError::from)?;
    Ok(())
}

async fn receive(stream: &mut TcpStream, input: &mut BytesMut) -> Result<Bytes, GreetingError> {
    read_frame(stream, input, HANDSHAKE_BYTES_MAX).await?.ok_or(GreetingError::Silent)
}

async fn in_time<T>(greeting: impl Future<Output = Result<T, GreetingError>>) -> Result<T, GreetingError> {
    match tokio::time::timeout(GREETING_LIMIT, greeting).await {
        Ok(greeted) => greeted,
        Err(_) => Err(ConnectionError::Silence(GREETING_LIMIT).into()),
    }
}

/// Tells the other side why this one does not go on. It may be gone.
async fn refuse(stream: &mut TcpStream, peer: Option<u32>, why: Refused) -> GreetingError {
    let _ = send(stream, |body| why.put(body)).await;
    let (Refused::Mismatch(why) | Refused::Impostor(why, _)) = why;
    GreetingError::Refused { peer, why }
}

/// A number for one handshake.
fn draw() -> Result<[u8; 16], GreetingError> {
    Ok(random().map_err(ConnectionError::from)?)
}

/// Meets the member who has to be at the other side; the connection goes on if each has met the other. `Err` has been said.
async fn meet(
    node: &Arc<Node>,
    peer: NodeId,
    challenges: Challenges,
    introduction: Introduction,
    stream: &mut TcpStream,
) -> Result<(), GreetingError> {
    if introduction.node != peer.0 {
        let why =
            format!("it says that it is node {}, and before that it was node {peer}", introduction.node);
        return Err(refuse(stream, Some(peer.0), Refused::Mismatch(why)).await);
    }
    let Err(why) = node.meet(introduction, challenges).await else { return Ok(()) };
    // What is not certain, or this node's own trouble, is no verdict on the other one.
    let told = why.to_string();
    let refused = if why.is_final() {
        let tags = node.identity.vouch(peer.0, challenges, &told);
        Refused::Impostor(told, tags)
    } else {
        Refused::Mismatch(told)
    };
    Err(refuse(stream, Some(peer.0), refused).await)
}

/// Presents this node.
async fn introduce(
    node: &Arc<Node>,
    to: NodeId,
    challenges: Challenges,
    stream: &mut TcpStream,
) -> Result<(), GreetingError> {
    let introduction = node.identity.introduce(to.0, challenges, node.store.sequence());
    send(stream, |body| introduction.put(body)).await
}

/// What is to be made of a message in whose place there may be a refusal. Whoever has met this node may say that it must not go
/// on, and whoever it has never met.
fn told<T>(
    node: &Arc<Node>,
    peer: NodeId,
    challenges: Challenges,
    message: Result<T, HelloError>,
) -> Result<T, GreetingError> {
    if let Err(HelloError::Refused(Refused::Impostor(why, tags))) = &message
        && node.identity.believes(peer.0, challenges, why, tags)
    {
        node.fail(format!("node {peer} refuses this node: {}", harmless(why)));
    }
    Ok(message?)
}

/// Greets a member as the side that has connected to it.
pub(super) async fn dialled(
    node: &Arc<Node>,
    peer: NodeId,
    lane: LaneId,
    mut stream: TcpStream,
) -> Result<Greeted, GreetingError> {
    let greeting = async {
        stream.set_nodelay(true).map_err(ConnectionError::from)?;
        let versions = peer_versions();
        let about = About { challenge: draw()?, ..node.about() };
        let dialler = about.challenge;
        let hello = Hello { versions, service: Service::Replica, lane: Some(lane), about };
        send(&mut stream, |body| hello.put(body)).await?;
        let mut input = BytesMut::new();
        let Welcome { about, .. } = Welcome::get(receive(&mut stream, &mut input).await?, versions)?;
        if let Err(why) = node.check_cluster(&about) {
            return Err(refuse(&mut stream, Some(peer.0), Refused::Mismatch(why)).await);
        }
        if about.member != Some(peer.0) {
            let why = format!("its address is that of node {peer} in --cluster, which it is not");
            return Err(refuse(&mut stream, Some(peer.0), Refused::Mismatch(why)).await);
        }
        let challenges = Challenges { dialler, acceptor: about.challenge };
        introduce(node, peer, challenges, &mut stream).await?;
        let introduction = Introduction::get(receive(&mut stream, &mut input).await?, versions);
        let introduction = told(node, peer, challenges, introduction)?;
        let boot = introduction.boot;
        meet(node, peer, challenges, introduction, &mut stream).await?;
        send(&mut stream, |body| Met.put(body)).await?;
        node.confirmed_by(peer).await;
        Ok(Greeted { stream, input, about, boot })
    };
    in_time(greeting).await
}

/// Greets whoever has connected to this node.
pub(super) async fn accepted(node: &Arc<Node>, mut stream: TcpStream) -> Result<Visitor, GreetingError> {
    let greeting = async {
        stream.set_nodelay(true).map_err(ConnectionError::from)?;
        let mut input = BytesMut::new();
        let hello = match Hello::get(receive(&mut stream, &mut input).await?, peer_versions()) {
            Ok(hello) => hello,
            Err(why @ HelloError::Version { theirs, ours }) => {
                // In the other side's words.
                let told = HelloError::Version { theirs: ours, ours: theirs };
                refuse(&mut stream, None, Refused::Mismatch(told.to_string())).await;
                return Err(GreetingError::Refused { peer: None, why: why.to_string() });
            }
            Err(why) => return Err(why.into()),
        };
        let Some(version) = hello.versions.common(peer_versions()) else {
            unreachable!("a hello without a common version is an error");
        };
        let checked = check(node, &hello);
        let about = hello.about;
        let member = match checked {
            Ok(member) => member,
            Err(why) => {
                return Err(refuse(&mut stream, about.member, Refused::Mismatch(why)).await);
            }
        };
        let acceptor = draw()?;
        // Somebody who is no member is not told which one this is.
        let own = node.about();
        let own = About { member: own.member.filter(|_| about.member.is_some()), challenge: acceptor, ..own };
        let welcome = Welcome { version, about: own };
        send(&mut stream, |body| welcome.put(body)).await?;
        let Some((peer, lane)) = member else {
            return Ok(Visitor::Caller(Greeted { stream, input, about, boot: 0 }));
        };
        let challenges = Challenges { dialler: about.challenge, acceptor };
        let introduction = Introduction::get(receive(&mut stream, &mut input).await?, peer_versions());
        let introduction = told(node, peer, challenges, introduction)?;
        let boot = introduction.boot;
        meet(node, peer, challenges, introduction, &mut stream).await?;
        introduce(node, peer, challenges, &mut stream).await?;
        let met = Met::get(receive(&mut stream, &mut input).await?, peer_versions());
        told(node, peer, challenges, met)?;
        node.confirmed_by(peer).await;
        Ok(Visitor::Member(peer, lane, Greeted { stream, input, about, boot }))
    };
    in_time(greeting).await
}

/// Who it is and which lane it opens, if it is for the Replica service; or why it may not come in.
fn check(node: &Node, hello: &Hello) -> Result<Option<(NodeId, LaneId)>, String> {
    let about = &hello.about;
    if let Some(member) = about.member {
        node.check_cluster(about)?;
        if member == node.id.0 {
            return Err(format!("this is node {member}, too: two nodes have one id"));
        }
    }
    match (hello.service, about.member, hello.lane) {
        (Service::Coordinator, ..) => Ok(None),
        (Service::Replica, None, _) => Err("the Replica service is for members only".into()),
        (Service::Replica, Some(member), Some(lane))
            if lane.pair < pair_count(about.loops, node.loop_count()) =>
        {
            Ok(Some((NodeId(member), lane)))
        }
        (Service::Replica, Some(_), _) => {
            Err("it does not say which lane it opens, or one that is not there".into())
        }
    }
}
