//! Accepted records: `format u8 | base 24 | ballot 20 | update id 16 | kind u8 | deadline u64 | key length u32 | key | crc32 u32 |
//! bytes`, all big-endian.
//!
//! One for each key of which a replica has accepted a proposal for the newest version (rules P2' and P7; PROTOCOL section 5.7). What
//! stands from the kind on is as in a value record.

use super::record::{checked, content, finish, kind};
use crate::database::DatabaseError;
use abd::{Acceptance, AcceptedRecord, Ballot, Deadline, Proposal, UpdateId, Version};
use bytes::{Buf, BufMut, Bytes};

const FORMAT: u8 = 1;
/// Bytes before the length of the key.
const HEADER: usize = 1 + Version::LEN + Ballot::LEN + UpdateId::LEN + 1 + 8;

/// Bytes of a record.
pub(crate) fn size(record: &AcceptedRecord, key: Option<&[u8]>) -> usize {
    HEADER + 4 + key.map_or(0, <[u8]>::len) + 4 + record.acceptance.proposal.content.len()
}

/// Appends a record; `key` only where the data key is a hash.
pub(crate) fn append(out: &mut Vec<u8>, record: &AcceptedRecord, key: Option<&[u8]>) {
    let AcceptedRecord { base, acceptance: Acceptance { ballot, proposal } } = record;
    let start = out.len();
    out.put_u8(FORMAT);
    out.put_slice(&base.to_bytes());
    out.put_slice(&ballot.to_bytes());
    out.put_slice(&proposal.update.to_bytes());
    out.put_u8(kind(&proposal.content));
    out.put_u64(proposal.deadline.0);
    finish(out, start, &proposal.content, key);
}

/// Decodes a record, and the key, if it is in there.
pub(crate) fn decode(record: &Bytes) -> Result<(Option<Bytes>, AcceptedRecord), DatabaseError> {
    let damaged = |why: &str| DatabaseError::Damaged(format!("an accepted record {why}"));
    let Some((key, bytes)) = checked(record, HEADER) else {
        return Err(damaged("does not match its checksum"));
    };
    let mut rest = &record[..];
    if rest.get_u8() != FORMAT {
        return Err(damaged("is of an unknown format: was it written by a newer release?"));
    }
    let base = Version::from_bytes(&field(&mut rest)).map_err(|why| damaged(&why.to_string()))?;
    let ballot = Ballot::from_bytes(&field(&mut rest));
    let update = UpdateId::from_bytes(&field(&mut rest));
    let content = content(rest.get_u8(), bytes).ok_or_else(|| damaged("is of an unknown kind"))?;
    let proposal = Proposal { update, content, deadline: Deadline(rest.get_u64()) };
    Ok((key, AcceptedRecord { base, acceptance: Acceptance { ballot, proposal } }))
}

/// The next bytes of what is as long as the checksum says.
fn field<const LENGTH: usize>(rest: &mut &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    rest.copy_to_slice(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{Content, Timestamp};

    fn record(base: Version, content: Content) -> AcceptedRecord {
        let ballot = Ballot { epoch: 1, round: 77, node: 2, boot: 5 };
        let update = UpdateId { round: 76, node: 3, boot: 9 };
        let proposal = Proposal { update, content, deadline: Deadline(1 << 41) };
        AcceptedRecord { base, acceptance: Acceptance { ballot, proposal } }
    }

    #[test]
    fn a_record_gives_back_what_went_in_and_no_flipped_bit_passes() {
        let written = Version { timestamp: Timestamp { time: 7, node: 1, boot: 2 }, rmwc: 3 };
        for base in [Version::MIN, Version { rmwc: 4, ..Version::MIN }, written] {
            for content in [Content::Tombstone, Content::Value("".into()), Content::Value("value".into())] {
                for key in [None, Some(&b"a long key"[..])] {
                    let record = record(base, content.clone());
                    let mut bytes = b"before".to_vec();
                    append(&mut bytes, &record, key);
                    let bytes = Bytes::from(bytes.split_off(6));
                    assert_eq!(bytes.len(), size(&record, key));
                    assert_eq!(decode(&bytes), Ok((key.map(Bytes::copy_from_slice), record)));
                    for bit in 0..bytes.len() * 8 {
                        let mut flipped = bytes.to_vec();
                        flipped[bit / 8] ^= 1 << (bit % 8);
                        assert!(decode(&Bytes::from(flipped)).is_err(), "bit {bit}");
                    }
                    assert!((0..bytes.len()).all(|length| decode(&bytes.slice(..length)).is_err()));
                }
            }
        }
    }

    /// The bytes are on disks: they stay what they are.
    #[test]
    fn the_format_is_pinned() {
        let mut bytes = Vec::new();
        append(&mut bytes, &record(Version::MIN, Content::Value("v".into())), None);
        let mut expected = vec![1];
        expected.extend([0; Version::LEN]);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 2, 0, 0, 0, 5]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 76, 0, 0, 0, 3, 0, 0, 0, 9]);
        expected.extend([1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[..HEADER + 4], expected);
        assert_eq!((bytes.len(), bytes.last()), (HEADER + 9, Some(&b'v')));
    }
}
