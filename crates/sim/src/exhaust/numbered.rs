//! Distinct things by number, so that a state is a few words.

use super::hash::Map;
use std::hash::Hash;

/// Things in the order in which they were first seen.
#[derive(Clone, Debug)]
pub(super) struct Numbered<T> {
    list: Vec<T>,
    numbers: Map<T, u16>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), numbers: Map::default() }
    }

    pub(super) fn number(&mut self, thing: T) -> u16 {
        if let Some(&number) = self.numbers.get(&thing) {
            return number;
        }
        let Ok(number) = u16::try_from(self.list.len()) else { panic!("not a tiny world") };
        self.list.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }

    pub(super) fn get(&self, number: u16) -> &T {
        &self.list[usize::from(number)]
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }
}
