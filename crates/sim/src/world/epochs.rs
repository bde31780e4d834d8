//! Where mutants of the rules for changes lie: about whom a coordinator has to ask, what counts in which epoch, and what a sync brings.

use super::World;
use super::message::{Message, reply_frame, request_frame, without_records};
use super::running::{About, RunningOperation};
use ::node::configuration::{Configuration, Stage};
use abd::wire::Received;
use abd::{Deadline, Glimpse, NodeId, Promise, Reply, Request, UpdateId, Version};
use bytes::Bytes;

/// What a replica says that has nothing, takes everything, and forgets it.
fn answer_of_nobody(request: &Request) -> Option<Reply> {
    let (deadline, update) = (Deadline::NONE, UpdateId::NONE);
    let glimpse =
        |version| Glimpse { version, present: true, deadline, update, content: None, durable: true };
    Some(match request {
        Request::LocalRead { .. } => Reply::Read(glimpse(Version::MIN)),
        Request::LocalReadTimestamp { .. } => {
            Reply::Timestamp { version: Version::MIN, present: false, writable: true }
        }
        Request::LocalWrite { .. } => Reply::Written { previous: None },
        Request::Prepare { base, .. } => {
            let newest = glimpse(base.as_ref().map_or(Version::MIN, |base| base.version()));
            Reply::Promise(Box::new(Promise { newest, accepted: None, writable: true, boot: 1 }))
        }
        Request::Accept { .. } => Reply::Accepted,
        Request::Adopt { .. } => return None,
    })
}

/// Whether a member is to go in the change that is under way.
fn is_going(configuration: &Configuration, id: NodeId) -> bool {
    let Stage::Joint { next, .. } = &configuration.stage else { return false };
    !next.iter().any(|member| member.id == id)
}

impl World {
    /// The mutants `asks-next-alone` and `adds-epochs`: for which answer a request is taken that is not sent at all.
    pub(super) fn pretended(
        &self,
        configuration: &Configuration,
        running: &RunningOperation,
        to: u32,
        received: &Received,
    ) -> Option<Reply> {
        let Received { scope, request, .. } = received;
        let id = NodeId(to + 1);
        if self.lies.asks_next_alone && is_going(configuration, id) {
            return answer_of_nobody(request);
        }
        let is_write = matches!(request, Request::LocalWrite { .. }) && running.about != About::Get;
        // Who has acknowledged it before need not do so again; nor need somebody else, for one who is no member any more.
        let counts = |(epoch, member): &(u32, u32)| {
            *epoch < scope.epoch && (*member == to || !configuration.names(NodeId(*member + 1)))
        };
        let is_counted = self.lies.adds_epochs && is_write && running.stored.iter().any(counts);
        is_counted.then_some(Reply::Written { previous: None })
    }

    /// What a node reads instead of what it was sent, by the lie of a mutant.
    pub(super) fn misread_in_changes(&self, node: u32, frame: &Bytes, read: &Message) -> Option<Bytes> {
        let process = self.nodes[node as usize].process.as_ref()?;
        let scope = process.desk.shard.borrow().configuration().scope;
        match read {
            Message::Request(received) if self.lies.serves_older && received.scope.epoch < scope.epoch => {
                Some(request_frame(&Received { scope, ..received.clone() }))
            }
            Message::Reply(call, Reply::Promise(promise)) if self.lies.compares_rounds => {
                let mut promise = promise.clone();
                promise.accepted.as_mut()?.ballot.epoch = scope.epoch;
                Some(reply_frame(*call, &Reply::Promise(promise)))
            }
            Message::Sync(_) if self.lies.syncs_values => without_records(frame),
            _ => None,
        }
    }
}
