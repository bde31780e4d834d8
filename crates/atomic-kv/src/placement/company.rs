//! Whether a quiet thread goes where its messages come from: to the processor that the network's interrupt arrives at
//! or, where both ends are on one machine, the sender's.

use super::origins::Origins;
use std::cmp::Reverse;
use std::time::Duration;

/// A thread with more operations in flight is not quiet.
pub(crate) const QUIET_MOST: usize = 1;
/// A thread that finds more messages than this each time that it looks works for many, and is not quiet. A write that
/// nobody waits for may come with what the next operation asks.
const MESSAGES_MOST: u64 = 4;
/// A thread that is asked by others while it has an operation of its own, in more of a hundred arrivals, is not quiet.
const OVERLAPS_MOST: u64 = 10;
/// A thread that runs, or waits for a processor, for a larger part of the time is not quiet.
const AWAKE_MOST: f64 = 0.9;

/// When there are so many looks they are halved, so that later ones count for more: senders may have moved.
const LOOKS_MOST: u32 = 128;
/// With fewer looks there are too few messages for a processor to matter: below a few hundred in a second.
const LOOKS_LEAST: u32 = 10;
/// A processor that fewer messages come from, in a hundred, is no better than any other: a network card with several
/// queues spreads connections over all.
const SHARE_LEAST: u32 = 40;
/// Where the thread is already counts for so many more messages in a hundred.
const HERE: u32 = 15;

/// How long a thread is in company, at most: then it tries again whether it is better off alone.
const COMPANY: Duration = Duration::from_secs(10);
/// After so long it is judged whether operations take longer in company; others may have to come there, too.
const TRIAL: Duration = Duration::from_millis(800);
/// Company is not good if there are fewer arrivals than this part of those before: operations take longer, then.
const FEWER: f64 = 0.85;
/// Company is not good for a thread that waits for its processor so many times as long as it runs. One that only takes
/// turns with others waits less; more means that somebody else is there.
const WAITS_TIMES: f64 = 2.0;
/// The same for a thread without operations of its own that waits for this part of the time: it does not see how long
/// operations take.
const WAITS_SERVING: f64 = 0.3;
/// How long a thread is alone after company was not good, or it was not quiet any more; twice as long each time, up to
/// the most, until it was in company for long.
const ALONE: Duration = Duration::from_millis(250);
/// What long is.
const LONG: Duration = Duration::from_millis(1500);
const ALONE_MOST: Duration = Duration::from_secs(16);

/// What arrived in a watch.
#[derive(Default)]
pub(super) struct Arrivals {
    /// How often something did, and how many messages there were.
    count: u64,
    messages: u64,
    /// Arrivals with a request while an operation of the thread's own was in flight.
    overlaps: u64,
    /// Those that count.
    looks: u32,
    /// Looks, by the processor that it came from.
    origins: Origins,
}

impl Arrivals {
    /// Counts messages that arrived together.
    pub(super) fn add(&mut self, messages: usize, overlap: bool) {
        self.count += 1;
        self.messages += messages as u64;
        self.overlaps += u64::from(overlap);
    }

    pub(super) fn add_origin(&mut self, processor: usize) {
        if self.looks >= LOOKS_MOST {
            self.looks = self.origins.halve();
        }
        self.looks += 1;
        self.origins.add(processor);
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
        let most = self.origins.counts().max_by_key(|entry| (weight(entry), Reverse(entry.0)))?;
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

    /// Forgets a stay; the next one may begin at once.
    pub(super) fn end(&mut self) {
        self.present = None;
    }

    /// Ends a stay because company is not good, or the thread is not quiet: there is a pause before the next.
    pub(super) fn end_early(&mut self, now: Duration) {
        if let Some(Present { since, .. }) = self.present.take() {
            if now.saturating_sub(since) >= LONG {
                self.alone = ALONE;
            }
            self.alone_until = now + self.alone;
            self.alone = (self.alone * 2).min(ALONE_MOST);
        }
    }

    /// Looks back on a watch: the processor to go to or stay on, if there is one.
    pub(super) fn judge(&mut self, watch: &Watch<'_>, now: Duration) -> Option<usize> {
        let arrivals = watch.arrivals;
        let is_quiet = watch.in_flight_most <= QUIET_MOST
            && arrivals.messages <= arrivals.count * MESSAGES_MOST
            && arrivals.overlaps * 100 <= arrivals.count * OVERLAPS_MOST
            && watch.ran + watch.waited <= AWAKE_MOST;
        let rate = arrivals.count as f64 / watch.length.as_secs_f64().max(f64::MIN_POSITIVE);
        let next = match self.present {
            None => Present { since: now, before: Some(rate) },
            Some(Present { since, before }) => {
                let stayed = now.saturating_sub(since);
                let judged = before.filter(|_| stayed >= TRIAL);
                let serves = watch.in_flight_most == 0;
                let fewer = judged.is_some_and(|before| rate < before * FEWER && !serves);
                let waits = watch.waited > watch.ran * WAITS_TIMES || serves && watch.waited > WAITS_SERVING;
                if fewer || waits || !is_quiet {
                    let (ran, waited, most) = (watch.ran, watch.waited, watch.in_flight_most);
                    tracing::debug!(
                        fewer,
                        is_quiet,
                        ran,
                        waited,
                        most,
                        arrivals.count,
                        arrivals.messages,
                        arrivals.overlaps,
                        "a thread is better off alone"
                    );
                    self.end_early(now);
                    return None;
                }
                if stayed >= COMPANY {
                    self.end();
                    return None;
                }
                Present { since, before: before.filter(|_| judged.is_none()) }
            }
        };
        self.end();
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
            (0..*count).for_each(|_| arrivals.add_origin(*processor));
        }
        arrivals
    }

