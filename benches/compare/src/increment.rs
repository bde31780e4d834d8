//! How etcd increments a number: a transaction that puts the next one if nobody has put another meanwhile, in a loop.
//!
//! This is etcd's best way. A transaction whose comparison fails reads in the same call what the next attempt needs, so that only
//! the first attempt has to ask before it.

use crate::protobuf::{bytes, fields, number, put_bytes, put_number};

/// Field numbers of `RangeResponse`.
const KVS: u64 = 2;
/// Field numbers of `KeyValue`.
const MOD_REVISION: u64 = 3;
const VALUE: u64 = 5;

/// What a key holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    /// When it was last put; zero of a key that is absent.
    revision: u64,
    /// The number; zero of a key that is absent.
    value: u64,
}

impl Counter {
    /// Reads a `RangeResponse` for one key; `None` when the value is no number.
    pub(crate) fn of(range: &[u8]) -> Option<Self> {
        let Some(found) = bytes(range, KVS) else { return Some(Self::default()) };
        let value = std::str::from_utf8(bytes(found, VALUE)?).ok()?.parse().ok()?;
        Some(Self { revision: number(found, MOD_REVISION)?, value })
    }

    /// The `TxnRequest` that puts the next number if the key still holds this one, and else reads what it holds.
    pub(crate) fn next(self, key: &[u8]) -> Vec<u8> {
        /// `CompareTarget::MOD`; the result that is asked for, `EQUAL`, is the default.
        const MOD: u64 = 2;
        let message = |parts: &dyn Fn(&mut Vec<u8>)| {
            let mut message = Vec::new();
            parts(&mut message);
            message
        };
        let compare = message(&|out| {
            put_number(out, 2, MOD);
            put_bytes(out, 3, key);
            put_number(out, 6, self.revision);
        });
        let range = message(&|out| put_bytes(out, 1, key));
        let put = message(&|out| {
            put_bytes(out, 1, key);
            put_bytes(out, 2, (self.value + 1).to_string().as_bytes());
        });
        message(&|out| {
            put_bytes(out, 1, &compare);
            put_bytes(out, 2, &message(&|out| put_bytes(out, 2, &put)));
            put_bytes(out, 3, &message(&|out| put_bytes(out, 1, &range)));
        })
    }
}

/// What a `TxnResponse` says: `Ok` when the number was put, else what the key holds.
pub(crate) fn outcome(response: &[u8]) -> Result<(), Option<Counter>> {
    if number(response, 2) == Some(1) {
        return Ok(());
    }
    let read = fields(response).find_map(|(field, value)| value.bytes().filter(|_| field == 3));
    Err(read.and_then(|response| bytes(response, 1)).and_then(Counter::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = Vec::new();
        parts(&mut message);
        message
    }

    fn range(revision: u64, value: &[u8]) -> Vec<u8> {
        let found = message(|out| {
            put_bytes(out, 1, b"k");
            put_number(out, MOD_REVISION, revision);
            put_bytes(out, VALUE, value);
        });
        message(|out| put_bytes(out, KVS, &found))
    }

    #[test]
    fn a_counter_is_read_from_what_etcd_answers() {
        assert_eq!(Counter::of(&[]), Some(Counter { revision: 0, value: 0 }), "an absent key");
        assert_eq!(Counter::of(&range(300, b"12")), Some(Counter { revision: 300, value: 12 }));
        assert_eq!(Counter::of(&range(300, b"no number")), None);
    }

    #[test]
    fn a_lost_race_says_what_won() {
        assert_eq!(outcome(&message(|out| put_number(out, 2, 1))), Ok(()));
        let read = message(|out| put_bytes(out, 1, &range(7, b"5")));
        let lost = message(|out| put_bytes(out, 3, &read));
        assert_eq!(outcome(&lost), Err(Some(Counter { revision: 7, value: 5 })));
        assert_eq!(outcome(&[]), Err(None));
    }

    #[test]
    fn a_transaction_compares_the_revision_and_puts_the_next_number() {
        let request = Counter { revision: 300, value: 9 }.next(b"k");
        let compare = bytes(&request, 1).unwrap();
        assert_eq!((number(compare, 1), number(compare, 2), number(compare, 6)), (None, Some(2), Some(300)));
        assert_eq!(bytes(compare, 3), Some(&b"k"[..]));
        let put = bytes(bytes(&request, 2).unwrap(), 2).unwrap();
        assert_eq!((bytes(put, 1), bytes(put, 2)), (Some(&b"k"[..]), Some(&b"10"[..])));
        let read = bytes(bytes(&request, 3).unwrap(), 1).unwrap();
        assert_eq!(bytes(read, 1), Some(&b"k"[..]));
    }
}
