//! A bounded look at a range of keys: what comparing two replicas needs.

use super::MultiVersionStore;
use crate::database::{Database, DatabaseError};
use crate::encoding::key;
use abd::Version;
use bytes::Bytes;

/// Keys read from one snapshot. A snapshot keeps memtables and tables for as long as it lives, and keys may be long.
const STEP: usize = 64;

/// The first keys of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Keys and their newest versions, in the order of the store.
    pub entries: Vec<(Bytes, Version)>,
    /// Whether the range has no further key.
    pub is_last: bool,
}

impl<D: Database> MultiVersionStore<D> {
    /// The first keys behind `after` (of all, if `None`) and up to `up_to` (to the last, if `None`), in the order of the store,
    /// without a look at any content: at most `at_most`, and no more once they have `bytes_max` bytes.
    pub fn walk(
        &self,
        after: Option<&[u8]>,
        up_to: Option<&[u8]>,
        at_most: usize,
        bytes_max: usize,
    ) -> Result<Walked, DatabaseError> {
        let end = up_to.map(key::prefix);
        let is_behind = |key: &[u8]| end.as_ref().is_some_and(|end| key::prefix(key) > *end);
        let mut walked = Walked::default();
        let mut last = after.map(Bytes::copy_from_slice);
        let mut bytes = 0;
        loop {
            // One more, as a step begins with the last key of the one before if that is still there.
            let step = self.scan_versions(last.as_deref().unwrap_or_default(), STEP + 1)?;
            let is_short = step.len() <= STEP;
            for (key, version, _) in step {
                if last.as_ref() == Some(&key) {
                    continue;
                }
                if is_behind(&key) {
                    walked.is_last = true;
                    return Ok(walked);
                }
                if walked.entries.len() >= at_most || bytes >= bytes_max {
                    return Ok(walked);
                }
                bytes += key.len() + Version::LEN;
                last = Some(key.clone());
                walked.entries.push((key, version));
            }
            if is_short {
                walked.is_last = true;
                return Ok(walked);
            }
        }
    }
}
