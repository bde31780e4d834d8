//! Data keys: any user key and a version, as bytes whose order is (key ascending, version descending); and the keys of records.
//!
//! ```text
//! 0x01 | esc(key) | 0x00 0x01 | ~version           esc: 0x00 becomes 0x00 0xFF
//! 0x02 | esc(key) | 0x00 0x01                       the record of the same key
//! 0x03 | sha256(key) | ~version                     for keys that would not fit into the engine's 64 KiB
//! 0x04 | sha256(key)                                the record of the same key
//! 0x05 | "mark"                                     the mark of a replica
//! 0x05 | "configuration"                            the configuration that it has installed, as it was given
//! ```
//! The terminator has two bytes because one would not do: `~version` begins with 0xFF for small times, so `key 00 FF…`
//! would read as an escaped zero inside a longer key (PROTOCOL section 4).

use super::space::{HASHED_RECORD, HASHED_VERSION, RECORD, Space, VERSION};
use abd::Version;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Where a replica keeps the largest ballot that it may promise.
pub const MARK: &[u8] = b"\x05mark";
/// That a mark was lost, and another one took its place: nobody knows what was promised below the first one.
pub(crate) const MARK_LOST: &[u8] = b"\x05mark lost";
/// Where a replica keeps the configuration that it has installed.
pub const CONFIGURATION: &[u8] = b"\x05configuration";
/// Bytes of a hashed prefix.
const HASHED_LEN: usize = 33;
/// The engine takes keys of up to 65,535 bytes; the version and some slack must fit in too.
const PLAIN_MAX: usize = 60_000;

/// What all versions of `key` begin with, and nothing else does.
pub fn prefix(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + zeros(key) + 3 + Version::LEN);
    append_first(&mut out, VERSION, HASHED_VERSION, key);
    out
}

/// What the data keys of versions begin with of all plain keys that begin like this, and nothing else does.
pub(crate) fn beginning(key: &[u8]) -> Vec<u8> {
    let mut out = vec![VERSION];
    append_escaped(&mut out, key);
    out
}

/// Where the accepted record of `key` is.
pub fn of_record(key: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + zeros(key) + 3);
    append_of_record(&mut out, key);
    out.into()
}

/// Appends it.
pub(crate) fn append_of_record(out: &mut Vec<u8>, key: &[u8]) {
    append_first(out, RECORD, HASHED_RECORD, key);
}

/// From the prefix of the versions of a key, where its record is.
pub(crate) fn record_beside(prefix: &[u8]) -> Bytes {
    let mut out = prefix.to_vec();
    if let Some(space) = out.first_mut() {
        *space += 1;
    }
    out.into()
}

fn zeros(key: &[u8]) -> usize {
    key.iter().filter(|byte| **byte == 0).count()
}

/// Whether a user key stands in its data keys as it is.
pub(crate) fn is_plain(key: &[u8]) -> bool {
    key.len() <= PLAIN_MAX && zeros(key) == 0
}

fn append_first(out: &mut Vec<u8>, plain: u8, hashed: u8, key: &[u8]) {
    let zeros = zeros(key);
    if key.len() + zeros > PLAIN_MAX {
        out.push(hashed);
        out.extend_from_slice(&Sha256::digest(key));
        return;
    }
    out.push(plain);
    if zeros == 0 {
        out.extend_from_slice(key);
    } else {
        append_escaped(out, key);
    }
    out.extend_from_slice(&[0, 1]);
}

fn append_escaped(out: &mut Vec<u8>, key: &[u8]) {
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
}

/// Appends the data key of one version.
pub(crate) fn append(out: &mut Vec<u8>, key: &[u8], version: Version) {
    append_first(out, VERSION, HASHED_VERSION, key);
    append_version(out, version);
}

/// Whether a data key has the hash of its user key, so that this one must be in what is stored there.
pub fn is_hashed(data_key: &[u8]) -> bool {
    matches!(data_key.first(), Some(&(HASHED_VERSION | HASHED_RECORD)))
}

/// The data key of one version.
pub fn encode(key: &[u8], version: Version) -> Bytes {
    let mut out = prefix(key);
    append_version(&mut out, version);
    Bytes::from(out)
}

