//! The handshake of a peer connection: what [`::node::peer::greeting`] wants is sent, read and remembered.

use super::{ConnectionError, read_frame};
use crate::identity::random;
use crate::node::membership::Membership;
use crate::node::supervise;
use ::node::configuration::Configuration;
use ::node::hello::{HANDSHAKE_BYTES_MAX, HelloError, LaneId};
use ::node::peer::greeting::{Greeted, Greeting, Member, Next, Step};
use abd::NodeId;
use abd::wire::put_frame;
use bytes::BytesMut;
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
    /// This node must not go on.
    #[error("{0}")]
    Fatal(String),
    /// This node is no member any more.
    #[error("it is a member no more since epoch {}", .0.epoch())]
    Retired(Box<Configuration>),
    /// This node has to show another directory.
    #[error("since epoch {0} it knows this node by another id of its data directory; trying again with that")]
    Renamed(u32),
}

impl From<std::io::Error> for GreetingError {
    fn from(why: std::io::Error) -> Self {
        Self::Connection(why.into())
    }
}

impl From<HelloError> for GreetingError {
    fn from(why: HelloError) -> Self {
        Self::Connection(why.into())
    }
}

/// A lane whose handshake is over.
pub(crate) struct NewLane<S = TcpStream> {
    pub(super) member: Member,
    pub(super) stream: S,
    /// What was read behind the handshake.
    pub(super) input: BytesMut,
}

/// What a connection was accepted for.
pub(super) enum Visitor {
    Member(NewLane),
    /// It asks for the Coordinator service.
    Caller(TcpStream, BytesMut),
    /// It wanted to know who it is, and knows.
    Newcomer,
}

/// Greets a member as the side that has connected to it.
pub(super) async fn dialled(
    membership: &Arc<Membership>,
    peer: NodeId,
    lane: LaneId,
    stream: TcpStream,
) -> Result<NewLane, GreetingError> {
    let challenge = random()?;
    let begun = membership.host(|host| Greeting::dial(peer, lane, challenge, host));
    match in_time(greet(membership, begun, stream)).await? {
        Visitor::Member(lane) => Ok(lane),
        Visitor::Caller(..) | Visitor::Newcomer => unreachable!("whoever is dialled asks for nothing"),
    }
}

/// Greets whoever has connected to this node.
pub(super) async fn accepted(
    membership: &Arc<Membership>,
    stream: TcpStream,
) -> Result<Visitor, GreetingError> {
    let begun = Greeting::accept(random()?);
    in_time(greet(membership, begun, stream)).await
}

async fn in_time<T>(greeting: impl Future<Output = Result<T, GreetingError>>) -> Result<T, GreetingError> {
    match tokio::time::timeout(GREETING_LIMIT, greeting).await {
        Ok(greeted) => greeted,
        Err(_) => Err(ConnectionError::Silence(GREETING_LIMIT).into()),
    }
}

async fn greet(
    membership: &Arc<Membership>,
    (mut greeting, mut step): (Greeting, Step),
    mut stream: TcpStream,
) -> Result<Visitor, GreetingError> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::new();
    loop {
        if let Some(frame) = step.send {
            let mut out = BytesMut::new();
            put_frame(&mut out, |body| body.extend_from_slice(&frame));
            let sent = stream.write_all(&out).await;
            if !matches!(step.next, Next::Refused { .. }) {
                sent?;
            }
        }
        step = match step.next {
            Next::Frame => {
                let body = read_frame(&mut stream, &mut input, HANDSHAKE_BYTES_MAX).await?;
                let body = body.ok_or(GreetingError::Silent)?;
                membership.host(|host| greeting.handle_frame(body, host))
            }
            Next::Meet(peer, challenges) => {
                // On a thread that may wait for the disk.
                let this = membership.clone();
                let met = supervise::blocking(move || this.directory.meet(&peer, challenges)).await;
                membership.host(|host| greeting.handle_met(met, host))
            }
            Next::Done(Greeted::Caller) => return Ok(Visitor::Caller(stream, input)),
            Next::Done(Greeted::Newcomer) => return Ok(Visitor::Newcomer),
            Next::Done(Greeted::Member(mut member)) => {
                if let Some(told) = member.learned.take() {
                    membership.learn_configuration(told);
                }
                let confirmed = membership.confirmed_by(member.id).await;
                confirmed
                    .map_err(|why| GreetingError::Fatal(format!("cannot write the identity file: {why}")))?;
                return Ok(Visitor::Member(NewLane { member, stream, input }));
            }
            Next::Refused { peer, why } => return Err(GreetingError::Refused { peer, why }),
            Next::Failed(why) => return Err(why.into()),
            Next::Fatal(why) => return Err(GreetingError::Fatal(why)),
            Next::Retired(told) => return Err(GreetingError::Retired(Box::new(told))),
            Next::Renamed { directory, epoch } => {
                membership.directory.show(directory);
                return Err(GreetingError::Renamed(epoch));
            }
        };
    }
}
