//! Which requests the clients make.

use super::plan::Random;
use super::recorder::Failure;
use super::run::LoadAnswer;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET key`.
    Get,
    /// `SET key value`.
    Set,
    /// `SET key value NX`; the value is the token of a lock.
    SetIfAbsent,
    /// `DELIFEQ key value`: gives a lock back.
    DeleteIfEqual,
    /// `INCR key`.
    Increment,
    /// `APPEND key value`.
    Append,
}

/// How the latencies of a request are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Update,
}

impl Verb {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Get => Kind::Read,
            Self::Set => Kind::Write,
            Self::SetIfAbsent | Self::DeleteIfEqual | Self::Increment | Self::Append => Kind::Update,
        }
    }
}

/// One request. Its key is a number; a link makes bytes of it with [`Workload::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// What it does.
    pub verb: Verb,
    /// Which key, below [`Workload::keys`].
    pub key: u64,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// `GET` and `SET`.
    Register {
        /// `GET`s in a hundred requests.
        reads: u32,
    },
    /// `INCR`.
    Increment,
    /// `SET NX`, on keys that are present: a condition that never holds.
    SetIfAbsent,
    /// `SET NX` with the client's token and, when that took the key, `DELIFEQ`.
    Lock,
    /// `APPEND`, and one `SET` in a hundred requests, so that values stay short.
    Append,
}

impl Mix {
    /// As it is called on the command line and in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Increment => "incr",
            Self::SetIfAbsent => "setnx",
            Self::Lock => "lock",
            Self::Append => "append",
        }
    }

    /// Reads in a hundred requests.
    pub fn reads(self) -> u32 {
        match self {
            Self::Register { reads } => reads,
            Self::Increment | Self::SetIfAbsent | Self::Lock | Self::Append => 0,
        }
    }

    /// All that its requests do.
    pub fn verbs(self) -> &'static [Verb] {
        match self {
            Self::Register { .. } => &[Verb::Get, Verb::Set],
            Self::Increment => &[Verb::Increment],
            Self::SetIfAbsent => &[Verb::SetIfAbsent, Verb::Set],
            Self::Lock => &[Verb::SetIfAbsent, Verb::DeleteIfEqual],
            Self::Append => &[Verb::Append, Verb::Set],
        }
    }

    /// What gives a key its first value; `None` where keys begin absent.
    pub(super) fn fill(self) -> Option<Verb> {
        match self {
            Self::Register { .. } | Self::SetIfAbsent | Self::Append => Some(Verb::Set),
            Self::Increment => Some(Verb::Increment),
            Self::Lock => None,
        }
    }
}

/// Which requests are made, of which keys.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many different keys there are, at most [`Workload::KEYS_MAX`].
    pub keys: u64,
    /// The length of every value, in bytes.
    pub value_size: usize,
    /// What is asked.
    pub mix: Mix,
    /// Every request goes to the first key.
    pub hot: bool,
}

impl Workload {
    /// Bytes in every key.
    pub const KEY_BYTES: usize = 16;
    /// So many keys have different bytes.
    pub const KEYS_MAX: u64 = 1_000_000_000;

    /// A key's bytes: all keys are of one length, so that a link can write one over another. What is no plain value has keys of
    /// its own.
    pub fn key(&self, number: u64) -> [u8; Self::KEY_BYTES] {
        let mut key = *b"bench:0000000000";
        key[6] = match self.mix {
            Mix::Register { .. } | Mix::SetIfAbsent => b'0',
            Mix::Increment => b'i',
            Mix::Lock => b'l',
            Mix::Append => b'a',
        };
        let mut left = number;
        for digit in key[7..].iter_mut().rev() {
            *digit = b"0123456789"[usize::try_from(left % 10).unwrap_or_default()];
            left /= 10;
        }
        key
    }

    /// A value of [`Workload::value_size`] bytes that no compression makes small.
    pub fn value(&self, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        std::iter::repeat_with(|| random.draw().to_be_bytes()).flatten().take(self.value_size).collect()
    }
}

/// The requests of one client.
#[derive(Debug)]
pub(super) struct Requests {
    random: Random,
    /// Locks that the client has, or may have.
    held: Vec<u64>,
}

impl Requests {
    /// Those of the client with this number.
    pub(super) fn of(client: usize) -> Self {
        Self { random: Random::new(client as u64), held: Vec::new() }
    }

    /// Draws the next request.
    pub(super) fn draw(&mut self, workload: &Workload) -> LoadRequest {
        let random = &mut self.random;
        let verb = match workload.mix {
            Mix::Register { reads } if random.below(100) < u64::from(reads) => Verb::Get,
            Mix::Register { .. } => Verb::Set,
            Mix::Increment => Verb::Increment,
            Mix::SetIfAbsent => Verb::SetIfAbsent,
            Mix::Lock => match self.held.pop() {
                Some(key) => return LoadRequest { verb: Verb::DeleteIfEqual, key },
                None => Verb::SetIfAbsent,
            },
            Mix::Append if random.below(100) == 0 => Verb::Set,
            Mix::Append => Verb::Append,
        };
        let key = if workload.hot { 0 } else { random.below(workload.keys) };
        LoadRequest { verb, key }
    }

