//! Ranges of user keys, and what of them lies in damaged parts.

use super::list::order;
use crate::damage::Part;
use crate::encoding::key;
use crate::encoding::space::Space;
use bytes::Bytes;
use std::cmp::Ordering;

/// User keys behind one and up to another, with that one, in the order of the store ([`order`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key is the next one; `None`: the first of all.
    pub after: Option<Bytes>,
    /// The last key; `None`: the last of all.
    pub up_to: Option<Bytes>,
}

impl KeyRange {
    /// All keys.
    pub const ALL: Self = Self { after: None, up_to: None };

    /// Where the data keys of their versions are.
    pub(super) fn of_versions(&self) -> Part {
        let behind = |key: &Bytes| Part::of_prefix(&key::prefix(key)).to;
        let [(begin, _), (_, end)] = Space::VERSIONS;
        Part {
            from: self.after.as_ref().map_or(Bytes::from_static(begin), behind),
            to: self.up_to.as_ref().map_or(Bytes::from_static(end), behind),
        }
    }

    /// Where their accepted records are.
    pub(super) fn of_records(&self) -> Part {
        let behind = |key: &Bytes| Part::of_prefix(&key::of_record(key)).to;
        let [(begin, _), (_, end)] = Space::ACCEPTED;
        Part {
            from: self.after.as_ref().map_or(Bytes::from_static(begin), behind),
            to: self.up_to.as_ref().map_or(Bytes::from_static(end), behind),
        }
    }

    /// Whether a key is among them.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.after.as_ref().is_none_or(|after| order(key, after) == Ordering::Greater)
            && self.up_to.as_ref().is_none_or(|up_to| order(key, up_to) != Ordering::Greater)
    }

    /// Those that are in another one, too; `None` if there are none for certain.
    pub fn within(&self, other: &Self) -> Option<Self> {
        let after = match (&self.after, &other.after) {
            (Some(one), Some(two)) => Some(if order(one, two) == Ordering::Less { two } else { one }),
            (one, two) => one.as_ref().or(two.as_ref()),
        };
        let up_to = match (&self.up_to, &other.up_to) {
            (Some(one), Some(two)) => Some(if order(one, two) == Ordering::Less { one } else { two }),
            (one, two) => one.as_ref().or(two.as_ref()),
        };
        let is_empty =
            matches!((after, up_to), (Some(after), Some(up_to)) if order(after, up_to) != Ordering::Less);
        (!is_empty).then(|| Self { after: after.cloned(), up_to: up_to.cloned() })
    }

    /// The keys of which a part may have a version or a record, and a few more where no key says where they end.
    pub(super) fn covering(part: &Part) -> impl Iterator<Item = Self> {
        let plain = [Space::VERSIONS[0], Space::ACCEPTED[0]];
        let hashed = [Space::VERSIONS[1], Space::ACCEPTED[1]];
        let meets = |(begin, end): &(&[u8], &[u8])| &part.from[..] < *end && *begin < &part.to[..];
        let of_plain = plain.into_iter().filter(meets).map(|(begin, end)| Self {
            after: if &part.from[..] <= begin { None } else { below(&part.from) },
            up_to: if &part.to[..] >= end { Some(key::last_plain()) } else { Some(up_to(&part.to)) },
        });
        // Their hashes say nothing.
        let of_hashed =
            hashed.iter().any(meets).then(|| Self { after: Some(key::last_plain()), up_to: None });
        of_plain.chain(of_hashed).collect::<Vec<_>>().into_iter()
    }

    /// Ranges that have the same keys, in order, none of which meets another.
    pub(super) fn joined(ranges: impl Iterator<Item = Self>) -> Vec<Self> {
        let mut ranges: Vec<Self> = ranges.collect();
        ranges.sort_by(|one, two| match (&one.after, &two.after) {
            (Some(one), Some(two)) => order(one, two),
            (one, two) => one.is_some().cmp(&two.is_some()),
        });
        let mut joined: Vec<Self> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if last.reaches(&range) => {
                    let is_longer = match (&last.up_to, &range.up_to) {
                        (Some(one), Some(two)) => order(one, two) == Ordering::Less,
                        (one, _) => one.is_some(),
                    };
                    if is_longer {
                        last.up_to = range.up_to;
                    }
                }
                _ => joined.push(range),
            }
        }
        joined
    }

    /// Whether nothing is between this one and one that begins no earlier.
    fn reaches(&self, next: &Self) -> bool {
        match (&self.up_to, &next.after) {
            (Some(up_to), Some(after)) => order(after, up_to) != Ordering::Greater,
            _ => true,
        }
    }
}