/// Completes a prefix.
fn append_version(prefix: &mut Vec<u8>, version: Version) {
    prefix.extend_from_slice(&version.to_bytes().map(|byte| !byte));
}

/// The version at the end of a data key, or `None` if the bytes are not the data key of a version.
pub fn version_of(data_key: &[u8]) -> Option<Version> {
    if Space::of(data_key) == Space::Versions { last_version(data_key) } else { None }
}

fn last_version(bytes: &[u8]) -> Option<Version> {
    let (_, tail) = bytes.split_last_chunk::<{ Version::LEN }>()?;
    Version::from_bytes(&tail.map(|byte| !byte)).ok()
}

/// Whether the second part of a data key ([`parts`]) is all of a version.
pub(crate) fn is_whole_version(second: &[u8]) -> bool {
    second.len() == Version::LEN && last_version(second).is_some()
}

/// Cuts a key in two parts. Of a version the first one is the user key's prefix and the second one the version; of a key in
/// any other space the second one is empty. The order of keys is that of first parts, then of second parts: a first part before
/// something is never the beginning of another first part.
pub(crate) fn parts(key: &[u8]) -> (&[u8], &[u8]) {
    key.split_at(match key.first() {
        Some(&VERSION) => terminated(key).unwrap_or(key.len()),
        Some(&HASHED_VERSION) => HASHED_LEN.min(key.len()),
        _ => key.len(),
    })
}

/// Where an escaped key ends, behind its terminator; `None` if it is not one.
fn terminated(key: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += key[at..].iter().position(|byte| *byte == 0)? + 2;
        match key.get(at - 1)? {
            1 => return Some(at),
            0xff => {}
            _ => return None,
        }
    }
}

/// The user key as a part of a data key, where it stands there as it is.
pub(crate) fn plain_part(data_key: &Bytes, user_key_length: usize) -> Option<Bytes> {
    let as_it_is = data_key.first() == Some(&VERSION) && data_key.len() == 3 + user_key_length + Version::LEN;
    as_it_is.then(|| data_key.slice(1..=user_key_length))
}

/// What stands before the version, in the data key of one.
pub fn prefix_of(data_key: &[u8]) -> &[u8] {
    &data_key[..data_key.len().saturating_sub(Version::LEN)]
}

/// The user key in a prefix or in the key of a record; `None` for a hashed one, whose key is in what is stored there.
pub fn user_key(prefix: &[u8]) -> Option<Bytes> {
    let (&(VERSION | RECORD), escaped) = prefix.split_first()? else { return None };
    let escaped = escaped.strip_suffix(&[0, 1])?;
    let mut out = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        out.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
    }
    Some(Bytes::from(out))
}

/// The same in the data key of a version, as a part of that where it stands there as it is.
pub(crate) fn plain_user_key(data_key: &Bytes) -> Option<Bytes> {
    let prefix = prefix_of(data_key);
    let (&VERSION, escaped) = prefix.split_first()? else { return None };
    let escaped = escaped.strip_suffix(&[0, 1])?;
    if escaped.contains(&0) { user_key(prefix) } else { Some(data_key.slice(1..=escaped.len())) }
}

/// The user key with which a data key of a plain one begins, or as much of it as is there; and how many bytes are behind it, more than
/// any version has if it is behind all data keys of that one.
pub(crate) fn plain_beginning(data_key: &[u8]) -> (Bytes, usize) {
    let (mut key, mut at) = (Vec::new(), 1);
    while let Some(byte) = data_key.get(at) {
        match (byte, data_key.get(at + 1)) {
            (0, Some(0xff)) => at += 1,
            (0, Some(1)) => return (key.into(), data_key.len() - at - 2),
            // Behind all of that key's.
            (0, Some(_)) => return (key.into(), usize::MAX),
            (0, None) => break,
            _ => {}
        }
        key.push(*byte);
        at += 1;
    }
    (key.into(), 0)
}

/// The last of the keys that are stored as they are: all others are stored by their hashes, behind it.
pub(crate) fn last_plain() -> Bytes {
    vec![0xff; PLAIN_MAX].into()
}

