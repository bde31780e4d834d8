//! Where things come from.

use smallvec::SmallVec;

/// How many came from which processor.
#[derive(Default)]
pub(super) struct Origins(SmallVec<[(usize, u32); 4]>);

impl Origins {
    pub(super) fn add(&mut self, processor: usize) {
        match self.0.iter_mut().find(|(number, _)| *number == processor) {
            Some((_, count)) => *count += 1,
            None => self.0.push((processor, 1)),
        }
    }

    /// Processors, and how many came from each: at least one.
    pub(super) fn counts(&self) -> impl Iterator<Item = (usize, u32)> {
        self.0.iter().copied()
    }

    /// Halves all counts; what remains of them.
    pub(super) fn halve(&mut self) -> u32 {
        self.0.iter_mut().for_each(|(_, count)| *count /= 2);
        self.0.retain(|(_, count)| *count > 0);
        self.counts().map(|(_, count)| count).sum()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
