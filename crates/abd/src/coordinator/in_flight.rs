//! Operations in flight by number.

use super::running::Running;
use alloc::{boxed::Box, collections::VecDeque};

/// In ascending order of number. Operations begin in that order and end in nearly that order, so a queue that is
/// searched by halves is faster than a tree: its entries lie side by side, and the one that goes is near the front.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct InFlight(VecDeque<(u64, Option<Box<Running>>)>);

/// Where an operation is, unless others have ended since.
#[derive(Clone, Copy)]
pub(super) struct Position {
    index: usize,
    id: u64,
}

impl InFlight {
    /// Makes room for an operation with a number above all others.
    pub(super) fn begin(&mut self, id: u64) -> Position {
        assert!(self.0.back().is_none_or(|(last, _)| *last < id), "operations are numbered upwards");
        self.0.push_back((id, None));
        Position { index: self.0.len() - 1, id }
    }

    /// Takes an operation out for a moment: [`InFlight::put_back`] or [`InFlight::end`] follows.
    pub(super) fn take(&mut self, id: u64) -> Option<(Position, Box<Running>)> {
        let index = self.index(id)?;
        Some((Position { index, id }, self.0[index].1.take()?))
    }

    pub(super) fn put_back(&mut self, position: Position, running: Box<Running>) {
        let index = self.place(position);
        self.0[index].1 = Some(running);
    }

    pub(super) fn end(&mut self, position: Position) {
        self.0.remove(self.place(position));
    }

    pub(super) fn get(&self, id: u64) -> Option<&Running> {
        self.0[self.index(id)?].1.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Running> {
        let index = self.index(id)?;
        self.0[index].1.as_deref_mut()
    }

    fn index(&self, id: u64) -> Option<usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn place(&self, position: Position) -> usize {
        let is_there = self.0.get(position.index).is_some_and(|(id, _)| *id == position.id);
        let place = if is_there { Some(position.index) } else { self.index(position.id) };
        let Some(place) = place else { unreachable!("operation {} has ended", position.id) };
        place
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Running)> {
        self.0.iter_mut().filter_map(|(id, running)| Some((*id, running.as_deref_mut()?)))
    }
}
