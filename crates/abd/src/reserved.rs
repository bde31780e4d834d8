//! Keys of the cluster's own, which no client can name.

use crate::value::Content;

/// What such a key begins with.
pub const RESERVED: &[u8] = b"\0atomic-kv\0";

/// Whether a key is the cluster's own. What is stored under it is small, and a change of the members needs it: a full disk takes it
/// as it takes deletes (rule D1).
pub fn is_reserved(key: &[u8]) -> bool {
    key.starts_with(RESERVED)
}

/// Whether a full disk has no room for such a content of a key.
pub fn needs_room(key: &[u8], content: &Content) -> bool {
    content.is_value() && !is_reserved(key)
}