/// Where the data keys of versions begin.
pub const FIRST: &[u8] = &[VERSION];

#[cfg(test)]
mod tests {
    use super::*;
    use abd::Timestamp;
    use proptest::prelude::*;

    fn any_version() -> impl Strategy<Value = Version> {
        (1..=abd::TIME_CEILING, 1..=u32::MAX, 1..=u32::MAX, any::<u64>())
            .prop_map(|(time, node, boot, rmwc)| Version { timestamp: Timestamp { time, node, boot }, rmwc })
    }

    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff), any::<u8>()], 0..12)
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => Just(0u8), 3 => Just(1), 1 => Just(3), 2 => Just(0xff), 1 => any::<u8>()];
        let short = proptest::collection::vec(byte.clone(), 0..6);
        prop_oneof![9 => short, 1 => proptest::collection::vec(byte, 30..70)]
    }

    proptest! {
        #[test]
        fn byte_order_is_key_ascending_then_version_descending(
            a in any_key(), b in any_key(), v in any_version(), w in any_version(),
        ) {
            let expected = a.cmp(&b).then(w.cmp(&v));
            prop_assert_eq!(encode(&a, v).cmp(&encode(&b, w)), expected);
        }

        #[test]
        fn no_prefix_is_the_beginning_of_another_key(a in any_key(), b in any_key(), v in any_version()) {
            prop_assume!(a != b);
            prop_assert!(!encode(&b, v).starts_with(&prefix(&a)));
        }

        /// Of any bytes: data keys, what only begins like one, and beginnings of one another.
        #[test]
        fn the_order_of_keys_is_that_of_their_parts(
            (a, b) in prop_oneof![
                (any_bytes(), any_bytes()),
                (any_bytes(), any_bytes()).prop_map(|(a, more)| ([&a[..], &more[..]].concat(), a)),
                (any_key(), any_version(), any_bytes()).prop_map(|(key, version, more)| {
                    let data_key = encode(&key, version);
                    ([prefix_of(&data_key), &more[..]].concat(), data_key.to_vec())
                }),
            ],
        ) {
            prop_assert_eq!(parts(&a).cmp(&parts(&b)), a.cmp(&b));
            let (first, second) = parts(&a);
            prop_assert_eq!([first, second].concat(), a);
        }

        #[test]
        fn a_data_key_gives_back_what_went_in(key in any_key(), version in any_version()) {
            let data_key = encode(&key, version);
            prop_assert_eq!(version_of(&data_key), Some(version));
            prop_assert_eq!(parts(&data_key).0, prefix_of(&data_key));
            prop_assert!(is_whole_version(parts(&data_key).1));
            prop_assert_eq!(user_key(prefix_of(&data_key)).unwrap(), &key);
            let record = of_record(&key);
            prop_assert_eq!(user_key(&record).unwrap(), &key);
            prop_assert_eq!(record_beside(prefix_of(&data_key)), &record);
            prop_assert_eq!(parts(&record), (&record[..], &b""[..]));
        }

        #[test]
        fn records_are_in_the_order_of_their_keys_and_never_versions(a in any_key(), b in any_key(), v in any_version()) {
            prop_assert_eq!(of_record(&a).cmp(&of_record(&b)), a.cmp(&b));
            // Of a user key that ends like a version.
            let like_a_version = [&a[..], &encode(b"", v)[3..]].concat();
            for record in [of_record(&like_a_version), [&of_record(&a)[..], &encode(b"", v)[3..]].concat().into()] {
                prop_assert_eq!(version_of(&record), None);
            }
        }
    }

    #[test]
    fn the_longest_keys_fit_into_the_engine() {
        for byte in [0u8, 7, 0xff] {
            let version = Version { timestamp: Timestamp { time: 1, node: 1, boot: 1 }, rmwc: 0 };
            let long = vec![byte; 64 << 10];
            assert!(encode(&long, version).len() < 65_535);
            let record = of_record(&long);
            assert!(record.len() == HASHED_LEN && is_hashed(&record) && user_key(&record).is_none());
            assert_eq!(record_beside(&prefix(&long)), record);
        }
    }
}
