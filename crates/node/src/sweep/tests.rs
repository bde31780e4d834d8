//! The sweeper against a store of keys and deadlines.

use super::*;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::convert::Infallible;

const SECOND: u64 = 1_000_000_000;

#[derive(Default)]
struct Store {
    deadlines: RefCell<BTreeMap<Bytes, Deadline>>,
    written: Cell<Deadline>,
    looks: Cell<usize>,
}

impl Store {
    fn write(&self, key: String, deadline: Deadline) {
        self.deadlines.borrow_mut().insert(key.into(), deadline);
        self.written.set(self.written.get().or_sooner(deadline));
    }
}

impl Deadlines for Store {
    type Error = Infallible;

    fn soonest(&self) -> Deadline {
        self.written.get()
    }

    fn forget(&self) {
        self.written.set(Deadline::NONE);
    }

    fn due(
        &self,
        after: Option<&[u8]>,
        moment: Moment,
        at_most: usize,
        _: usize,
    ) -> Result<Found, Infallible> {
        self.looks.set(self.looks.get() + 1);
        let mut found = Found::default();
        let deadlines = self.deadlines.borrow();
        let mut keys = deadlines.iter().filter(|(key, _)| after.is_none_or(|after| &key[..] > after));
        for (key, deadline) in keys.by_ref().take(at_most) {
            found.keys += 1;
            found.last = Some(key.clone());
            if deadline.has_passed(moment) {
                found.due.push((key.clone(), 1000));
            } else {
                found.soonest = found.soonest.or_sooner(*deadline);
            }
        }
        if keys.next().is_none() {
            found.last = None;
        }
        Ok(found)
    }
}

fn at(nanos: u64) -> Now {
    Now { instant: Instant(nanos), interval: None, moment: Moment(nanos / abd::NANOS_PER_MILLI) }
}

/// Runs a sweeper from one time to another; a read takes its key away at once if `reads`. When reads began.
fn run(sweep: &mut Sweep, store: &Store, from: u64, to: u64, reads: bool) -> Vec<(u64, Bytes)> {
    let (mut now, mut begun) = (from, Vec::new());
    while now <= to {
        while let Some(action) = sweep.poll(at(now), store.soonest()) {
            match action {
                Action::Look(look) => {
                    sweep.looked(look.carry_out(store), |key| !key.starts_with(b"other"), Instant(now));
                }
                Action::Read { key, bytes } => {
                    if reads {
                        store.deadlines.borrow_mut().remove(&key);
                    }
                    begun.push((now, key));
                    sweep.ended(bytes, reads, Instant(now));
                }
            }
        }
        now = sweep.wake_at().expect("nothing is under way").0.max(now + 1);
    }
    begun
}

fn store(keys: usize, deadline: Deadline) -> Store {
    let store = Store::default();
    (0..keys).for_each(|key| store.write(format!("key-{key:05}"), deadline));
    store
}

#[test]
fn what_is_due_is_read_at_a_bounded_rate() {
    let store = store(3_000, Deadline(5_000));
    let mut sweep = Sweep::new(Config::default(), Instant(0));
    assert_eq!(run(&mut sweep, &store, 0, 4_900_000_000, true), [], "nothing is due");
    let begun = run(&mut sweep, &store, 4_900_000_000, 60 * SECOND, true);
    assert_eq!(begun.len(), 3_000);
    let (first, last) = (begun[0].0, begun[2_999].0);
    assert!((5 * SECOND..7 * SECOND).contains(&first), "{first}");
    assert!((2_900_000_000..4_500_000_000).contains(&(last - first)), "{}", last - first);
    for slice in 0..600 {
        let slice = slice * SECOND / 10..(slice + 1) * SECOND / 10;
        assert!(begun.iter().filter(|(when, _)| slice.contains(when)).count() <= 150, "{slice:?}");
    }
    assert_eq!((sweep.progress().swept, sweep.progress().failed), (3_000, 0));
}

#[test]
fn a_store_without_deadlines_is_walked_once() {
    let store = store(2_000, Deadline::NONE);
    let mut sweep = Sweep::new(Config::default(), Instant(0));
    assert_eq!(run(&mut sweep, &store, 0, 3600 * SECOND, true), []);
    assert_eq!((store.looks.get(), sweep.progress().walks, sweep.progress().keys), (4, 1, 2_000));
    // The first deadline is a reason, when it has passed.
    store.write("new".into(), Deadline(3_605_000));
    assert_eq!(run(&mut sweep, &store, 3600 * SECOND, 3604 * SECOND, true), []);
    assert_eq!(store.looks.get(), 4);
    let begun = run(&mut sweep, &store, 3604 * SECOND, 3700 * SECOND, true);
    assert_eq!(begun.iter().map(|(_, key)| &key[..]).collect::<Vec<_>>(), [b"new"]);
    assert_eq!(sweep.progress().walks, 2);
}

