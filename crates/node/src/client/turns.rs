//! Whose turn it is: operations in flight in one event loop, shared fairly between its connections.
//!
//! Everything that is in flight stands in one queue after the other: of the event loop, of the links, of the disk. Whoever
//! comes new waits for all of it. So there is a bound, and within it each connection that wants something has the same share.
//! A connection with nothing in flight may always begin one operation, whatever others do; so nobody waits to be woken by
//! others.

/// What is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many operations.
    pub operations: usize,
    /// Bytes of their keys, of values to be written, and of values found.
    pub bytes: usize,
}

impl Load {
    /// One operation.
    pub fn of_one(bytes: usize) -> Self {
        Self { operations: 1, bytes }
    }

    fn add(&mut self, more: Self) {
        self.operations += more.operations;
        self.bytes += more.bytes;
    }

    fn subtract(&mut self, less: Self) {
        self.operations -= less.operations;
        self.bytes -= less.bytes;
    }
}

/// What is in flight in an event loop.
#[derive(Clone, Debug)]
pub struct Turns {
    most: Load,
    all: Load,
    /// Connections that have something in flight.
    active: usize,
}

impl Turns {
    /// Nothing in flight, and at most so much, but for one operation of each connection.
    pub fn new(most: Load) -> Self {
        Self { most, all: Load::default(), active: 0 }
    }

    /// Whether a connection that has `own` in flight may begin `more`.
    pub fn may_begin(&self, own: Load, more: Load) -> bool {
        let share = |most: usize| most / self.active.max(1);
        own.operations == 0
            || (self.all.operations + more.operations <= self.most.operations
                && own.operations + more.operations <= share(self.most.operations)
                && self.all.bytes + more.bytes <= self.most.bytes
                && own.bytes + more.bytes <= share(self.most.bytes))
    }

    /// A connection, which has `own` in flight, begins `more`.
    pub fn begin(&mut self, own: &mut Load, more: Load) {
        self.active += usize::from(own.operations == 0);
        own.add(more);
        self.all.add(more);
    }

    /// Operations of a connection have ended.
    pub fn end(&mut self, own: &mut Load, less: Load) {
        own.subtract(less);
        self.all.subtract(less);
        self.active -= usize::from(own.operations == 0 && less.operations > 0);
    }

    /// What an operation in flight holds has grown or shrunk.
    pub fn resize(&mut self, own: &mut Load, from: usize, to: usize) {
        own.bytes = own.bytes - from + to;
        self.all.bytes = self.all.bytes - from + to;
    }

    /// All that is in flight.
    pub fn all(&self) -> Load {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const ONE: Load = Load { operations: 1, bytes: 10 };

    /// Begins as much as may be begun.
    fn flood(turns: &mut Turns, own: &mut Load) -> usize {
        let before = own.operations;
        while turns.may_begin(*own, ONE) {
            turns.begin(own, ONE);
        }
        own.operations - before
    }

    #[test]
    fn a_single_connection_has_everything_and_several_share_it() {
        let mut turns = Turns::new(Load { operations: 100, bytes: 10_000 });
        let mut floods = vec![Load::default(); 4];
        assert_eq!(flood(&mut turns, &mut floods[0]), 100);
        for one in &mut floods[1..] {
            assert_eq!(flood(&mut turns, one), 1, "one is always possible");
        }
        // What ends goes to whoever has less than a share.
        for _ in 0..1000 {
            for one in &mut floods {
                if one.operations > 0 {
                    turns.end(one, ONE);
                }
                flood(&mut turns, one);
            }
        }
        assert!(floods.iter().all(|one| one.operations == 25), "{floods:?}");
        for one in &mut floods {
            turns.end(one, *one);
        }
        assert_eq!((turns.all(), turns.active), (Load::default(), 0));
    }

    #[test]
    fn more_connections_than_operations_have_one_each() {
        let mut turns = Turns::new(Load { operations: 100, bytes: 10_000 });
        let mut floods = vec![Load::default(); 1000];
        for _ in 0..100 {
            for one in &mut floods {
                if one.operations > 0 {
                    turns.end(one, ONE);
                }
                flood(&mut turns, one);
            }
        }
        assert_eq!(turns.all().operations, 1000);
        assert!(turns.may_begin(Load::default(), ONE));
    }

    #[test]
    fn bytes_are_shared_too_and_one_large_value_is_always_possible() {
        let mut turns = Turns::new(Load { operations: 100, bytes: 50 });
        let mut own = Load::default();
        assert_eq!(flood(&mut turns, &mut own), 5);
        let mut other = Load::default();
        let large = Load::of_one(1_000);
        assert!(turns.may_begin(other, large));
        turns.begin(&mut other, large);
        turns.end(&mut own, Load { operations: 4, bytes: 40 });
        assert!(!turns.may_begin(own, ONE));
        turns.resize(&mut other, 1_000, 5);
        assert!(turns.may_begin(own, ONE));
        assert_eq!(turns.all().bytes, 15);
    }
}
