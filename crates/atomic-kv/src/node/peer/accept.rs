//! The accepting side: greets, and serves one of the two services.

use super::greet::{self, GreetingError, NewLane, Visitor};
use super::{ConnectionError, lane};
use crate::logging::limit::limited;
use crate::node::shard::Shard;
use crate::node::{Accepted, client};
use ::node::lanes::loop_of;
use std::rc::Rc;
use tokio::net::TcpStream;

/// A lane on its way to the event loop that it is for.
pub(crate) type Handover = NewLane<std::net::TcpStream>;

/// Serves one accepted peer connection until it ends. Whatever arrives, only this connection suffers.
pub(crate) async fn serve_connection(shard: Rc<Shard>, stream: TcpStream) {
    let from = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
    let Some(greeted) = shard.newcomers.serve(greet::accepted(&shard.membership, stream)).await else {
        return limited!(
            info,
            "closed a connection of somebody who did not greet: too many others have come",
            from
        );
    };
    let ended = match greeted {
        Ok(Visitor::Member(lane)) => return take_lane(&shard, lane).await,
        Ok(Visitor::Caller(stream, input)) => {
            client::serve_calls(&shard, stream, input).await.map_err(ConnectionError::from)
        }
        Err(GreetingError::Refused { peer, why }) => {
            limited!(warn, "refused a peer", from, peer, why);
            return;
        }
        Err(GreetingError::Fatal(why)) => return shard.supervisor.fail(why),
        Err(GreetingError::Retired(told)) => return shard.supervisor.retire(&told),
        Ok(Visitor::Newcomer) | Err(GreetingError::Silent | GreetingError::Renamed(_)) => return,
        Err(GreetingError::Connection(why)) => Err(why),
    };
    if let Err(why) = ended {
        limited!(info, "closed a peer connection", from, %why);
    }
}

/// Serves a lane here if it is for this event loop, and hands it over otherwise.
async fn take_lane(shard: &Rc<Shard>, lane: NewLane) {
    let index = usize::from(loop_of(lane.member.lane.pair, shard.membership.own.loops));
    if index == shard.index {
        return lane::serve(shard, lane).await;
    }
    let NewLane { member, stream, input } = lane;
    if let Ok(stream) = stream.into_std() {
        shard.loops.hand_to(index, Accepted::Lane(Box::new(Handover { member, stream, input })));
    }
}

/// Serves a lane that another event loop has greeted.
pub(crate) async fn serve_handed_over(shard: Rc<Shard>, handover: Handover) {
    let Handover { member, stream, input } = handover;
    if let Ok(stream) = TcpStream::from_std(stream) {
        lane::serve(&shard, NewLane { member, stream, input }).await;
    }
}
