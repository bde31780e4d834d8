//! Messages between coordinators and replicas, on their way.

use abd::{CallId, Reply, Request, Scope, StampedValue};

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// From a coordinator to a replica.
    Request(Request),
    /// From a replica to a coordinator.
    Reply(Reply),
}

/// A message in the pool.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Sender.
    pub(crate) from: u32,
    /// Receiver.
    pub(crate) to: u32,
    /// The call it belongs to.
    pub(crate) call: CallId,
    /// Incarnation of the *coordinator* side. A reply to an earlier one is lost with its connection.
    pub(crate) boot: u32,
    /// In which configuration it was sent.
    pub(crate) scope: Scope,
    /// What it says.
    pub(crate) payload: Payload,
}

impl Message {
    /// Whether it asks for a write.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.payload, Payload::Request(Request::LocalWrite { .. }))
    }

    /// Whether it is a replica's answer.
    pub(crate) fn is_reply(&self) -> bool {
        matches!(self.payload, Payload::Reply(_))
    }

    /// What a write wants to have stored.
    pub(crate) fn stamped(&self) -> Option<&StampedValue> {
        match &self.payload {
            Payload::Request(Request::LocalWrite { stamped, .. }) => Some(stamped),
            _ => None,
        }
    }

    /// Whether a node sent it or is to get it.
    pub(crate) fn touches(&self, node: u32) -> bool {
        self.from == node || self.to == node
    }

    /// Whether it runs between the coordinator of the one and the replica of the other, in either direction.
    pub(crate) fn between(&self, coordinator: u32, replica: u32) -> bool {
        if self.is_reply() {
            self.to == coordinator && self.from == replica
        } else {
            self.from == coordinator && self.to == replica
        }
    }
}
