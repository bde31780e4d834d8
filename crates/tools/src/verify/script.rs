//! What a client asks next.

use super::ask::{Ask, held};
use super::unread::END;
use crate::load::Random;
use clap::ValueEnum;
use lincheck::{Action, History, Judgement, Model};

/// One in so many holders of a lock is not heard of again.
const DISAPPEARS: u64 = 16;

/// What the clients do with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// GET, SET of values that nobody else writes, DEL.
    Register,
    /// APPEND of tokens that nobody else appends, GET, and now and then a SET that begins the value anew.
    Append,
    /// INCR and GET.
    Counter,
    /// SET NX PX WITHVER with a token that nobody else has; whoever gets the lock looks whether it is there, and gives it back with
    /// DELIFEQ, or disappears with it, so that it has to expire.
    Lock,
}

impl Workload {
    /// As it is called on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Append => "append",
            Self::Counter => "counter",
            Self::Lock => "lock",
        }
    }

    /// Judges what clients with this workload saw, with so many positions for the search.
    #[must_use]
    pub fn judge(self, history: &History, limit: usize) -> Judgement {
        let model = match self {
            Self::Register => Model::register(),
            Self::Append | Self::Counter | Self::Lock => Model::register_with_updates(),
        };
        lincheck::judge(&model, history, limit)
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was answered, and is recorded like this.
    Answered(Action),
    /// It certainly had no effect.
    Refused,
    /// It may take effect at any time, or never.
    Unknown,
}

/// A lock that the client has, or may have.
#[derive(Clone, Debug)]
struct Lock {
    key: usize,
    token: Vec<u8>,
    /// Whether the client still wants to look whether it is there.
    look: bool,
}

/// The requests of one client.
#[derive(Debug)]
pub(super) struct Script {
    workload: Workload,
    client: usize,
    /// Counts values: with the client's number that makes each unique.
    values: u64,
    random: Random,
    lock: Option<Lock>,
}

impl Script {
    pub(super) fn new(workload: Workload, client: usize) -> Self {
        Self { workload, client, values: 0, random: Random::new(client as u64), lock: None }
    }

    /// The next request, and the number of its key, below `keys`.
    pub(super) fn next(&mut self, keys: usize) -> (usize, Ask) {
        if let Some(lock) = &mut self.lock {
            let ask = match std::mem::take(&mut lock.look) {
                true => Ask::Get,
                false => Ask::Release(lock.token.clone()),
            };
            return (lock.key, ask);
        }
        let key = usize::try_from(self.random.below(keys as u64)).unwrap_or_default();
        let ask = match (self.workload, self.random.below(100)) {
            (Workload::Register, 0..50) | (Workload::Append | Workload::Counter, 0..30) => Ask::Get,
            (Workload::Lock, 0..10) => Ask::Get,
            (Workload::Register, 50..95) => Ask::Set(self.value()),
            (Workload::Register, _) => Ask::Delete,
            (Workload::Append, 30..35) => Ask::Set(self.value()),
            (Workload::Append, _) => Ask::Append(self.value()),
            // No DEL: a counter that begins anew shows its numbers twice, which makes a search of what none needs.
            (Workload::Counter, _) => Ask::Increment,
            (Workload::Lock, _) => Ask::Acquire(self.value()),
        };
        (key, ask)
    }

    /// A value that nobody else writes. It has an end, or else 1-1 and 11-1 would read as 1-11 and 1-1 when appended.
    fn value(&mut self) -> Vec<u8> {
        self.values += 1;
        format!("{}-{}{}", self.client, self.values, char::from(END)).into_bytes()
    }

