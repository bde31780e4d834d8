//! Rule P3': an update takes effect once, or never; one that was refused, never. A value that a client writes, and what it appends, is
//! its own and ends with a mark: so every version says whose effects are in it.

use super::Conviction;
use crate::history::{ClientAnswer, OperationRecord};
use crate::plan::OperationKind;
use abd::{Content, StampedValue, Version};
use bytes::Bytes;
use node::configuration::RESERVED;
use std::collections::{BTreeMap, BTreeSet};

/// The end of what one client wrote.
const MARK: u8 = b';';

/// Where each piece of a value came from.
#[derive(Debug, Default)]
pub struct Once {
    /// Every version of each key that was chosen or written, as its pieces.
    versions: BTreeMap<(Bytes, Version), BTreeSet<Bytes>>,
    /// The version that brought each piece.
    brought: BTreeMap<Bytes, Version>,
}

impl Once {
    /// There is such a version: it was chosen, or a coordinator writes it.
    ///
    /// # Errors
    /// When a piece is in it twice, or was brought by another version already.
    pub fn exists(&mut self, key: &Bytes, stamped: &StampedValue) -> Result<(), Conviction> {
        let version = stamped.version;
        if key.starts_with(RESERVED) {
            // No client writes it, and what it holds has no marks.
            return Ok(());
        }
        if self.versions.contains_key(&(key.clone(), version)) {
            return Ok(());
        }
        let Content::Value(value) = &stamped.content else { return Ok(()) };
        let base = version.rmwc.checked_sub(1).map(|rmwc| (key.clone(), Version { rmwc, ..version }));
        let mut pieces = BTreeSet::new();
        for piece in value.split_inclusive(|byte| *byte == MARK).filter(|piece| piece.ends_with(&[MARK])) {
            let piece = Bytes::copy_from_slice(piece);
            let text = || piece.escape_ascii().to_string();
            if !pieces.insert(piece.clone()) {
                let why = format!("{} is in {version} twice", text());
                return Err(Conviction::new("an update is applied once", why));
            }
            let inherited = base.as_ref().and_then(|base| self.versions.get(base));
            if inherited.is_some_and(|inherited| inherited.contains(&piece)) {
                continue;
            }
            let first = self.brought.entry(piece.clone()).or_insert(version);
            if *first != version {
                let why = format!("{} was brought by {first} and by {version}", text());
                return Err(Conviction::new("an update is applied once", why));
            }
        }
        self.versions.insert((key.clone(), version), pieces);
        Ok(())
    }

    /// Whether a value that is set came to be; where that cannot be told, it may have.
    pub fn may_have_set(&self, record: &OperationRecord) -> bool {
        let is_set = matches!(record.kind, OperationKind::Set | OperationKind::SetEx);
        let is_own = is_set && record.value.ends_with(&[MARK]);
        !is_own || self.brought.contains_key(&record.value)
    }

    /// What was refused is in no version.
    ///
    /// # Errors
    /// The first operation that is.
    pub fn check_refused(&self, records: &[OperationRecord]) -> Result<(), Conviction> {
        let refused = |record: &OperationRecord| {
            matches!(record.answer, ClientAnswer::Refused(_) | ClientAnswer::NotAsked)
        };
        for (index, record) in records.iter().enumerate().filter(|(_, record)| refused(record)) {
            if let Some(version) = self.brought.get(&record.value).filter(|_| record.kind.has_value()) {
                let why = format!("{} was refused, and brought {version}", record.text());
                let check = "what was refused has no effect";
                return Err(Conviction { operations: vec![index], ..Conviction::new(check, why) });
            }
        }
        Ok(())
    }
}
