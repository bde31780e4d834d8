//! What tests are made of: operations, versions, replies.

use crate::support::KEY;
use abd::loopback::MapStore;
use abd::{
    Acceptor, AcceptorLimits, Content, Deadline, Glimpse, Operation, Reply, StampedValue, Timestamp,
    UpdateId, Version,
};
use bytes::Bytes;

/// A Get of [`KEY`].
pub(crate) fn get() -> Operation {
    Operation::Get { key: KEY.into() }
}

/// A Set of [`KEY`].
pub(crate) fn set(value: &str) -> Operation {
    Operation::Set {
        key: KEY.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        deadline: Deadline::NONE,
    }
}

/// A Delete of [`KEY`].
pub(crate) fn delete() -> Operation {
    Operation::Delete { key: KEY.into() }
}

/// The version of a plain write.
pub(crate) fn version(time: u64, node: u32, boot: u32) -> Version {
    Version::of_write(Timestamp { time, node, boot })
}

/// A value under a version.
pub(crate) fn stamped(version: Version, value: &str) -> StampedValue {
    StampedValue::plain(version, Content::Value(Bytes::copy_from_slice(value.as_bytes())))
}

/// An acceptor that has promised and accepted nothing.
pub(crate) fn fresh_acceptor() -> Acceptor {
    MapStore::default().acceptor(1, AcceptorLimits::default())
}

/// What a replica says that durably has this version, and this content if the reader is to be told.
pub(crate) fn read_reply(version: Version, content: Option<Content>) -> Reply {
    let present = content.as_ref().is_some_and(Content::is_value);
    let (deadline, update) = (Deadline::NONE, UpdateId::NONE);
    Reply::Read(Glimpse { version, present, deadline, update, content, durable: true })
}
