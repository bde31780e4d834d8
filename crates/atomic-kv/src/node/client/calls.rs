//! The Coordinator service: calls from any node and any client library, over the peers' port.

use super::account::{Client, Seat};
use super::{Ended, Front, Next, converse};
use crate::node::peer::missing_bytes;
use crate::node::peer::service::{Call, CallAnswer, get_call, put_answer};
use crate::node::pipeline::{PipelineRequest, ReplyShape};
use crate::node::shard::Shard;
use ::node::limits::FRAME_ROOM;
use abd::Operation;
use abd::wire::{put_frame, take_frame};
use bytes::{Bytes, BytesMut};
use smallvec::smallvec;
use tokio::net::TcpStream;

/// What is shorter is copied out of the buffer that it came in, which is used again then.
const COPIED_MAX_BYTES: usize = 1024;

struct Calls {
    frame_limit: usize,
}

/// Serves the Coordinator service on a greeted connection until it ends.
pub(crate) async fn serve_calls(shard: &Shard, mut stream: TcpStream, input: BytesMut) -> Result<(), Ended> {
    let Some(seat) = Seat::take(&shard.node) else {
        return Err(Ended::Closed("there are as many clients as --max-clients allows".to_owned()));
    };
    let settings = &shard.node.settings;
    let mut front = Calls { frame_limit: settings.max_key_bytes + settings.max_value_bytes + FRAME_ROOM };
    let client = Client::enter(shard, seat);
    let ended = converse(shard, &mut stream, &mut front, &client, input, std::future::pending()).await;
    client.leave(shard);
    ended
}

impl Front for Calls {
    fn next(&mut self, input: &mut BytesMut, shard: &Shard) -> Result<Next, Ended> {
        let Some(body) = take_frame(input, self.frame_limit)? else { return Ok(Next::Incomplete) };
        let (number, call) = get_call(body)?;
        let operation = match call {
            Call::Cancel => return Ok(Next::Cancel(number)),
            Call::Run(operation) => operation,
        };
        if let Err(why) = shard.node.check_sizes(&operation) {
            let mut reply = BytesMut::new();
            put_frame(&mut reply, |body| put_answer(body, number, &CallAnswer::Refused(why)));
            return Ok(Next::Request(PipelineRequest::encoded(reply)));
        }
        let operation = match operation {
            Operation::Get { key } => Operation::Get { key: own(key) },
            Operation::Set { key, value } => Operation::Set { key: own(key), value: own(value) },
            Operation::Delete { key } => Operation::Delete { key: own(key) },
        };
        Ok(Next::Request(PipelineRequest {
            shape: ReplyShape::Call(number),
            operations: smallvec![operation],
        }))
    }

    fn missing_bytes(&self, input: &BytesMut) -> usize {
        missing_bytes(input)
    }
}

fn own(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPIED_MAX_BYTES { abd::counted::copied(&bytes) } else { bytes }
}
