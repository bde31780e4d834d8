//! Garbage: dominated versions (rule G1). Engines leave them out when they rewrite what they hold; nobody else deletes any.

use super::key;
use super::space::{Garbage, Space};

/// Whether a data key is one of those that may be dominated: a version.
pub(crate) fn is_version(data_key: &[u8]) -> bool {
    Space::of(data_key).garbage() == Garbage::Dominated && key::version_of(data_key).is_some()
}

/// Tells which versions are dominated, in a walk over data keys in ascending order (rule G1).
///
/// The newest version of a key comes first, so every further one is dominated by one that is in the same walk. Whoever
/// walks must see durable data only, and must make what it leaves out disappear together with what it keeps appearing:
/// a merge of synced tables does both. A walk that sees only a part of the store keeps the newest version *it sees*,
/// which is safe.
#[derive(Debug, Default)]
pub struct DominatedFilter {
    /// Of the last key that was looked at; empty before the first.
    prefix: Vec<u8>,
}

impl DominatedFilter {
    /// At the beginning of a walk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the next data key of the walk is a dominated version. Other keys never are.
    pub fn is_dominated(&mut self, data_key: &[u8]) -> bool {
        if !is_version(data_key) {
            return false;
        }
        let prefix = key::prefix_of(data_key);
        if self.prefix == prefix {
            return true;
        }
        self.prefix.clear();
        self.prefix.extend_from_slice(prefix);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{Timestamp, Version};

    #[test]
    fn g1_the_filter_keeps_the_newest_version_of_each_key_and_what_is_no_version() {
        let version = |time| Version::of_write(Timestamp { time, node: 1, boot: 1 });
        let mut walk = vec![b"\x00ring".to_vec(), b"\x01short".to_vec(), key::MARK.to_vec()];
        // Records, and what looks like versions of one user key in their space.
        for time in [1, 7, 300] {
            let like_a_version = [b"k", &key::encode(b"", version(time))[3..]].concat();
            walk.push(key::of_record(&like_a_version).to_vec());
            walk.push([&key::of_record(b"k"), &key::encode(b"", version(time))[3..]].concat());
        }
        for user_key in [&b""[..], b"a", b"a\0", b"a\0\xff", b"b"] {
            for time in [1, 7, 300] {
                walk.push(key::encode(user_key, version(time)).to_vec());
            }
        }
        walk.sort();
        let mut filter = DominatedFilter::new();
        let kept: Vec<&Vec<u8>> = walk.iter().filter(|data_key| !filter.is_dominated(data_key)).collect();
        assert_eq!(kept.len(), 3 + 6 + 5);
        let versions: Vec<Version> = kept.iter().filter_map(|data_key| key::version_of(data_key)).collect();
        assert_eq!(versions, [version(300); 5]);
    }
}
