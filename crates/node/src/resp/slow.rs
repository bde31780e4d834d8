//! Requests that took long: what `SLOWLOG` and `LATENCY` tell of them.
//!
//! A request takes as long as its operations: from when it begins to when its reply is ready. That includes the other nodes and the
//! disk, which Redis' own figures have not, and leaves out what its client takes to send and to read.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// The most requests that the slow log may be set to hold.
const LOG_LEN_MAX: usize = 4096;
/// The most bytes of a word in the slow log, as in Redis.
const WORD_BYTES_MAX: usize = 128;
/// The most seconds of which an event has a sample, as in Redis.
const SAMPLES_MAX: usize = 160;

/// A request that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRequest {
    /// Its number, from 0.
    pub id: u64,
    /// When it ended, in seconds since the Unix epoch.
    pub time: u64,
    /// How long it took.
    pub took: Duration,
    /// The name of its command and its keys.
    pub words: Vec<Bytes>,
    /// The address of its client.
    pub client: String,
    /// What that calls itself.
    pub client_name: String,
}

/// The longest requests of a kind in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// In seconds since the Unix epoch.
    pub(super) time: u64,
    pub(super) milliseconds: u64,
}

/// What took long, by a name that Redis gives it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: &'static str,
    /// The oldest first.
    pub(super) samples: VecDeque<Sample>,
    /// The longest of all times.
    pub(super) most: u64,
}

/// Those of a node.
#[derive(Debug)]
pub struct SlowRequests {
    /// What takes as long is kept, in microseconds; nothing if it is negative (`slowlog-log-slower-than`).
    log_after: i64,
    /// So many are kept (`slowlog-max-len`).
    log_len: usize,
    log: VecDeque<SlowRequest>,
    next: u64,
    /// What takes as long is an event, in milliseconds; nothing is with 0 (`latency-monitor-threshold`).
    event_after: u64,
    events: [Event; 2],
}

/// Why a parameter cannot be set so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotSet {
    #[error("can't set immutable config")]
    Immutable,
    #[error("argument couldn't be parsed into an integer")]
    NoInteger,
    #[error("argument must be between {0} and {1} inclusive")]
    OutOfRange(i64, i64),
}

impl Default for SlowRequests {
    /// With Redis' settings.
    fn default() -> Self {
        let event = |name| Event { name, samples: VecDeque::new(), most: 0 };
        Self {
            log_after: 10_000,
            log_len: 128,
            log: VecDeque::new(),
            next: 0,
            event_after: 0,
            events: [event("command"), event("fast-command")],
        }
    }
}

impl SlowRequests {
    /// The most words of a request in the slow log, as in Redis.
    pub const WORDS_MAX: usize = 32;

    /// Only what takes as long need be told.
    pub fn threshold(&self) -> Duration {
        let log = u64::try_from(self.log_after).map_or(Duration::MAX, Duration::from_micros);
        match self.event_after {
            0 => log,
            event => log.min(Duration::from_millis(event)),
        }
    }

    /// A request has ended that took as long as the threshold. It has so many more words. `is_fast`: its command usually is.
    pub(super) fn add(&mut self, mut request: SlowRequest, more_words: usize, is_fast: bool) {
        let milliseconds = u64::try_from(request.took.as_millis()).unwrap_or(u64::MAX);
        if self.event_after > 0 && milliseconds >= self.event_after {
            self.events[usize::from(is_fast)].add(Sample { time: request.time, milliseconds });
        }
        let log_after = u64::try_from(self.log_after).map(Duration::from_micros);
        if log_after.is_ok_and(|after| request.took >= after) {
            request.id = self.next;
            request.words = shortened(request.words, more_words);
            self.next += 1;
            self.log.push_front(request);
            self.log.truncate(self.log_len);
        }
    }

    /// The newest first.
    pub(super) fn log(&self) -> &VecDeque<SlowRequest> {
        &self.log
    }

