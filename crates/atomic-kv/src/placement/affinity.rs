//! A thread's order about where it runs.

use std::io;

/// What the system lets a thread say about processors.
pub(super) trait Processors {
    /// Those that it may be on, ascending.
    fn allowed(&self) -> io::Result<Vec<usize>>;
    /// Those that the process's first thread may be on.
    fn allowed_first(&self) -> io::Result<Vec<usize>>;
    fn allow(&mut self, processors: &[usize]) -> io::Result<()>;
}

/// Where a thread may run. What somebody else orders meanwhile holds.
pub(super) struct Affinity<S> {
    pub(super) system: S,
    order: Option<Order>,
}

/// In force: the thread may run on `processors` only; before, it might run on any of `before`.
struct Order {
    processors: Vec<usize>,
    before: Vec<usize>,
}

impl<S: Processors> Affinity<S> {
    pub(super) fn new(system: S) -> Self {
        Self { system, order: None }
    }

    /// Whether an order is in force, as far as is known.
    pub(super) fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// Where the thread might run without an order. An order that somebody has replaced is forgotten.
    pub(super) fn allowed(&mut self) -> io::Result<Vec<usize>> {
        let now = self.system.allowed()?;
        let Some(Order { processors, before }) = &self.order else { return Ok(now) };
        if *processors == now {
            return Ok(before.clone());
        }
        // Where a container's processors become fewer, or one goes offline, the system leaves what an order and the rest
        // have in common. That is no order of somebody else.
        let first = self.system.allowed_first()?;
        if now == in_common(processors, &first) {
            return Ok(in_common(before, &first));
        }
        self.order = None;
        Ok(now)
    }

    /// Has the thread run on some of those that are allowed, if the system lets it: they may be taken away at any time.
    pub(super) fn order(&mut self, processors: Vec<usize>, allowed: Vec<usize>) -> bool {
        let is_in_force = self.order.as_ref().is_some_and(|order| order.processors == processors);
        if !is_in_force && self.system.allow(&processors).is_err() {
            return false;
        }
        self.order = Some(Order { processors, before: allowed });
        true
    }

    /// Lets the thread run wherever it might without an order.
    ///
    /// # Errors
    /// When the system refuses; the order is still in force then.
    pub(super) fn withdraw(&mut self) -> io::Result<()> {
        if self.order.is_some() {
            let allowed = self.allowed()?;
            if self.order.is_some() {
                self.system.allow(&allowed)?;
                self.order = None;
            }
        }
        Ok(())
    }
}

fn in_common(some: &[usize], others: &[usize]) -> Vec<usize> {
    some.iter().copied().filter(|number| others.contains(number)).collect()
}