    /// Learns what became of a request. A lock that may have been taken is given back, and a lock that may be left is given
    /// back once more.
    pub(super) fn learn(&mut self, mix: Mix, request: LoadRequest, answer: LoadAnswer) {
        let may_hold = match (request.verb, answer) {
            _ if mix != Mix::Lock => false,
            (Verb::DeleteIfEqual, LoadAnswer::Failed(_)) => true,
            (Verb::DeleteIfEqual, _) => false,
            (_, LoadAnswer::Failed(Failure::NoQuorum | Failure::Error) | LoadAnswer::Nothing) => false,
            (_, LoadAnswer::Done | LoadAnswer::Failed(_)) => true,
        };
        if may_hold {
            self.held.push(request.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(mix: Mix) -> Workload {
        Workload { keys: 50, value_size: 7, mix, hot: false }
    }

    #[test]
    fn keys_have_one_length_and_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for mix in [Mix::Register { reads: 50 }, Mix::Increment, Mix::Lock, Mix::Append] {
            seen.extend([0, 1, 1_234_567, Workload::KEYS_MAX - 1].map(|number| workload(mix).key(number)));
        }
        assert_eq!(seen.len(), 16);
        assert_eq!(&workload(Mix::Register { reads: 0 }).key(1_234_567), b"bench:0001234567");
        assert_eq!(workload(Mix::SetIfAbsent).key(7), workload(Mix::Register { reads: 0 }).key(7));
    }

    #[test]
    fn requests_follow_the_mix() {
        let mut workload = workload(Mix::Register { reads: 25 });
        let mut requests = Requests::of(1);
        let drawn: Vec<LoadRequest> = (0..10_000).map(|_| requests.draw(&workload)).collect();
        let reads = drawn.iter().filter(|request| request.verb == Verb::Get).count();
        assert!((2300..2700).contains(&reads), "{reads} reads in 10,000 at 25 %");
        for key in 0..50 {
            let count = drawn.iter().filter(|request| request.key == key).count();
            assert!((100..300).contains(&count), "key {key} drawn {count} times, 200 expected");
        }
        workload.hot = true;
        assert!((0..100).all(|_| requests.draw(&workload).key == 0));
        assert_eq!(workload.value(3).len(), 7);
        assert_ne!(workload.value(3), workload.value(4));
        workload.mix = Mix::Append;
        let sets = (0..10_000).filter(|_| requests.draw(&workload).verb == Verb::Set).count();
        assert!((50..200).contains(&sets), "{sets} new beginnings in 10,000, 100 expected");
    }

    #[test]
    fn a_request_does_what_its_mix_says() {
        for mix in [Mix::Register { reads: 50 }, Mix::Increment, Mix::SetIfAbsent, Mix::Lock, Mix::Append] {
            let (workload, mut requests) = (workload(mix), Requests::of(3));
            for _ in 0..1000 {
                let request = requests.draw(&workload);
                assert!(mix.verbs().contains(&request.verb), "{mix:?}: {request:?}");
                requests.learn(mix, request, LoadAnswer::Done);
            }
            assert!(mix.fill().is_none_or(|verb| mix.verbs().contains(&verb)), "{mix:?}");
        }
    }

    #[test]
    fn a_lock_that_may_be_held_is_given_back_until_that_is_certain() {
        let workload = workload(Mix::Lock);
        let failed = LoadAnswer::Failed;
        let refusals = [failed(Failure::NoQuorum), failed(Failure::Error), LoadAnswer::Nothing];
        let unknown = [Failure::Indeterminate, Failure::Connection, Failure::Timeout].map(failed);
        let mut requests = Requests::of(1);
        for refusal in refusals {
            let taking = requests.draw(&workload);
            assert_eq!(taking.verb, Verb::SetIfAbsent);
            requests.learn(workload.mix, taking, refusal);
        }
        for taken in unknown.into_iter().chain([LoadAnswer::Done]) {
            let taking = requests.draw(&workload);
            assert_eq!(taking.verb, Verb::SetIfAbsent);
            requests.learn(workload.mix, taking, taken);
            for failure in unknown {
                let giving = requests.draw(&workload);
                assert_eq!(giving, LoadRequest { verb: Verb::DeleteIfEqual, key: taking.key });
                requests.learn(workload.mix, giving, failure);
            }
            let giving = requests.draw(&workload);
            assert_eq!(giving, LoadRequest { verb: Verb::DeleteIfEqual, key: taking.key });
            requests.learn(workload.mix, giving, LoadAnswer::Done);
        }
    }
}
