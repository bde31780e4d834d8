//! Rule V1 and V2: one version of a key names one content, deadline and update, for ever. Looked at where writes leave their coordinator.

use super::Conviction;
use abd::{Content, StampedValue, UpdateId, Version};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Every version that was ever sent.
#[derive(Debug, Default)]
pub struct Unique {
    known: BTreeMap<(Bytes, Version), StampedValue>,
    /// By value: it was written under this version. A value is set once in a run; updates may come to the same one again.
    versions: BTreeMap<Bytes, Version>,
}

impl Unique {
    /// A coordinator sends a write.
    pub fn sent(&mut self, key: &Bytes, stamped: &StampedValue) -> Result<(), Conviction> {
        let known = self.known.entry((key.clone(), stamped.version)).or_insert_with(|| stamped.clone());
        if known != stamped {
            let (first, second) = (text_of(known), text_of(stamped));
            let version = stamped.version;
            return Err(Conviction::new(
                "one version, one value",
                format!("{version} names {first} and {second}"),
            ));
        }
        if let Content::Value(value) = &stamped.content
            && stamped.update == UpdateId::NONE
        {
            let known = self.versions.entry(value.clone()).or_insert(stamped.version);
            if *known != stamped.version {
                let text =
                    format!("{} was written as {known} and as {}", text(&stamped.content), stamped.version);
                return Err(Conviction::new("one write, one version", text));
            }
        }
        Ok(())
    }
}

/// Rule V1: a node that runs on another disk than its own, or on an old copy, has not found a majority to begin with: its
/// former self has issued under the same boot count, so what it sends may be a second value of a version that was sent.
pub fn issued_by(node: u32, replaced: bool) -> Result<(), Conviction> {
    if replaced {
        let text = format!("n{} writes, and its disk is not the one that the others know", node + 1);
        return Err(Conviction::new("nobody writes on a copy", text));
    }
    Ok(())
}

fn text_of(stamped: &StampedValue) -> String {
    match stamped.update {
        UpdateId::NONE => text(&stamped.content),
        update => format!("{} by {update:?}", text(&stamped.content)),
    }
}

/// What is written, for people.
pub(super) fn text(content: &Content) -> String {
    content.value().map_or_else(|| "a tombstone".into(), |value| format!("\"{}\"", value.escape_ascii()))
}
