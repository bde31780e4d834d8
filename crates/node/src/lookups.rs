//! Look-ups that may wait for a disk: when they leave the event loop, which of them wait, and when a disk is slow.
//!
//! While an event loop waits for a disk, so do all clients and peers whose requests come after, and a coordinator whose own
//! disk is slow cannot even ask the others. To hand every look-up over would cost a third of the rate where files are in the
//! system's page cache, though. So an event loop looks up for itself what is not in memory, until one of these look-ups has read
//! from the disk ([`HandOver`]); what is handed over waits in [`Lookups`]. Writes are never among them: they are
//! blind. Of a part of consensus only the look-up leaves the event loop: the request comes back, and is served there.

use abd::counted::copied;
use abd::{Base, Content, Instant, Refusal, Replica, Reply, Request, Standing, Version, VersionStore};
use alloc::collections::VecDeque;
use core::time::Duration;

/// How many look-ups of a node may wait for the disk at a time, beside those of its event loops.
pub const READERS: usize = 4;
/// For so many times as long as a look-up took that has read from the disk the next ones are handed over: an event loop waits
/// for the disk for a fiftieth of the time at most.
pub const HANDED_OVER_TIMES: u32 = 50;
/// No single look-up has others handed over for longer than this: one that took minutes, as the machine stood still meanwhile, says
/// nothing about the disk.
pub const HANDED_OVER_AT_MOST: Duration = Duration::from_secs(60);
/// When so many look-ups in a row that read from the disk took so long or longer, not much less than a question may take before
/// everybody is asked, a coordinator asks the other replicas at once. A single one says little: that others are asked makes
/// more to do for all, which must not be taken for a slow disk.
pub const SLOW: Duration = Duration::from_millis(5);
/// See [`SLOW`].
pub const SLOW_IN_A_ROW: u32 = 8;
/// Bytes of questions that may wait; above it they are refused, so that a slow disk costs bounded memory.
pub const WAITING_BYTES_MAX: usize = 32 << 20;
/// Bytes of values that were found and not taken yet; above it no look-up begins. Half of what may wait for a peer that reads.
pub const FOUND_BYTES_MAX: usize = 4 << 20;
/// After this long a question is forgotten, if its deadline has not passed before: an operation that still waits for the answer
/// has asked again by now, as it does at least every 0.8 s. Were it answered late all the same, more look-ups than the disk can
/// do would end when nobody waits for any.
pub const OUTDATED_AFTER: Duration = Duration::from_secs(1);
/// What a question that waits takes beside its bytes, about.
pub const OVERHEAD: usize = 256;

/// Whether look-ups leave the event loop, as the last of them say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandOver {
    until: Instant,
    /// Look-ups in a row that read from the disk and took long.
    slow: u32,
}

impl HandOver {
    /// Whether an event loop hands over what is not in memory.
    pub fn is_on(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Whether what is handed over will not come back soon.
    pub fn is_slow(&self, now: Instant) -> bool {
        self.slow >= SLOW_IN_A_ROW && self.is_on(now)
    }

    /// A look-up that took so long has read from the disk.
    pub fn has_read(&mut self, took: Duration, now: Instant) {
        self.slow = match took < SLOW {
            true => 0,
            false if self.is_on(now) => self.slow.saturating_add(1),
            // The last one is long ago.
            false => 1,
        };
        self.hand_over_until(now + took.saturating_mul(HANDED_OVER_TIMES).min(HANDED_OVER_AT_MOST));
    }

    /// Hands over until then, or longer.
    pub fn hand_over_until(&mut self, until: Instant) {
        self.until = self.until.max(until);
    }
}

/// Questions that wait for the disk, the oldest first, each with where its answer goes, and what of the answers is not taken yet.
#[derive(Clone, Debug)]
pub struct Lookups<To> {
    waiting: VecDeque<PendingLookup<To>>,
    waiting_bytes: usize,
    found_bytes: usize,
    closed: bool,
}

#[derive(Clone, Debug)]
struct PendingLookup<To> {
    question: Request,
    to: To,
    cost: usize,
    /// When nobody waits for the answer any more.
    deadline: Instant,
}

impl<To> Default for Lookups<To> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), waiting_bytes: 0, found_bytes: 0, closed: false }
    }
}

