//! Whether a quiet thread goes where its messages come from: to the processor that the network's interrupt arrives at
//! or, where both ends are on one machine, the sender's.

use smallvec::SmallVec;
use std::cmp::Reverse;
use std::time::Duration;

/// A thread with at most so many operations in flight is quiet.
pub(crate) const QUIET_MOST: usize = 1;
/// One that finds more messages than this each time that it looks works for many, whoever has those operations.
const MESSAGES_MOST: f64 = 2.5;

/// Nor is one quiet that others ask, while it has an operation of its own, in more of a hundred arrivals.
const OVERLAPS_MOST: u32 = 10;

/// One arrival in so many is looked at. An odd number, so that of two senders who take turns both are seen.
const STRIDE: u32 = 5;
/// With fewer looks in a watch there are too few messages for a processor to matter: below a few hundred in a second.
const LOOKS_LEAST: u32 = 10;
/// A processor that fewer messages come from, in a hundred, is no better than any other: a network card with several
/// queues spreads connections over all.
const SHARE_LEAST: u32 = 40;
/// Where the thread is already counts for so many more messages in a hundred.
const HERE: u32 = 15;

/// How long a thread is in company, at most: then it tries again whether it is better off alone.
const COMPANY: Duration = Duration::from_secs(10);
/// After so long it is judged whether company is good; others may have to come there, too.
const TRIAL: Duration = Duration::from_millis(800);
/// It is not if there are fewer arrivals than this part of those before: operations take longer, then.
const FEWER: f64 = 0.85;
/// Nor if the thread waits for its processor so many times as long as it runs: others do not take turns with it.
const WAITS_MUCH: f64 = 2.0;
/// How long a thread for which it was not good is alone; twice as long each time, up to the most.
const ALONE: Duration = Duration::from_secs(1);
const ALONE_MOST: Duration = Duration::from_secs(16);

/// What arrived in a watch.
#[derive(Default)]
pub(super) struct Arrivals {
    /// How often something did, and how many messages there were.
    count: u32,
    messages: u32,
    /// Those with a request that came while an operation of the thread's own was in flight.
    overlaps: u32,
    looks: u32,
    /// Looks, by the processor that it came from.
    origins: SmallVec<[(usize, u32); 4]>,
}

impl Arrivals {
    /// Counts messages that arrived together; whether to look where they came from.
    pub(super) fn add(&mut self, messages: u32, overlap: bool) -> bool {
        self.count += 1;
        self.messages += messages;
        self.overlaps += u32::from(overlap);
        self.count.is_multiple_of(STRIDE)
    }

    pub(super) fn add_origin(&mut self, processor: usize) {
        self.looks += 1;
        match self.origins.iter_mut().find(|(number, _)| *number == processor) {
            Some((_, count)) => *count += 1,
            None => self.origins.push((processor, 1)),
        }
    }

    /// Where most came from. With two that are about as good it is the one that the thread is on: if both ends went to
    /// where the other was, they would change places for ever.
    fn origin(&self, here: usize) -> Option<usize> {
        if self.looks < LOOKS_LEAST {
            return None;
        }
        let weight = |(number, count): &(usize, u32)| {
            count * 100 + if *number == here { self.looks * HERE } else { 0 }
        };
        let most = self.origins.iter().max_by_key(|entry| (weight(entry), Reverse(entry.0)))?;
        (most.1 * 100 >= self.looks * SHARE_LEAST).then_some(most.0)
    }
}

/// A watch, for the choice of a quiet thread.
pub(super) struct Watch<'a> {
    pub(super) arrivals: &'a Arrivals,
    /// The most operations of its own that the thread had in flight.
    pub(super) in_flight_most: usize,
    /// Parts of the time that it was on a processor, and ready but not on one.
    pub(super) ran: f64,
    pub(super) waited: f64,
    pub(super) length: Duration,
    /// The processor that it is on.
    pub(super) here: usize,
}

/// A thread's experience with company.
pub(super) struct Company {
    present: Option<Present>,
    /// Not again before, and how long that will be if it is not good the next time.
    alone_until: Duration,
    alone: Duration,
}

#[derive(Clone, Copy)]
struct Present {
    since: Duration,
    /// Arrivals in a second before; `None` once it has been judged.
    before: Option<f64>,
}

impl Company {
    pub(super) fn new() -> Self {
        Self { present: None, alone_until: Duration::ZERO, alone: ALONE }
    }

    pub(super) fn is_present(&self) -> bool {
        self.present.is_some()
    }

    /// The thread has left.
    pub(super) fn end(&mut self) {
        self.present = None;
    }