    pub(super) fn clear_log(&mut self) {
        self.log.clear();
    }

    /// Those that have happened.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| !event.samples.is_empty())
    }

    /// Forgets what has happened by these names, by all if there are none. Returns by how many something had.
    pub(super) fn reset_events(&mut self, names: &[Bytes]) -> usize {
        let is_meant = |event: &&mut Event| {
            !event.samples.is_empty()
                && (names.is_empty()
                    || names.iter().any(|name| name.eq_ignore_ascii_case(event.name.as_bytes())))
        };
        let forget = |event: &mut Event| (event.samples, event.most) = (VecDeque::new(), 0);
        self.events.iter_mut().filter(is_meant).map(forget).count()
    }

    /// Whether events are looked for.
    pub(super) fn has_events(&self) -> bool {
        self.event_after > 0
    }

    /// Names and values of its parameters.
    pub fn parameters(&self) -> [(&'static str, i64); 3] {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        [
            ("latency-monitor-threshold", number(self.event_after)),
            ("slowlog-log-slower-than", self.log_after),
            ("slowlog-max-len", number(self.log_len as u64)),
        ]
    }

    /// Sets a parameter; with `is_trial` it only says whether that can be done.
    pub(super) fn set(&mut self, name: &str, value: &[u8], is_trial: bool) -> Result<(), NotSet> {
        let (least, most) = match name {
            "latency-monitor-threshold" => (0, i64::MAX),
            "slowlog-log-slower-than" => (-1, i64::MAX),
            "slowlog-max-len" => (0, i64::try_from(LOG_LEN_MAX).unwrap_or(i64::MAX)),
            _ => return Err(NotSet::Immutable),
        };
        let number = crate::functions::parse_integer(value).ok_or(NotSet::NoInteger)?;
        if !(least..=most).contains(&number) {
            return Err(NotSet::OutOfRange(least, most));
        }
        if is_trial {
            return Ok(());
        }
        match name {
            "latency-monitor-threshold" => self.event_after = number.unsigned_abs(),
            "slowlog-log-slower-than" => self.log_after = number,
            _ => {
                self.log_len = usize::try_from(number).unwrap_or(LOG_LEN_MAX);
                self.log.truncate(self.log_len);
            }
        }
        Ok(())
    }
}

