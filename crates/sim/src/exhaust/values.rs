//! Stamped values by number, so that a state is a few words.

use super::hash::Map;
use super::scenario::LETTERS;
use abd::{Ballot, Newest, StampedValue, VersionStore};
use std::convert::Infallible;

/// The number of a stamped value in its run; zero is [`StampedValue::NEVER`].
pub(super) type ValueId = u8;

/// A set of values: a bit for each number.
pub(super) type ValueSet = u64;

/// What a replica has stored of the one key: its newest durable value and its newest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    pub(super) durable: ValueId,
    pub(super) newest: ValueId,
}

impl Cell {
    /// Holds this, durably.
    pub(super) fn synced(value: ValueId) -> Self {
        Self { durable: value, newest: value }
    }
}

/// All stamped values that a run has come across.
#[derive(Clone, Debug)]
pub(super) struct Values {
    list: Vec<StampedValue>,
    numbers: Map<StampedValue, ValueId>,
    /// For each value the others that carry the same version.
    twins: Vec<ValueSet>,
}

impl Values {
    pub(super) fn new() -> Self {
        let mut values = Self { list: Vec::new(), numbers: Map::default(), twins: Vec::new() };
        values.number(&StampedValue::NEVER);
        values
    }

    /// The number of a value.
    pub(super) fn number(&mut self, value: &StampedValue) -> ValueId {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        let Some(number) = u8::try_from(self.list.len()).ok().filter(|&n| u32::from(n) < ValueSet::BITS)
        else {
            panic!("a tiny world has fewer than {} values", ValueSet::BITS);
        };
        let mut twins = 0;
        for (other, known) in self.list.iter().enumerate() {
            if known.version == value.version {
                twins |= 1 << other;
                self.twins[other] |= 1 << number;
            }
        }
        self.list.push(value.clone());
        self.twins.push(twins);
        self.numbers.insert(value.clone(), number);
        number
    }

    /// All of them, by number.
    pub(super) fn list(&self) -> &[StampedValue] {
        &self.list
    }

    pub(super) fn get(&self, number: ValueId) -> &StampedValue {
        &self.list[usize::from(number)]
    }

    /// Whether two values of the set carry one version: rule V1 is broken.
    pub(super) fn has_twins(&self, set: ValueSet) -> bool {
        members(set).any(|number| self.twins[usize::from(number)] & set != 0)
    }

    /// The largest time in a set of values.
    pub(super) fn latest_time(&self, set: ValueSet) -> u64 {
        members(set).map(|number| self.get(number).version.time()).max().unwrap_or(0)
    }

    /// The operation that wrote a value; `None` for a tombstone.
    pub(super) fn writer(value: &StampedValue) -> Option<u8> {
        let letter = value.content.value()?.first()?;
        LETTERS.iter().position(|known| known == letter).and_then(|index| u8::try_from(index).ok())
    }

    /// A value in words: `a@2.n1.1`, `tombstone@3.n2.1`, `nothing`.
    pub(super) fn describe(&self, number: ValueId) -> String {
        let value = self.get(number);
        match Self::writer(value) {
            Some(writer) => format!("{}={:?}", char::from(LETTERS[usize::from(writer)]), value.version),
            None if number == 0 => "nothing".into(),
            None => format!("tombstone={:?}", value.version),
        }
    }
}

/// The numbers in a set, ascending.
pub(super) fn members(mut set: ValueSet) -> impl Iterator<Item = ValueId> {
    std::iter::from_fn(move || {
        let number = u8::try_from(set.trailing_zeros()).ok().filter(|_| set != 0)?;
        set &= set - 1;
        Some(number)
    })
}

/// A replica's store as the production `Replica` sees it.
pub(super) struct Store<'a> {
    pub(super) values: &'a Values,
    pub(super) cell: Cell,
}

impl VersionStore for Store<'_> {
    type Error = Infallible;

    fn newest(&self, _key: &[u8]) -> Result<Newest, Infallible> {
        let stamped = self.values.get(self.cell.newest).clone();
        Ok(Newest { stamped, durable: self.cell.newest == self.cell.durable })
    }

    fn mark(&self) -> Ballot {
        Ballot::MIN
    }
}