    /// Looks back on a watch: the processor to go to or stay on, if there is one.
    pub(super) fn judge(&mut self, watch: &Watch<'_>, now: Duration) -> Option<usize> {
        let present = self.present.take();
        let arrivals = watch.arrivals;
        let is_quiet = watch.in_flight_most <= QUIET_MOST
            && arrivals.overlaps * 100 <= arrivals.count * OVERLAPS_MOST
            && f64::from(arrivals.messages) <= f64::from(arrivals.count) * MESSAGES_MOST;
        let rate = f64::from(arrivals.count) / watch.length.as_secs_f64().max(f64::MIN_POSITIVE);
        let mut next = Present { since: now, before: Some(rate) };
        if let Some(Present { since, before }) = present {
            let stayed = now.saturating_sub(since);
            let judged = before.filter(|_| stayed >= TRIAL);
            // What a thread without operations of its own is asked, others decide.
            let fewer = judged.is_some_and(|before| rate < before * FEWER && watch.in_flight_most > 0);
            if fewer || watch.waited > watch.ran * WAITS_MUCH {
                self.alone_until = now + self.alone;
                self.alone = (self.alone * 2).min(ALONE_MOST);
            } else if judged.is_some() {
                self.alone = ALONE;
            }
            if stayed >= COMPANY {
                return None;
            }
            next = Present { since, before: if judged.is_some() { None } else { before } };
        }
        if !is_quiet || now < self.alone_until {
            return None;
        }
        let origin = arrivals.origin(watch.here);
        self.present = origin.map(|_| next);
        origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(origins: &[(usize, u32)]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for (processor, count) in origins {
            for _ in 0..count * STRIDE {
                if arrivals.add(1, false) {
                    arrivals.add_origin(*processor);
                }
            }
        }
        arrivals
    }

    #[test]
    fn the_processor_that_most_messages_come_from_is_told_if_there_is_one() {
        let most = |origins: &[(usize, u32)], here| arrivals(origins).origin(here);
        assert_eq!(most(&[(3, 90), (5, 10)], 5), Some(3));
        assert_eq!(most(&[(3, 45), (5, 55)], 3), Some(3), "about as many");
        assert_eq!(most(&[(3, 55), (5, 45)], 7), Some(3));
        assert_eq!(most(&[(5, 50), (3, 50)], 7), Some(3), "the same answer for both ends");
        assert_eq!(most(&[(3, LOOKS_LEAST - 1)], 3), None, "too few");
        let spread: Vec<_> = (0..8).map(|number| (number, 100)).collect();
        assert_eq!(most(&spread, 3), None, "everywhere");
    }

    #[test]
    fn senders_that_take_turns_are_all_looked_at() {
        for senders in 2..5 {
            let mut arrivals = Arrivals::default();
            for message in 0..1000 {
                if arrivals.add(1, false) {
                    arrivals.add_origin(message % senders);
                }
            }
            assert_eq!((arrivals.origins.len(), arrivals.looks), (senders, 200));
        }
    }

    /// A thread that is watched five times in a second.
    struct Thread {
        company: Company,
        now: Duration,
        arrivals: u32,
        messages: u32,
        overlaps: bool,
        in_flight: usize,
        waited: f64,
    }

    const LENGTH: Duration = Duration::from_millis(200);

    impl Thread {
        fn new() -> Self {
            let company = Company::new();
            Self {
                company,
                now: Duration::ZERO,
                arrivals: 1000,
                messages: 1,
                overlaps: false,
                in_flight: 1,
                waited: 0.1,
            }
        }

        fn judge(&mut self) -> Option<usize> {
            self.now += LENGTH;
            let mut arrivals = Arrivals::default();
            for _ in 0..self.arrivals {
                if arrivals.add(self.messages, self.overlaps) {
                    arrivals.add_origin(3);
                }
            }
            let watch = Watch {
                arrivals: &arrivals,
                in_flight_most: self.in_flight,
                ran: 0.2,
                waited: self.waited,
                length: LENGTH,
                here: 1,
            };
            self.company.judge(&watch, self.now)
        }

        /// How many of the judgements of a time are for company.
        fn judgements(&mut self, time: Duration) -> u32 {
            (0..time.as_millis() / LENGTH.as_millis()).map(|_| u32::from(self.judge().is_some())).sum()
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_quiet_thread_is_in_company_and_tries_now_and_then_to_be_alone() {
        let mut thread = Thread::new();
        let most = COMPANY.as_millis() / LENGTH.as_millis();
        for _ in 0..3 {
            for _ in 0..most {
                assert_eq!(thread.judge(), Some(3));
            }
            assert_eq!(thread.judge(), None);
        }
        thread.arrivals = STRIDE * (LOOKS_LEAST - 1);
        assert_eq!(thread.judgements(SECOND), 0, "too few messages");
    }

    #[test]
    fn a_thread_that_works_for_many_is_alone() {
        let mut thread = Thread::new();
        thread.in_flight = QUIET_MOST + 1;
        assert_eq!(thread.judgements(SECOND), 0);
        (thread.in_flight, thread.messages) = (0, 10);
        assert_eq!(thread.judgements(SECOND), 0, "operations of others");
        (thread.in_flight, thread.messages, thread.overlaps) = (1, 1, true);
        assert_eq!(thread.judgements(SECOND), 0, "operations of others beside one of its own");
        (thread.messages, thread.overlaps) = (2, false);
        assert_eq!(thread.judgements(SECOND), 5);
        assert!(thread.company.is_present());
        thread.in_flight = QUIET_MOST + 1;
        assert_eq!(thread.judgements(SECOND), 0);
        assert!(!thread.company.is_present());
    }

    #[test]
    fn a_thread_for_which_company_is_not_good_is_alone_for_longer_each_time() {
        // It waits; or its operations take longer.
        for (waited, fewer) in [(0.5, 1), (0.1, 2)] {
            let mut thread = Thread::new();
            let mut stays = Vec::new();
            for _ in 0..60 * 5 {
                let is_present = thread.company.is_present();
                (thread.waited, thread.arrivals) =
                    if is_present { (waited, 1000 / fewer) } else { (0.1, 1000) };
                if thread.judge().is_none() && is_present {
                    stays.push(thread.now);
                }
            }
            let pauses: Vec<u64> = stays.windows(2).map(|ends| (ends[1] - ends[0]).as_secs()).collect();
            assert!(matches!(pauses[..4], [1..=2, 2..=3, 4..=5, 8..=9]), "{pauses:?}");
            assert!(pauses[4..].iter().all(|pause| (16..=17).contains(pause)), "{pauses:?}");
        }
    }

    #[test]
    fn how_much_a_thread_is_asked_by_others_says_nothing() {
        let mut thread = Thread::new();
        thread.in_flight = 0;
        for round in 0..50 {
            thread.arrivals = if round % 2 == 0 { 2000 } else { 500 };
            assert_eq!(thread.judge(), Some(3));
        }
    }
}