impl Event {
    fn add(&mut self, sample: Sample) {
        self.most = self.most.max(sample.milliseconds);
        match self.samples.back_mut() {
            Some(last) if last.time == sample.time => {
                last.milliseconds = last.milliseconds.max(sample.milliseconds);
            }
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }
}

/// As much of a request as the log keeps.
fn shortened(words: Vec<Bytes>, more: usize) -> Vec<Bytes> {
    let count = words.len() + more;
    let kept = if count > SlowRequests::WORDS_MAX { SlowRequests::WORDS_MAX - 1 } else { count };
    let short = |word: Bytes| match word.len().checked_sub(WORD_BYTES_MAX) {
        // A part would keep all of it, and the buffer that it came in.
        None | Some(0) => Bytes::copy_from_slice(&word),
        Some(more) => {
            let end = format!("... ({more} more bytes)");
            [&word[..WORD_BYTES_MAX], end.as_bytes()].concat().into()
        }
    };
    let more = (count > kept).then(|| Bytes::from(format!("... ({} more arguments)", count - kept)));
    words.into_iter().take(kept).map(short).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn took(milliseconds: u64, time: u64) -> SlowRequest {
        let (client, client_name) = (String::new(), String::new());
        let took = Duration::from_millis(milliseconds);
        SlowRequest { id: 0, time, took, words: vec!["get".into(), "k".into()], client, client_name }
    }

    #[test]
    fn the_log_has_the_newest_of_what_takes_as_long_as_its_threshold() {
        let mut slow = SlowRequests::default();
        assert_eq!(slow.threshold(), Duration::from_millis(10));
        slow.set("slowlog-max-len", b"3", false).unwrap();
        for milliseconds in [9, 11, 12, 13, 14] {
            slow.add(took(milliseconds, 5), 0, false);
        }
        let log = |slow: &SlowRequests| -> Vec<_> {
            slow.log().iter().map(|one| (one.id, one.took.as_millis())).collect()
        };
        assert_eq!(log(&slow), [(3, 14), (2, 13), (1, 12)], "9 ms are less than 10");
        slow.set("slowlog-max-len", b"1", false).unwrap();
        assert_eq!(log(&slow), [(3, 14)]);
        slow.clear_log();
        slow.set("slowlog-log-slower-than", b"-1", false).unwrap();
        slow.add(took(99, 5), 0, false);
        assert_eq!((log(&slow), slow.threshold()), (vec![], Duration::MAX));
        slow.set("slowlog-log-slower-than", b"0", false).unwrap();
        slow.add(took(1, 5), 0, false);
        assert_eq!(log(&slow), [(4, 1)], "numbers go on");
    }

    #[test]
    fn long_requests_are_shortened() {
        let mut slow = SlowRequests::default();
        let word = |length: usize| Bytes::from(vec![b'x'; length]);
        let mut long = took(20, 5);
        long.words = (0..33).map(|place| word(if place == 1 { 130 } else { 128 })).collect();
        slow.add(long, 7, false);
        let words = &slow.log()[0].words;
        assert_eq!((words.len(), &words[0], words[1].len()), (32, &word(128), 128 + 18));
        assert!(words[1].ends_with(b"x... (2 more bytes)"));
        assert_eq!(words[31], "... (9 more arguments)");
    }

    #[test]
    fn events_have_the_longest_of_each_second() {
        let mut slow = SlowRequests::default();
        slow.add(took(1000, 1), 0, false);
        assert_eq!(slow.events().count(), 0, "nobody wants to know");
        slow.set("latency-monitor-threshold", b"5", false).unwrap();
        assert_eq!(slow.threshold(), Duration::from_millis(5));
        for (milliseconds, time) in [(4, 1), (5, 2), (7, 2), (6, 2), (5, 3)] {
            slow.add(took(milliseconds, time), 0, true);
        }
        let [event] = slow.events().collect::<Vec<_>>()[..] else { panic!("one kind has happened") };
        let samples: Vec<_> = event.samples.iter().map(|one| (one.time, one.milliseconds)).collect();
        assert_eq!((event.name, samples, event.most), ("fast-command", vec![(2, 7), (3, 5)], 7));
        assert_eq!(slow.reset_events(&["command".into()]), 0);
        assert_eq!(slow.reset_events(&["Fast-Command".into()]), 1);
        assert_eq!(slow.reset_events(&[]), 0);
        for time in 0..500 {
            slow.add(took(9, time), 0, false);
        }
        let event = slow.events().next().unwrap();
        assert_eq!((event.samples.len(), event.samples[0].time), (SAMPLES_MAX, 340));
    }

    #[test]
    fn parameters_have_bounds() {
        let mut slow = SlowRequests::default();
        assert_eq!(slow.set("port", b"1", false), Err(NotSet::Immutable));
        assert_eq!(slow.set("slowlog-max-len", b"1x", false), Err(NotSet::NoInteger));
        assert_eq!(slow.set("slowlog-max-len", b"4097", false), Err(NotSet::OutOfRange(0, 4096)));
        assert_eq!(slow.set("slowlog-log-slower-than", b"-2", false), Err(NotSet::OutOfRange(-1, i64::MAX)));
        assert_eq!(slow.set("latency-monitor-threshold", b"-1", false), Err(NotSet::OutOfRange(0, i64::MAX)));
        assert_eq!(slow.set("slowlog-max-len", b"5", true), Ok(()));
        assert_eq!(slow.parameters()[2], ("slowlog-max-len", 128), "that was a trial");
    }
}