    /// Learns what became of a request. Whoever may have a lock gives it back until that is certain, unless it disappears. One that was given up can
    /// still turn up later: whoever finds its own token gives that back, too.
    pub(super) fn learn(&mut self, key: usize, ask: &Ask, fate: &Fate) {
        let lock = |token: &[u8], look| Some(Lock { key, token: token.to_vec(), look });
        match (ask, fate) {
            _ if self.workload != Workload::Lock => {}
            (Ask::Acquire(token), Fate::Answered(action)) if held(action) => {
                let disappears = self.random.below(DISAPPEARS) == 0;
                self.lock = lock(token, true).filter(|_| !disappears);
            }
            (Ask::Acquire(token), Fate::Unknown) => self.lock = lock(token, false),
            (Ask::Release(_), Fate::Answered(_)) => self.lock = None,
            (Ask::Get, Fate::Answered(Action::Read(Some(token))))
                if self.lock.is_none() && token.starts_with(format!("{}-", self.client).as_bytes()) =>
            {
                self.lock = lock(token, false);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Response;
    use std::collections::BTreeSet;

    const ALL: [Workload; 4] = [Workload::Register, Workload::Append, Workload::Counter, Workload::Lock];

    /// What whoever asks for a lock is told.
    fn got(it: bool) -> Response {
        let told = if it { Response::Status("OK".to_owned()) } else { Response::Bulk(None) };
        Response::Array(Some(vec![told, Response::Bulk(Some(b"00c0ffee".to_vec()))]))
    }

    #[test]
    fn no_two_clients_ever_write_the_same() {
        for workload in ALL {
            let mut seen = BTreeSet::new();
            for client in [0, 1, 11] {
                let mut script = Script::new(workload, client);
                for _ in 0..500 {
                    let (key, ask) = script.next(4);
                    assert!(key < 4);
                    if let Ask::Set(value) | Ask::Append(value) | Ask::Acquire(value) = &ask {
                        assert!(seen.insert(value.clone()), "{workload:?}: {ask:?}");
                    }
                    script.learn(key, &ask, &Fate::Refused);
                }
            }
            assert_eq!(seen.is_empty(), workload == Workload::Counter);
        }
    }

    #[test]
    fn every_request_can_be_answered() {
        for workload in ALL {
            let mut script = Script::new(workload, 3);
            for _ in 0..1000 {
                let (key, ask) = script.next(4);
                let response = match &ask {
                    Ask::Get => Response::Bulk(None),
                    Ask::Set(_) => Response::Status("OK".to_owned()),
                    Ask::Acquire(_) => got(true),
                    _ => Response::Integer(1),
                };
                let action = ask.answered(&response).unwrap();
                script.learn(key, &ask, &Fate::Answered(action));
            }
        }
    }

    /// The next request that is no look at a random key.
    fn next(script: &mut Script) -> (usize, Ask) {
        loop {
            let (key, ask) = script.next(3);
            if ask != Ask::Get || script.lock.is_some() {
                return (key, ask);
            }
            script.learn(key, &ask, &Fate::Answered(Action::Read(None)));
        }
    }

    #[test]
    fn a_lock_is_looked_at_and_given_back_until_that_is_certain() {
        let mut script = Script::new(Workload::Lock, 5);
        for refused in [true, false] {
            let (key, acquire) = next(&mut script);
            let Ask::Acquire(token) = &acquire else { panic!("{acquire:?}") };
            let answer = acquire.answered(&got(!refused));
            script.learn(key, &acquire, &Fate::Answered(answer.unwrap()));
            if refused {
                continue;
            }
            assert_eq!(next(&mut script), (key, Ask::Get));
            let release = Ask::Release(token.clone());
            for fate in [Fate::Unknown, Fate::Refused] {
                assert_eq!(next(&mut script), (key, release.clone()));
                script.learn(key, &release, &fate);
            }
            assert_eq!(next(&mut script), (key, release.clone()));
            let answer = release.answered(&Response::Integer(0)).unwrap();
            script.learn(key, &release, &Fate::Answered(answer));
        }
        assert!(matches!(next(&mut script).1, Ask::Acquire(_)));
    }

    #[test]
    fn some_holders_disappear() {
        let mut script = Script::new(Workload::Lock, 5);
        let (mut held, mut gone) = (0, 0);
        for _ in 0..400 {
            let (key, ask) = next(&mut script);
            let fate = match &ask {
                Ask::Acquire(_) => Fate::Answered(ask.answered(&got(true)).unwrap()),
                Ask::Release(_) => Fate::Answered(ask.answered(&Response::Integer(1)).unwrap()),
                _ => Fate::Refused,
            };
            script.learn(key, &ask, &fate);
            if matches!(ask, Ask::Acquire(_)) {
                held += 1;
                gone += u32::from(script.lock.is_none());
            }
        }
        assert!(gone > 0 && gone < held / 4, "{gone} of {held}");
    }

    #[test]
    fn a_lock_that_turns_up_late_is_given_back() {
        let mut script = Script::new(Workload::Lock, 5);
        let (key, acquire) = next(&mut script);
        script.learn(key, &acquire, &Fate::Unknown);
        let (_, release) = next(&mut script);
        assert!(matches!(release, Ask::Release(_)), "{release:?}");
        script.learn(key, &release, &Fate::Answered(release.answered(&Response::Integer(0)).unwrap()));
        for (found, ours) in [("55-1", false), ("5-1", true)] {
            script.learn(2, &Ask::Get, &Fate::Answered(Action::Read(Some(found.into()))));
            assert_eq!(next(&mut script) == (2, Ask::Release(found.into())), ours);
        }
    }
}
