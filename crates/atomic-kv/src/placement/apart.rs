//! Whether the committer keeps off the processor that its event loop is on.
//!
//! An event loop that hands writes over goes on working, and the committer sleeps in a sync for most of the time. Woken
//! on the event loop's processor, as the system does with threads that share data, it interrupts a loop that has much to
//! do, or waits for it, while another processor is idle. So while batches are large, and nearly all come from one
//! processor, the committer may run on every other one. An event loop that has chosen its processor itself is where
//! there is room, also for the committer.

use super::affinity::{Affinity, Processors};
use super::origins::Origins;
use super::{BUSY_ABOVE, WATCH, WATCH_MOST};
use std::io;
use std::time::Duration;

/// With fewer batches there is too little to judge, and a watch lasts longer, up to the most.
const LOOKS_LEAST: u32 = 10;
/// So many batches in a hundred are large and come from one processor, or the committer runs wherever the system wants it.
const SHARE_LEAST: u32 = 75;

/// One committer's choice.
pub(super) struct Apart<S> {
    affinity: Affinity<S>,
    /// When the present watch began.
    since: Duration,
    /// Batches in it.
    looks: u32,
    /// The large ones, by the processor that they came from.
    origins: Origins,
}

impl<S: Processors> Apart<S> {
    pub(super) fn new(system: S) -> Self {
        Self { affinity: Affinity::new(system), since: Duration::ZERO, looks: 0, origins: Origins::default() }
    }

    /// To be called for each batch: how many writes it has, and the processor that they came from, unless they came from
    /// several, or an event loop has chosen that one. `now` is time since some moment.
    ///
    /// # Errors
    /// When the system does not tell where the thread may run, or does not take an order back.
    pub(super) fn take(&mut self, writes: usize, origin: Option<usize>, now: Duration) -> io::Result<()> {
        if self.looks == 0 {
            self.since = now;
        }
        self.looks += 1;
        if writes > BUSY_ABOVE
            && let Some(origin) = origin
        {
            self.origins.add(origin);
        }
        let watched = now.saturating_sub(self.since);
        let is_enough = self.looks >= LOOKS_LEAST;
        if watched < WATCH || !is_enough && watched < WATCH_MOST {
            return Ok(());
        }
        let most = self.origins.counts().max_by_key(|(_, count)| *count);
        let avoided = most.filter(|(_, count)| is_enough && count * 100 >= self.looks * SHARE_LEAST);
        self.looks = 0;
        self.origins.clear();
        let Some((avoided, _)) = avoided else { return self.leave() };
        let allowed = self.affinity.allowed()?;
        let others: Vec<usize> = allowed.iter().copied().filter(|number| *number != avoided).collect();
        if others.is_empty() || others.len() == allowed.len() || !self.affinity.order(others, allowed) {
            return self.leave();
        }
        Ok(())
    }

    /// Has the thread run wherever the system wants it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        self.looks = 0;
        self.origins.clear();
        self.affinity.withdraw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with one thread.
    struct Machine {
        allowed: Vec<usize>,
        first: Vec<usize>,
        orders: usize,
        refuses: bool,
    }

    impl Processors for Machine {
        fn allowed(&self) -> io::Result<Vec<usize>> {
            Ok(self.allowed.clone())
        }

        fn allowed_first(&self) -> io::Result<Vec<usize>> {
            Ok(self.first.clone())
        }

        fn allow(&mut self, processors: &[usize]) -> io::Result<()> {
            if self.refuses {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.allowed = processors.to_vec();
            self.orders += 1;
            Ok(())
        }
    }

    struct Thread {
        apart: Apart<Machine>,
        now: Duration,
    }

    impl Thread {
        fn new(processors: usize) -> Self {
            let all: Vec<usize> = (0..processors).collect();
            let machine = Machine { allowed: all.clone(), first: all, orders: 0, refuses: false };
            Self { apart: Apart::new(machine), now: Duration::ZERO }
        }

        /// Takes batches for a second, one in each millisecond.
        fn run(&mut self, batch: impl Fn(u32) -> (usize, usize)) {
            for round in 0..1000 {
                self.now += Duration::from_millis(1);
                let (writes, origin) = batch(round);
                self.apart.take(writes, (origin != SEVERAL).then_some(origin), self.now).unwrap();
            }
        }

