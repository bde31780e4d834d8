//! Operations in flight by number.

use super::running::Running;
use alloc::{boxed::Box, collections::VecDeque};
use core::ops::{Deref, DerefMut};

/// In ascending order of number. Operations begin in that order and end in nearly that order, so a queue that is
/// searched by halves is faster than a tree: its entries lie side by side, and the one that goes is near the front.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct InFlight(VecDeque<(u64, Option<Box<Running>>)>);

/// An operation that was taken out for a moment: [`InFlight::put_back`] or [`InFlight::end`] follows.
pub(super) struct Taken {
    running: Box<Running>,
    /// Where its place is, unless others have ended since.
    index: usize,
}

impl Deref for Taken {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}

impl InFlight {
    /// Makes room for an operation with a number above all others.
    pub(super) fn begin(&mut self, running: Running) -> Taken {
        let id = running.id;
        assert!(self.0.back().is_none_or(|(last, _)| *last < id), "operations are numbered upwards");
        self.0.push_back((id, None));
        Taken { running: Box::new(running), index: self.0.len() - 1 }
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Taken> {
        let index = self.index(id)?;
        Some(Taken { running: self.0[index].1.take()?, index })
    }

    pub(super) fn put_back(&mut self, taken: Taken) {
        let index = self.place(&taken);
        self.0[index].1 = Some(taken.running);
    }

    pub(super) fn end(&mut self, taken: &Taken) {
        self.0.remove(self.place(taken));
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

    fn place(&self, taken: &Taken) -> usize {
        let is_there = self.0.get(taken.index).is_some_and(|(id, _)| *id == taken.id);
        let place = if is_there { Some(taken.index) } else { self.index(taken.id) };
        let Some(place) = place else { unreachable!("operation {} has ended", taken.id) };
        place
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.0.iter_mut().filter_map(|(_, running)| running.as_deref_mut())
    }
}
