//! Memory that clients hold, for a node as a whole: half-sent requests, requests in flight, values found, replies that wait.
//!
//! As Redis' `maxmemory-clients`: when all clients together hold too much, the connection that holds most is closed. So a
//! node's memory has a bound, and whoever behaves does not notice.
use alloc::vec::Vec;

/// What a connection counts for that holds nothing: its state, its tasks, its place in tables.
pub const IDLE_BYTES: u64 = 4 << 10;
/// What a connection holds is counted in steps of so much: most requests change nothing.
const STEP_BYTES: u64 = 16 << 10;

/// An account of a [`Budget`]: a connection. The numbers of closed accounts are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account(usize);

impl Account {
    /// A place in a table that is kept beside the budget.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What all connections of a node hold.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: u64,
    used: u64,
    /// What those hold that are told to leave: it is on its way back.
    leaving: u64,
    accounts: Vec<Option<Holding>>,
    free: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Holding {
    bytes: u64,
    is_leaving: bool,
}

impl Budget {
    /// An empty one. `limit` is in bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, used: 0, leaving: 0, accounts: Vec::new(), free: Vec::new() }
    }

    /// A connection that holds nothing yet.
    pub fn open(&mut self) -> Account {
        let index = self.free.pop().unwrap_or_else(|| {
            self.accounts.push(None);
            self.accounts.len() - 1
        });
        self.accounts[index] = Some(Holding { bytes: 0, is_leaving: false });
        Account(index)
    }

    /// A connection is gone, and all that it held.
    ///
    /// # Panics
    /// When the account is not open.
    pub fn close(&mut self, account: Account) {
        let Some(holding) = self.accounts[account.0].take() else {
            unreachable!("an account is closed once")
        };
        self.used -= holding.bytes;
        if holding.is_leaving {
            self.leaving -= holding.bytes;
        }
        self.free.push(account.0);
    }

    /// From now on a connection holds so many bytes.
    ///
    /// # Panics
    /// When the account is not open.
    pub fn charge(&mut self, account: Account, bytes: u64) {
        let Some(holding) = &mut self.accounts[account.0] else {
            unreachable!("only open accounts are charged")
        };
        self.used = self.used - holding.bytes + bytes;
        if holding.is_leaving {
            self.leaving = self.leaving - holding.bytes + bytes;
        }
        holding.bytes = bytes;
    }

    /// Who is to leave now, with what it holds: the one that holds most, if too much is held beside what is on its way back.
    /// To be asked again until nobody is.
    pub fn next_to_leave(&mut self) -> Option<(Account, u64)> {
        if self.used - self.leaving <= self.limit {
            return None;
        }
        let holdings = self.accounts.iter_mut().enumerate();
        let staying = holdings.filter_map(|(index, holding)| Some((index, holding.as_mut()?)));
        let most =
            staying.filter(|(_, holding)| !holding.is_leaving).max_by_key(|(_, holding)| holding.bytes);
        most.map(|(index, holding)| {
            holding.is_leaving = true;
            self.leaving += holding.bytes;
            (Account(index), holding.bytes)
        })
    }

    /// Whether too much is held, what is on its way back included.
    pub fn is_exceeded(&self) -> bool {
        self.used > self.limit
    }

    /// Bytes that are held.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

/// What a connection is charged for, kept beside its account: most changes are within a step and need no look at the budget.
#[derive(Clone, Copy, Debug, Default)]
pub struct Charged(u64);

impl Charged {
    /// The connection holds so many bytes now: what it is to be charged, if that has changed.
    pub fn change(&mut self, held: usize) -> Option<u64> {
        let charge = IDLE_BYTES + (held as u64).saturating_sub(IDLE_BYTES).next_multiple_of(STEP_BYTES);
        (core::mem::replace(&mut self.0, charge) != charge).then_some(charge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_most_leaves_and_only_as_many_as_must() {
        let mut budget = Budget::new(100);
        let [small, large, larger] = [10, 40, 45].map(|bytes| {
            let account = budget.open();
            budget.charge(account, bytes);
            account
        });
        assert_eq!(budget.next_to_leave(), None);
        budget.charge(small, 16);
        assert_eq!(budget.next_to_leave(), Some((larger, 45)));
        assert_eq!(budget.next_to_leave(), None, "45 bytes are on their way back");
        assert!(budget.is_exceeded(), "and have not come");
        // What it still takes does not count, nor does it send others away.
        budget.charge(larger, 90);
        assert_eq!((budget.next_to_leave(), budget.used()), (None, 146));
        budget.charge(small, 70);
        assert_eq!(budget.next_to_leave(), Some((small, 70)));
        budget.close(larger);
        budget.close(small);
        assert_eq!((budget.used(), budget.next_to_leave()), (40, None));
        assert_eq!(budget.open().index(), small.index(), "numbers are used again");
        budget.close(large);
        assert_eq!((budget.used(), budget.leaving), (0, 0));
    }

    #[test]
    fn one_connection_alone_may_be_too_much() {
        let mut budget = Budget::new(100);
        let account = budget.open();
        budget.charge(account, 101);
        assert_eq!(budget.next_to_leave(), Some((account, 101)));
        assert_eq!(budget.next_to_leave(), None);
    }

    #[test]
    fn small_changes_need_no_look_at_the_budget() {
        let mut charged = Charged::default();
        assert_eq!(charged.change(0), Some(IDLE_BYTES));
        assert_eq!(charged.change(1000), None);
        assert_eq!(charged.change(5000), Some(IDLE_BYTES + STEP_BYTES));
        assert_eq!(charged.change(20_000), None);
        assert_eq!(charged.change(1 << 20), Some(1 << 20 | IDLE_BYTES));
        assert_eq!(charged.change(0), Some(IDLE_BYTES));
    }
}