        fn machine(&mut self) -> &mut Machine {
            &mut self.apart.affinity.system
        }

        fn allowed(&mut self) -> Vec<usize> {
            self.machine().allowed.clone()
        }
    }

    const MANY: usize = BUSY_ABOVE + 1;
    const SEVERAL: usize = usize::MAX;

    #[test]
    fn a_committer_keeps_off_the_processor_that_many_writes_come_from() {
        let mut thread = Thread::new(3);
        thread.run(|_| (MANY, 1));
        assert_eq!(thread.allowed(), [0, 2]);
        thread.run(|_| (MANY, 1));
        assert_eq!(thread.machine().orders, 1, "told once");
        // Their event loop has moved.
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [1, 2]);
        thread.run(|round| (MANY, usize::from(round % 8 == 0)));
        assert_eq!(thread.allowed(), [1, 2], "nearly all from one");
        thread.apart.leave().unwrap();
        assert_eq!(thread.allowed(), [0, 1, 2]);
    }

    #[test]
    fn a_committer_runs_anywhere_while_writes_are_few_or_come_from_everywhere() {
        let mut thread = Thread::new(2);
        let loads: [fn(u32) -> (usize, usize); 4] = [
            |_| (BUSY_ABOVE, 0),
            |_| (MANY, SEVERAL),
            |round| (MANY, usize::from(round % 2 == 0)),
            |round| (if round % 3 == 0 { MANY } else { 1 }, 0),
        ];
        for load in loads {
            thread.run(|_| (MANY, 0));
            assert_eq!(thread.allowed(), [1]);
            thread.run(load);
            assert_eq!(thread.allowed(), [0, 1]);
        }
    }

    #[test]
    fn a_committer_goes_only_where_it_is_allowed() {
        let mut thread = Thread::new(1);
        thread.run(|_| (MANY, 0));
        assert_eq!((thread.allowed(), thread.machine().orders), (vec![0], 0), "there is no other");
        let mut thread = Thread::new(2);
        thread.run(|_| (MANY, 5));
        assert_eq!(
            (thread.allowed(), thread.machine().orders),
            (vec![0, 1], 0),
            "it may not go there anyway"
        );
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [1]);
        // What somebody else orders meanwhile holds.
        thread.machine().allowed = vec![0, 3];
        thread.run(|_| (1, 0));
        assert_eq!(thread.allowed(), [0, 3]);
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [3]);
    }

    #[test]
    fn a_few_batches_say_nothing() {
        let mut thread = Thread::new(2);
        for gap in [WATCH, WATCH_MOST] {
            for _ in 0..LOOKS_LEAST - 1 {
                thread.now += gap;
                thread.apart.take(MANY, Some(0), thread.now).unwrap();
            }
            assert_eq!(thread.allowed(), [0, 1]);
        }
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [1]);
        // Nine more, and a pause, after which the system decides until there are enough again.
        for _ in 0..LOOKS_LEAST - 1 {
            thread.apart.take(MANY, Some(0), thread.now).unwrap();
        }
        thread.apart.leave().unwrap();
        thread.now += 100 * WATCH_MOST;
        thread.apart.take(1, Some(0), thread.now).unwrap();
        assert_eq!(thread.allowed(), [0, 1]);
    }

    #[test]
    fn what_the_system_takes_away_is_no_order_of_somebody_else() {
        let mut thread = Thread::new(4);
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [1, 2, 3]);
        // The container has two processors from now on.
        (thread.machine().first, thread.machine().allowed) = (vec![0, 1], vec![1]);
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [1]);
        thread.apart.leave().unwrap();
        assert_eq!(thread.allowed(), [0, 1]);
        // Somebody orders that for all threads, which holds, too.
        let mut thread = Thread::new(4);
        thread.run(|_| (MANY, 0));
        (thread.machine().first, thread.machine().allowed) = (vec![2, 3], vec![2, 3]);
        thread.apart.leave().unwrap();
        assert_eq!(thread.allowed(), [2, 3]);
    }

    #[test]
    fn what_the_system_refuses_is_asked_for_again() {
        let mut thread = Thread::new(2);
        thread.machine().refuses = true;
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [0, 1]);
        thread.machine().refuses = false;
        thread.run(|_| (MANY, 0));
        assert_eq!(thread.allowed(), [1]);
    }
}
