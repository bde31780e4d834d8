//! Rules E1 to E4: a value with a deadline is there until its expiry is decided, and that is an event like any other, by nobody. Here is
//! which values may have expired, and since when; what clients saw must have an order with these events in it.

use super::Conviction;
use super::chosen::Chosen;
use crate::history::{ClientAnswer, OperationRecord};
use crate::plan::OperationKind;
use crate::time::{EPOCH, MS};
use abd::{Content, Deadline, Proposal, StampedValue, Version};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The end of a value that nobody else writes, and nothing else comes to.
const MARK: u8 = b';';

/// Every value that has, or had, a deadline.
#[derive(Debug, Default)]
pub struct Expiries {
    living: BTreeMap<(Bytes, Version), Living>,
    /// What each version holds, if it is a value.
    values: BTreeMap<(Bytes, Version), Bytes>,
    /// Values that had no deadline at some time.
    lasting: BTreeSet<(Bytes, Bytes)>,
}

#[derive(Debug)]
struct Living {
    value: Bytes,
    deadline: Deadline,
    /// The event at which it was first seen.
    since: u64,
}

/// That a value goes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Of which key.
    pub key: Bytes,
    /// Which value; `None`: whatever is there when it gets a deadline that has passed already.
    pub value: Option<Bytes>,
    /// Not before this event.
    pub since: u64,
    /// Its deadline in virtual time, in nanoseconds.
    pub due: u64,
}

impl Expiries {
    /// There is such a version since this event.
    pub fn exists(&mut self, key: &Bytes, stamped: &StampedValue, event: u64) {
        let Content::Value(value) = &stamped.content else { return };
        self.values.insert((key.clone(), stamped.version), value.clone());
        if stamped.deadline == Deadline::NONE {
            self.lasting.insert((key.clone(), value.clone()));
            return;
        }
        let living = || Living { value: value.clone(), deadline: stamped.deadline, since: event };
        self.living.entry((key.clone(), stamped.version)).or_insert_with(living);
    }

    /// The expiries that may have happened: something was chosen on such a version, and does not go on from its value.
    /// And those that operations may have brought about, whose deadlines had passed before they were carried out.
    pub fn possible(&self, chosen: &Chosen, records: &[OperationRecord]) -> Vec<Expiry> {
        let expired = |((key, version), living): (&(Bytes, Version), &Living)| {
            let Living { value, deadline, since } = living;
            let successor = chosen.successor(key, *version)?;
            let (value, due) = (Some(value.clone()), due(*deadline));
            let expiry = Expiry { key: key.clone(), value, since: *since, due };
            (!goes_on(&living.value, successor)).then_some(expiry)
        };
        let at_once = records.iter().filter(|record| self.expires_at_once(chosen, record)).map(|record| {
            let (at, since) = record.invoked;
            let value = (record.kind == OperationKind::Lock).then(|| record.value.clone());
            Expiry { key: record.key.clone(), value, since, due: at + record.lives_for() * MS }
        });
        self.living.iter().filter_map(expired).chain(at_once).collect()
    }

    /// Whether the deadline that an update gives a value may have passed before the update was evaluated: what was chosen does not have
    /// the value.
    fn expires_at_once(&self, chosen: &Chosen, record: &OperationRecord) -> bool {
        let lacks_value = |(base, proposal): (Version, &Proposal)| match record.kind {
            OperationKind::Lock => !proposal
                .content
                .value()
                .is_some_and(|value| value.windows(record.value.len()).any(|part| part == record.value)),
            OperationKind::Expire | OperationKind::GetEx => {
                let base = self.values.get(&(record.key.clone(), base));
                !base.is_some_and(|base| goes_on(base, proposal))
            }
            _ => false,
        };
        chosen.proposals(record).any(lacks_value)
    }

    /// Rule E3, TrueTime: who asks so long after the deadline that it has passed by every clock is not told the value any more.
    /// `behind`: how far a clock is behind true time at most.
    ///
    /// # Errors
    /// The first answer that comes too late.
    pub fn check_late(&self, records: &[OperationRecord], behind: u64) -> Result<(), Conviction> {
        let mut latest: BTreeMap<(&Bytes, &Bytes), u64> = BTreeMap::new();
        for ((key, _), living) in &self.living {
            let latest = latest.entry((key, &living.value)).or_default();
            *latest = due(living.deadline).max(*latest);
        }
        for (index, record) in records.iter().enumerate() {
            let ClientAnswer::Read(Some(value)) = &record.answer else { continue };
            let lasts = self.lasting.contains(&(record.key.clone(), value.clone()));
            let Some(due) = latest.get(&(&record.key, value)).filter(|_| !lasts) else { continue };
            if value.ends_with(&[MARK]) && record.invoked.0 > due + behind {
                let why = format!(
                    "{} is answered {}, whose deadline had passed by every clock when it was asked",
                    record.text(),
                    record.answer.text()
                );
                let check = "what is due by every clock is not told";
                return Err(Conviction { operations: vec![index], ..Conviction::new(check, why) });
            }
        }
        Ok(())
    }
}

/// Whether what was chosen is made from a value. Numbers do not say what they come from.
fn goes_on(value: &Bytes, chosen: &Proposal) -> bool {
    value.ends_with(&[MARK]) && chosen.content.value().is_some_and(|next| next.starts_with(value))
}

/// A deadline in virtual time.
fn due(deadline: Deadline) -> u64 {
    deadline.0.saturating_mul(MS).saturating_sub(EPOCH)
}