    #[test]
    fn the_processor_that_most_messages_come_from_is_told_if_there_is_one() {
        let most = |origins: &[(usize, u32)], here| arrivals(origins).origin(here);
        assert_eq!(most(&[(3, 18), (5, 2)], 5), Some(3));
        assert_eq!(most(&[(3, 9), (5, 11)], 3), Some(3), "about as many");
        assert_eq!(most(&[(3, 11), (5, 9)], 7), Some(3));
        assert_eq!(most(&[(5, 10), (3, 10)], 7), Some(3), "the same answer for both ends");
        assert_eq!(most(&[(3, LOOKS_LEAST - 1)], 3), None, "too few");
        let spread: Vec<_> = (0..8).map(|number| (number, 4)).collect();
        assert_eq!(most(&spread, 3), None, "everywhere");
        let mut arrivals = Arrivals::default();
        for look in 0..10_000 {
            // Spread, in no order.
            arrivals.add_origin((look * 7 + look / 5) % 8);
            assert!(look < 40 || arrivals.origin(3).is_none(), "{look} looks");
        }
    }

    #[test]
    fn a_sender_that_has_moved_is_soon_noticed() {
        let mut arrivals = arrivals(&[(1, 10_000)]);
        for look in 0..u64::from(LOOKS_MOST) {
            arrivals.add_origin(2);
            assert!(look < 100 || arrivals.origin(1) == Some(2), "{look} looks");
        }
    }

    /// A thread that is watched five times in a second.
    struct Thread {
        company: Company,
        now: Duration,
        arrivals: u32,
        messages: usize,
        overlaps: bool,
        in_flight: usize,
        ran: f64,
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
                ran: 0.2,
                waited: 0.1,
            }
        }

        fn judge(&mut self) -> Option<usize> {
            self.now += LENGTH;
            let mut arrivals = Arrivals::default();
            for arrival in 0..self.arrivals {
                arrivals.add(self.messages, self.overlaps);
                if arrival % 5 == 0 {
                    arrivals.add_origin(3);
                }
            }
            let watch = Watch {
                arrivals: &arrivals,
                in_flight_most: self.in_flight,
                ran: self.ran,
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
        thread.arrivals = 5 * (LOOKS_LEAST - 1);
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
    fn a_thread_that_never_sleeps_is_alone() {
        let mut thread = Thread::new();
        (thread.ran, thread.waited) = (0.5, 0.49);
        assert_eq!(thread.judgements(SECOND), 0);
        (thread.ran, thread.waited) = (0.5, 0.3);
        assert_eq!(thread.judgements(SECOND), 5);
    }

    #[test]
    fn a_thread_that_is_quiet_only_now_and_then_does_not_go_to_and_fro() {
        let mut thread = Thread::new();
        let mut stays = 0;
        for round in 0..60 * 5 {
            thread.in_flight = if round % 4 == 3 { QUIET_MOST + 1 } else { 1 };
            let was_present = thread.company.is_present();
            stays += u32::from(thread.judge().is_some() && !was_present);
        }
        assert!((4..=10).contains(&stays), "{stays} stays in a minute");
    }

    #[test]
    fn a_thread_for_which_company_is_not_good_is_alone_for_longer_each_time() {
        // It waits; or its operations take longer; or it waits and has none.
        for (waited, fewer, in_flight) in [(0.5, 1, 1), (0.1, 2, 1), (0.4, 1, 0)] {
            let mut thread = Thread::new();
            thread.in_flight = in_flight;
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
            assert!(pauses[0] < 2 && pauses.is_sorted(), "{pauses:?}");
            assert!(pauses[8..].iter().all(|pause| (16..=17).contains(pause)), "{pauses:?}");
        }
    }

    #[test]
    fn how_much_a_thread_is_asked_by_others_says_nothing() {
        let mut thread = Thread::new();
        thread.in_flight = 0;
        for round in 0..40 {
            thread.arrivals = if round == 0 { 2000 } else { 500 };
            assert_eq!(thread.judge(), Some(3));
        }
    }
}