/// A key below all of which something lies at or behind a data key; `None`: there may be none.
fn below(from: &Bytes) -> Option<Bytes> {
    let (key, rest) = key::plain_beginning(from);
    if rest > abd::Version::LEN {
        // Behind a version: that one is whole, and so is what is newer.
        return Some(key);
    }
    (!key.is_empty()).then(|| key.slice(..key.len() - 1))
}

/// The last key of which something may lie before a data key.
fn up_to(to: &Bytes) -> Bytes {
    key::plain_beginning(to).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{Timestamp, Version};
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(1), Just(2), Just(0xff)];
        proptest::collection::vec(byte, 0..4)
    }

    fn data_key() -> impl Strategy<Value = Vec<u8>> {
        (key(), any::<bool>(), 0..40usize, 1..9u64).prop_map(|(key, is_record, cut, time)| {
            let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
            let mut data_key = key::encode(&key, version).to_vec();
            data_key.push(0);
            data_key[0] += u8::from(is_record);
            data_key.truncate(data_key.len().min(cut).max(1));
            data_key
        })
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        let key = || proptest::option::of(key().prop_map(Bytes::from));
        (key(), key()).prop_map(|(after, up_to)| KeyRange { after, up_to })
    }

    proptest! {
        /// Whatever a part may hit is in the ranges.
        #[test]
        fn s3_a_part_is_covered(one in data_key(), two in data_key(), key in key(), time in 1..9u64) {
            let part = Part { from: one.clone().min(two.clone()).into(), to: one.max(two).into() };
            let version = Version::of_write(Timestamp { time, node: 1, boot: 1 });
            // The newest version that there could be: the gap has it if that or anything behind it up to `version` is in it.
            let newest = key::encode(&key, version);
            let (first, record) = (Bytes::from(key::prefix(&key)), key::of_record(&key));
            let hits = (part.from <= first && first < part.to) || (part.from <= record && record < part.to)
                || (part.from <= newest && newest < part.to && part.from.len() != newest.len() + 1);
            let covered = KeyRange::covering(&part).any(|range| range.contains(&key));
            prop_assert!(covered || !hits || part.from >= part.to);
        }

        #[test]
        fn ranges_meet_and_join(ranges in proptest::collection::vec(range(), 0..5), other in range(), key in key()) {
            let contained = ranges.iter().any(|range| range.contains(&key));
            let within: Vec<_> = ranges.iter().filter_map(|range| range.within(&other)).collect();
            prop_assert_eq!(within.iter().any(|range| range.contains(&key)), contained && other.contains(&key));
            let joined = KeyRange::joined(ranges.into_iter().filter_map(|range| range.within(&KeyRange::ALL)));
            prop_assert_eq!(joined.iter().any(|range| range.contains(&key)), contained);
            prop_assert!(joined.is_sorted_by(|one, two| !one.reaches(two)));
        }

        #[test]
        fn the_part_of_a_range_has_the_versions_of_its_keys(range in range(), key in key()) {
            let version = Version::of_write(Timestamp { time: 5, node: 1, boot: 1 });
            let (part, data_key) = (range.of_versions(), key::encode(&key, version));
            prop_assert_eq!(part.from <= data_key && data_key < part.to, range.contains(&key));
        }
    }

    #[test]
    fn what_is_lost_behind_a_version_leaves_its_key_alone() {
        let version = Version::of_write(Timestamp { time: 5, node: 1, boot: 1 });
        let behind = |key: &[u8]| Bytes::from([&key::encode(key, version)[..], &[0]].concat());
        let part = Part { from: behind(b"b"), to: behind(b"d") };
        let expected = KeyRange { after: Some("b".into()), up_to: Some("d".into()) };
        assert_eq!(KeyRange::covering(&part).collect::<Vec<_>>(), [expected]);
        let rest = Part { from: behind(b"b"), to: vec![0xff; 32].into() };
        let joined = KeyRange::joined(KeyRange::covering(&rest));
        assert_eq!(joined, [KeyRange::ALL], "any record may be lost");
    }
}