impl<To> Lookups<To> {
    /// Has a question wait, whose asker gives up at `deadline`; refuses it when too much waits already.
    ///
    /// # Errors
    /// The refusal.
    pub fn ask(&mut self, question: Request, to: To, deadline: Instant, now: Instant) -> Result<(), Reply> {
        assert!(question.ends_with_its_phase(), "writes are blind: none waits for a look-up");
        if self.waiting_bytes > WAITING_BYTES_MAX {
            self.forget_outdated(now);
        }
        if self.closed || self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(Reply::Refused(Refusal::Overloaded));
        }
        let (cost, deadline) = (question.bytes() + OVERHEAD, deadline.min(now + OUTDATED_AFTER));
        self.waiting_bytes += cost;
        self.waiting.push_back(PendingLookup { question, to, cost, deadline });
        Ok(())
    }

    /// Takes no more, and forgets what still waits.
    pub fn close(&mut self) {
        *self = Self { closed: true, found_bytes: self.found_bytes, ..Self::default() };
    }

    /// Whether there will be nothing more to look up.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The next question to look up; none while too much that was found is not taken.
    pub fn next(&mut self, now: Instant) -> Option<(Request, To)> {
        if !self.may_begin() {
            return None;
        }
        loop {
            let PendingLookup { question, to, cost, deadline } = self.waiting.pop_front()?;
            self.waiting_bytes -= cost;
            if now < deadline {
                return Some((question, to));
            }
        }
    }

    fn forget_outdated(&mut self, now: Instant) {
        self.waiting.retain(|waiting| now < waiting.deadline);
        self.waiting_bytes = self.waiting.iter().map(|waiting| waiting.cost).sum();
    }

    /// Whether what was found and is not taken leaves room for more.
    pub fn may_begin(&self) -> bool {
        self.found_bytes <= FOUND_BYTES_MAX
    }

    /// A look-up has found a value of so many bytes.
    pub fn found(&mut self, bytes: usize) {
        self.found_bytes += bytes;
    }

    /// Values of so many bytes were taken; whether look-ups may begin that could not before.
    pub fn taken(&mut self, bytes: usize) -> bool {
        let could = self.may_begin();
        assert!(self.found_bytes >= bytes, "no more can be taken than was found");
        self.found_bytes -= bytes;
        !could && self.may_begin()
    }

    /// Bytes of values that were found and not taken.
    pub fn found_bytes(&self) -> usize {
        self.found_bytes
    }
}

/// What has waited for the disk, on its way back to an event loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The reply to a write.
    Written(Reply),
    /// The reply to a question, from a look-up.
    Found(Reply),
    /// What the request needs was looked up, so that it is in memory: it is to be served.
    LookedUp(Request),
}

impl Completed {
    /// Bytes of values that count as found until it is taken.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Written(_) => 0,
            Self::Found(reply) => found_bytes(reply),
            Self::LookedUp(request) => request.bytes(),
        }
    }
}

/// Looks up what a request is about, and may wait for the disk.
pub fn look_up<S: VersionStore>(
    replica: &Replica,
    store: &S,
    request: Request,
    standing: Standing,
) -> Completed {
    if request.is_read() {
        return Completed::Found(replica.read(store, request, standing));
    }
    let have = match &request {
        Request::Prepare { have, .. } => *have,
        _ => Version::MAX,
    };
    // Should it fail, it fails where the request is served.
    let _ = store.newest_above(request.key(), have);
    Completed::LookedUp(request)
}

/// Bytes of the values that a reply brings.
pub fn found_bytes(reply: &Reply) -> usize {
    let (newest, accepted) = match reply {
        Reply::Read(newest) => (newest, None),
        Reply::Nack { newest, .. } => (&**newest, None),
        Reply::Closed(closed) => (&closed.newest, None),
        Reply::Promise(promise) => (&promise.newest, promise.accepted.as_ref()),
        _ => return 0,
    };
    newest.content.as_ref().map_or(0, Content::len)
        + accepted.map_or(0, |acceptance| acceptance.proposal.content.len())
}