#[test]
fn deadlines_that_a_walk_passes_are_reasons_too() {
    let store = store(1_000, Deadline::NONE);
    for (key, deadline) in [("key-00100", 100_000), ("key-00999", 50_000), ("key-00500", 70_000)] {
        store.write(key.into(), Deadline(deadline));
    }
    let mut sweep = Sweep::new(Config::default(), Instant(0));
    let begun = run(&mut sweep, &store, 0, 200 * SECOND, true);
    let seconds: Vec<u64> = begun.iter().map(|(when, _)| when / SECOND).collect();
    assert!(
        seconds.iter().zip([50, 70, 100]).all(|(when, due)| (due..due + 3).contains(when)),
        "{seconds:?}"
    );
    assert_eq!(sweep.progress().walks, 4);
}

#[test]
fn others_have_their_turn_and_what_fails_is_tried_again_by_time() {
    let store = store(1, Deadline(1));
    store.write("other".into(), Deadline(1));
    let mut sweep = Sweep::new(Config::default(), Instant(SECOND));
    let begun = run(&mut sweep, &store, SECOND, 100 * SECOND, false);
    assert!((8..=11).contains(&begun.len()), "{begun:?}");
    assert!(begun.iter().all(|(_, key)| key == "key-00000"), "{begun:?}");
    assert_eq!(sweep.progress().failed, begun.len() as u64);
    // What others have not done is looked at again: it may be this node's turn then.
    run(&mut sweep, &store, 100 * SECOND, 200 * SECOND, true);
    let walks = sweep.progress().walks;
    run(&mut sweep, &store, 200 * SECOND, 300 * SECOND, true);
    assert!((8..=11).contains(&(sweep.progress().walks - walks)));
    store.deadlines.borrow_mut().clear();
    run(&mut sweep, &store, 300 * SECOND, 320 * SECOND, true);
    let walks = sweep.progress().walks;
    run(&mut sweep, &store, 320 * SECOND, 900 * SECOND, true);
    assert_eq!(sweep.progress().walks, walks, "nothing is left");
}

#[test]
fn reads_in_flight_are_bounded_and_a_store_that_cannot_be_read_is_tried_again() {
    let store = store(600, Deadline(1));
    by_reads_and_bytes(&store, Config { in_flight_max: 7, ..Config::default() });
    by_reads_and_bytes(&store, Config { in_flight_bytes_max: 7_999, ..Config::default() });
}

/// Seven may be in flight.
fn by_reads_and_bytes(store: &Store, config: Config) {
    store.written.set(Deadline(1));
    let mut sweep = Sweep::new(config, Instant(SECOND));
    let Some(Action::Look(_)) = sweep.poll(at(SECOND), store.soonest()) else { panic!("it walks at once") };
    assert_eq!((sweep.poll(at(SECOND), store.soonest()), sweep.wake_at()), (None, None));
    sweep.looked(None, |_| true, Instant(SECOND));
    let (look, now) = loop {
        let now = sweep.wake_at().expect("it tries again").0;
        match sweep.poll(at(now), Deadline::NONE) {
            None => assert!(now < 30 * SECOND, "it tries again"),
            Some(Action::Look(look)) => break (look, now),
            Some(other) => panic!("{other:?}"),
        }
    };
    assert!(now >= 10 * SECOND, "{now}");
    sweep.looked(look.carry_out(store), |_| true, Instant(now));
    for _ in 0..7 {
        assert!(sweep.wake_at().is_some_and(|at| at.0 <= now), "one after the other, at once");
        assert!(matches!(sweep.poll(at(now), store.soonest()), Some(Action::Read { .. })));
    }
    assert_eq!((sweep.poll(at(now), store.soonest()), sweep.wake_at()), (None, None));
    sweep.ended(1000, true, Instant(now));
    assert!(matches!(sweep.poll(at(now), store.soonest()), Some(Action::Read { .. })));
}

/// It would be found due once more.
#[test]
fn a_key_that_is_being_read_is_not_read_again() {
    let store = store(1, Deadline(1));
    let mut sweep = Sweep::new(Config::default(), Instant(SECOND));
    let Some(Action::Look(look)) = sweep.poll(at(SECOND), store.soonest()) else {
        panic!("it walks at once")
    };
    sweep.looked(look.carry_out(&store), |_| true, Instant(SECOND));
    assert!(matches!(sweep.poll(at(SECOND), store.soonest()), Some(Action::Read { .. })));
    store.written.set(Deadline(1));
    for second in 2..20 {
        assert_eq!(sweep.poll(at(second * SECOND), store.soonest()), None);
    }
    sweep.ended(1000, true, Instant(20 * SECOND));
    assert!(matches!(sweep.poll(at(21 * SECOND), store.soonest()), Some(Action::Look(_))));
}

#[test]
fn without_a_moment_nothing_is_due() {
    let store = store(1, Deadline(1));
    let mut sweep = Sweep::new(Config::default(), Instant(0));
    for second in 0..10 {
        let now = Now { moment: Moment::UNKNOWN, ..at(second * SECOND) };
        assert_eq!(sweep.poll(now, store.soonest()), None);
    }
}
