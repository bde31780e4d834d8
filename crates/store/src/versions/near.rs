//! A key by chance: for whoever wants any, and each of them now and then.

use super::MultiVersionStore;
use crate::damage::Part;
use crate::database::{Database, DatabaseError, DatabaseIterator, Snapshot};
use crate::encoding::key;
use bytes::Bytes;

/// After so many bytes the keys that are left are taken for alike.
const DEPTH_MAX: usize = 64;

impl<D: Database> MultiVersionStore<D> {
    /// A key that `number` leads to, from byte to byte among those that follow each other in some key; not always another one, nor
    /// with the same chance. It may be deleted. `None` if there is none but very long ones.
    ///
    /// # Errors
    /// As those of [`Database`].
    pub fn key_near(&self, mut number: u64) -> Result<Option<Bytes>, DatabaseError> {
        let mut iterator = self.database.snapshot()?.iterator();
        let mut beginning = key::FIRST.to_vec();
        let mut found = None;
        for _ in 0..DEPTH_MAX {
            let part = Part::of_prefix(&beginning);
            iterator.seek(&part.from)?;
            let Some(first) = begins_like(&iterator, &beginning) else { break };
            iterator.seek(&part.to)?;
            match iterator.key() {
                Some(_) => iterator.prev()?,
                None => iterator.seek_to_last()?,
            }
            let Some(last) = begins_like(&iterator, &beginning) else { break };
            found = key::user_key(key::prefix_of(&first)).or(found);
            if key::prefix_of(&first) == key::prefix_of(&last) {
                break;
            }
            let place = beginning.len();
            let (low, high) = (first[place], last[place]);
            let step = number % (u64::from(high - low) + 1);
            number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
            beginning.push(low + u8::try_from(step).unwrap_or_default());
            // No key may go on with that byte: then with the next one that does.
            iterator.seek(&beginning)?;
            beginning[place] = iterator.key().map_or(high, |key| key[place]);
        }
        Ok(found)
    }
}

fn begins_like(iterator: &impl DatabaseIterator, beginning: &[u8]) -> Option<Bytes> {
    iterator.key().filter(|key| key.starts_with(beginning)).cloned()
}
