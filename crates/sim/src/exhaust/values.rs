//! Stamped values by number, so that a state is a few words.

use super::hash::Map;
use super::scenario::{LETTERS, MAX_OPERATIONS};
use abd::{Content, Deadline, StampedValue, UpdateId};

/// The number of a stamped value in its run; zero is [`StampedValue::NEVER`].
pub(super) type ValueId = u8;

/// A set of values: a bit for each number.
pub(super) type ValueSet = u64;

/// A content: the letters of the operations that made it, in order. Never longer than there are operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Text(u16);

impl Text {
    /// No value.
    pub(super) const ABSENT: Self = Self(0);
    const BASE: u16 = 6;

    /// With the letter of one more operation.
    pub(super) fn and(self, operation: u8) -> Self {
        Self(self.0 * Self::BASE + u16::from(operation) + 1)
    }

    /// The operations whose letters it has.
    pub(super) fn letters(self) -> Vec<u8> {
        let mut letters = Vec::new();
        let mut rest = self.0;
        while rest > 0 {
            letters.extend(u8::try_from(rest % Self::BASE - 1));
            rest /= Self::BASE;
        }
        letters.reverse();
        letters
    }

    pub(super) fn of(content: &Content) -> Self {
        let known = |letter: &u8| LETTERS.iter().position(|known| known == letter);
        let letters = content.value().into_iter().flatten().filter_map(known);
        letters.fold(Self::ABSENT, |text, letter| text.and(u8::try_from(letter).unwrap_or(u8::MAX)))
    }

    pub(super) fn content(self) -> Content {
        if self == Self::ABSENT {
            return Content::Tombstone;
        }
        Content::Value(self.bytes().into())
    }

    fn bytes(self) -> Vec<u8> {
        self.letters().into_iter().map(|letter| LETTERS[usize::from(letter)]).collect()
    }

    /// In words.
    pub(super) fn describe(self) -> String {
        if self == Self::ABSENT { "nothing".into() } else { String::from_utf8_lossy(&self.bytes()).into() }
    }
}

/// All stamped values that a run has come across.
#[derive(Clone, Debug)]
pub(super) struct Values {
    list: Vec<StampedValue>,
    numbers: Map<StampedValue, ValueId>,
    /// For each value the others that carry the same version.
    twins: Vec<ValueSet>,
    /// For each that an Update has made the others that the same one has made, under another version.
    repeats: Vec<ValueSet>,
}

impl Values {
    pub(super) fn new() -> Self {
        let mut values =
            Self { list: Vec::new(), numbers: Map::default(), twins: Vec::new(), repeats: Vec::new() };
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
        let (mut twins, mut repeats) = (0, 0);
        for (other, known) in self.list.iter().enumerate() {
            if known.version == value.version {
                twins |= 1 << other;
                self.twins[other] |= 1 << number;
            } else if maker(known).is_some() && maker(known) == maker(value) {
                repeats |= 1 << other;
                self.repeats[other] |= 1 << number;
            }
        }
        self.list.push(value.clone());
        self.twins.push(twins);
        self.repeats.push(repeats);
        self.numbers.insert(value.clone(), number);
        number
    }

    /// The number of a value that has one.
    pub(super) fn known(&self, value: &StampedValue) -> Option<ValueId> {
        self.numbers.get(value).copied()
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

    /// Whether two values of the set are the same Update, twice.
    pub(super) fn has_repeats(&self, set: ValueSet) -> bool {
        members(set).any(|number| self.repeats[usize::from(number)] & set != 0)
    }

    /// The largest time in a set of values.
    pub(super) fn latest_time(&self, set: ValueSet) -> u64 {
        members(set).map(|number| self.get(number).version.time()).max().unwrap_or(0)
    }

    /// The latest deadline in a set of values, if one has any.
    pub(super) fn latest_deadline(&self, set: ValueSet) -> Option<u64> {
        let deadlines = members(set).map(|number| self.get(number).deadline);
        deadlines.filter(|deadline| *deadline != Deadline::NONE).map(|deadline| deadline.0).max()
    }

    /// A value in words: `a=2@n1.1`, `b=3@n2.1 until 5`, `tombstone=3@n2.1`, `nothing`.
    pub(super) fn describe(&self, number: ValueId) -> String {
        let value = self.get(number);
        match Text::of(&value.content) {
            Text::ABSENT if number == 0 => "nothing".into(),
            Text::ABSENT => format!("tombstone={:?}", value.version),
            text if value.deadline == Deadline::NONE => format!("{}={:?}", text.describe(), value.version),
            text => format!("{}={:?} until {}", text.describe(), value.version, value.deadline.0),
        }
    }
}

/// The Update that made a value: the one whose letter is its last.
fn maker(value: &StampedValue) -> Option<u8> {
    let last = || Text::of(&value.content).letters().last().copied();
    (value.update != UpdateId::NONE).then(last).flatten()
}

const _: () = assert!(MAX_OPERATIONS < Text::BASE as usize, "each letter is a digit above zero");

/// The numbers in a set, ascending.
pub(super) fn members(mut set: ValueSet) -> impl Iterator<Item = ValueId> {
    std::iter::from_fn(move || {
        let number = u8::try_from(set.trailing_zeros()).ok().filter(|_| set != 0)?;
        set &= set - 1;
        Some(number)
    })
}