/// The same request in memory of its own, so that it does not keep a network buffer alive while it waits.
pub fn own(mut request: Request) -> Request {
    let own_content = |content: &mut Content| {
        if let Content::Value(bytes) = content {
            *bytes = copied(bytes);
        }
    };
    let own_base = |base: &mut Base| {
        if let Base::Whole(stamped) = base {
            own_content(&mut stamped.content);
        }
    };
    match &mut request {
        Request::LocalRead { key, .. } | Request::LocalReadTimestamp { key } => *key = copied(key),
        Request::LocalWrite { key, stamped } => {
            *key = copied(key);
            own_content(&mut stamped.content);
        }
        Request::Prepare { key, base, .. } => {
            *key = copied(key);
            base.iter_mut().for_each(|base| own_base(base));
        }
        Request::Accept { key, base, proposal, .. } => {
            *key = copied(key);
            own_base(base);
            own_content(&mut proposal.content);
        }
        Request::Adopt { key, base, acceptance } => {
            *key = copied(key);
            own_content(&mut base.content);
            own_content(&mut acceptance.proposal.content);
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const LATER: Instant = Instant(u64::MAX);

    fn at(milliseconds: u64) -> Instant {
        Instant(milliseconds * 1_000_000)
    }

    fn question(bytes: usize) -> Request {
        Request::LocalReadTimestamp { key: vec![7; bytes].into() }
    }

    #[test]
    fn b1_what_waits_is_bounded() {
        let mut lookups = Lookups::default();
        let cost = question(1 << 20).bytes() + OVERHEAD;
        let mut taken = 0;
        while lookups.ask(question(1 << 20), taken, LATER, at(0)).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, WAITING_BYTES_MAX / cost + 1);
        assert_eq!(lookups.next(at(0)), Some((question(1 << 20), 0)));
        let refused = Err(Reply::Refused(Refusal::Overloaded));
        assert_eq!(lookups.ask(question(1 << 20), taken, LATER, at(0)), Ok(()));
        assert_eq!(lookups.ask(question(0), taken, LATER, at(0)), refused);
        // What nobody waits for any more is not in the way.
        assert_eq!(lookups.ask(question(0), taken, LATER, at(1000)), Ok(()));
        assert_eq!((lookups.next(at(1000)), lookups.next(at(1000))), (Some((question(0), taken)), None));
        assert_eq!(lookups.waiting_bytes, 0);
        lookups.ask(question(0), 1, LATER, at(1000)).unwrap();
        lookups.close();
        assert_eq!((lookups.next(at(1000)), lookups.is_closed()), (None, true));
        assert_eq!(lookups.ask(question(0), 2, LATER, at(1000)), refused);
    }

    #[test]
    fn a_question_is_forgotten_with_its_deadline_or_when_it_was_asked_again() {
        let mut lookups = Lookups::default();
        for (asker, deadline) in [(1, at(10)), (2, LATER), (3, at(10)), (4, at(900))] {
            lookups.ask(question(9), asker, deadline, at(0)).unwrap();
        }
        lookups.ask(question(9), 5, LATER, at(1)).unwrap();
        let next = |lookups: &mut Lookups<i32>, now| lookups.next(now).map(|(_, asker)| asker);
        assert_eq!(next(&mut lookups, at(9)), Some(1));
        assert_eq!(next(&mut lookups, at(10)), Some(2));
        assert_eq!(next(&mut lookups, at(10)), Some(4));
        assert_eq!(next(&mut lookups, at(1000)), Some(5));
        lookups.ask(question(9), 6, LATER, at(0)).unwrap();
        assert_eq!((next(&mut lookups, at(1000)), lookups.waiting_bytes), (None, 0));
    }

    #[test]
    fn no_lookup_begins_while_much_that_was_found_is_not_taken() {
        let mut lookups = Lookups::default();
        lookups.ask(question(1), 1, LATER, at(0)).unwrap();
        lookups.found(FOUND_BYTES_MAX + 2);
        assert_eq!(lookups.next(at(0)), None);
        assert!(!lookups.taken(1) && lookups.taken(1) && !lookups.taken(1));
        assert_eq!(
            (lookups.next(at(0)), lookups.found_bytes()),
            (Some((question(1), 1)), FOUND_BYTES_MAX - 1)
        );
    }

    #[test]
    fn after_a_lookup_that_read_the_next_ones_are_handed_over_for_fifty_times_as_long() {
        let mut hand_over = HandOver::default();
        assert!(!hand_over.is_on(at(0)) && !hand_over.is_slow(at(0)));
        hand_over.has_read(Duration::from_millis(2), at(10));
        assert!(hand_over.is_on(at(109)) && !hand_over.is_on(at(110)));
        // A shorter one does not end that sooner.
        hand_over.has_read(Duration::from_millis(1), at(20));
        assert!(hand_over.is_on(at(109)) && !hand_over.is_on(at(110)));
    }

    #[test]
    fn a_slow_disk_is_one_on_which_lookups_in_a_row_took_long() {
        let mut hand_over = HandOver::default();
        for number in 0..u64::from(SLOW_IN_A_ROW) {
            assert!(!hand_over.is_slow(at(number)));
            hand_over.has_read(SLOW, at(number));
        }
        assert!(hand_over.is_slow(at(100)));
        hand_over.has_read(SLOW / 2, at(100));
        assert!(hand_over.is_on(at(100)) && !hand_over.is_slow(at(100)));
        hand_over.has_read(Duration::from_secs(3600), at(100));
        assert!(hand_over.is_on(at(60_099)) && !hand_over.is_on(at(60_100)));
        // Long ago they were all slow.
        hand_over.slow = SLOW_IN_A_ROW;
        hand_over.has_read(SLOW, at(100_000));
        assert!(hand_over.is_on(at(100_000)) && !hand_over.is_slow(at(100_000)));
    }
}
