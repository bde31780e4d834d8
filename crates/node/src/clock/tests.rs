use super::*;
use alloc::string::ToString;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
/// The wall clock when the monotonic one begins.
const EPOCH: u64 = 1_800_000_000 * S;

/// A machine whose wall clock is `ahead` of the monotonic one. Reading takes a moment.
struct Machine {
    now: u64,
    ahead: i64,
    /// What the kernel would say.
    kernel: Kernel,
}

impl Machine {
    fn new(error_us: u64) -> Self {
        Self { now: S, ahead: 0, kernel: Kernel::Synchronised(Duration::from_micros(error_us)) }
    }

    fn read(&mut self) -> Reading {
        let before = self.now;
        let wall = (EPOCH + before + 50).saturating_add_signed(self.ahead);
        self.now += 100;
        Reading { before, wall, after: self.now }
    }

    /// As a node does it.
    fn ask(&mut self, bound: &mut KernelBound) -> Result<Interval, ClockError> {
        let reading = self.read();
        if bound.asks(&reading) {
            let before = self.read();
            let after = self.read();
            bound.tell(before, self.kernel.clone(), after);
        }
        let reading = self.read();
        bound.interval(&reading)
    }
}

fn error(interval: Interval) -> u64 {
    (interval.latest - interval.earliest) / 2
}

/// Between two questions the clock may have drifted, and the kernel may not have counted the last second.
#[test]
fn t1_the_kernels_bound_grows_as_fast_as_the_clock_may_drift() {
    let (mut machine, mut bound) = (Machine::new(1_000), KernelBound::new(Duration::from_millis(100)));
    let fresh = error(machine.ask(&mut bound).unwrap());
    assert!((1_500 * US..1_510 * US).contains(&fresh), "{fresh}");
    machine.now += 199 * MS;
    let later = error(machine.ask(&mut bound).unwrap());
    assert!((1_599 * US..1_612 * US).contains(&later), "{later}");
    machine.now += 2 * MS;
    assert!(error(machine.ask(&mut bound).unwrap()) < 1_510 * US, "it was asked anew");
}

/// The worst case: the kernel is asked just before it raises its bound, and the clock drifts as fast as it may from then on.
#[test]
fn t1_true_time_is_in_the_interval_in_the_worst_case() {
    for direction in [1, -1] {
        // Off by all that the kernel allows, and by what has come in the second that it has not counted.
        let mut machine = Machine::new(1_000);
        let mut bound = KernelBound::new(Duration::from_millis(100));
        let truth = |machine: &Machine, drifted: i64| {
            (EPOCH + machine.now).saturating_add_signed(direction * (1_000_000 + 500_000 + drifted))
        };
        machine.ask(&mut bound).unwrap();
        for step in 1..=19 {
            machine.now += 10 * MS;
            let drifted = 5_000 * step;
            let interval = machine.ask(&mut bound).unwrap();
            let truth = truth(&machine, drifted);
            assert!(
                interval.earliest <= truth && truth <= interval.latest,
                "step {step}: {interval:?} {truth}"
            );
        }
    }
}

#[test]
fn t1_a_clock_that_was_set_is_unknown_at_once_and_known_again_by_time() {
    for by in [1, -1, 3600 * 1000].map(|ms: i64| ms * 1_000_000) {
        let (mut machine, mut bound) = (Machine::new(1_000), KernelBound::new(Duration::from_secs(100)));
        machine.ask(&mut bound).unwrap();
        // While the bound would still be fresh.
        machine.now += MS;
        machine.ahead += by;
        let refused = machine.ask(&mut bound).unwrap_err();
        assert!(refused.to_string().contains("was set by"), "{refused}");
        assert!(bound.take_note().unwrap().contains("was set by") && bound.take_note().is_none());
        // The kernel has not noticed yet, say.
        machine.now += 1_900 * MS;
        assert!(machine.ask(&mut bound).is_err());
        machine.now += 200 * MS;
        let again = machine.ask(&mut bound).unwrap();
        // What may have been a sleep was not counted, until the daemon has corrected the clock.
        let uncounted = by.unsigned_abs() / 1_000_000 * DRIFT_PPM;
        assert!(error(again) >= 1_500 * US + uncounted, "{}", error(again));
        machine.kernel = Kernel::Synchronised(Duration::from_micros(900));
        machine.now += 300 * MS;
        assert!(error(machine.ask(&mut bound).unwrap()) < 1_420 * US);
    }
}

#[test]
fn t1_a_clock_that_was_set_while_the_kernel_was_asked_is_unknown() {
    let (mut machine, mut bound) = (Machine::new(1_000), KernelBound::new(Duration::from_secs(1)));
    let before = machine.read();
    machine.ahead += 5_000_000;
    let after = machine.read();
    bound.tell(before, machine.kernel.clone(), after);
    let reading = machine.read();
    assert!(bound.interval(&reading).is_err());
    assert!(bound.take_note().is_some());
}

/// A little is no reason to refuse anything, but it may be true.
#[test]
fn t1_what_may_be_a_small_step_makes_the_interval_wider() {
    let (mut machine, mut bound) = (Machine::new(1_000), KernelBound::new(Duration::from_millis(100)));
    let fresh = error(machine.ask(&mut bound).unwrap());
    machine.ahead += 80_000;
    let wider = error(machine.ask(&mut bound).unwrap());
    assert!(wider >= fresh + 80 * US, "{wider}");
    // Many of them are a large one.
    machine.ahead += 80_000;
    assert!(machine.ask(&mut bound).is_err());
}

/// A thread that is put aside between two looks has not seen the clock being set.
#[test]
fn a_reading_that_took_long_is_no_step() {
    let mut bound = KernelBound::new(Duration::from_millis(100));
    let mut machine = Machine::new(1_000);
    machine.ask(&mut bound).unwrap();
    let before = machine.now;
    let wall = EPOCH + before + 50;
    let slow = Reading { before, wall, after: before + 20 * MS };
    assert!(error(bound.interval(&slow).unwrap()) >= 11 * MS, "it is as uncertain as it took");
    assert_eq!(bound.take_note(), None);
}

#[test]
fn a_clock_that_nobody_vouches_for_is_unknown_until_somebody_does() {
    let (mut machine, mut bound) = (Machine::new(1_000), KernelBound::new(Duration::from_millis(100)));
    machine.kernel = Kernel::Unknown("nobody synchronises it".into());
    assert_eq!(machine.ask(&mut bound), Err(ClockError::Unknown("nobody synchronises it".into())));
    machine.kernel = Kernel::Synchronised(Duration::from_millis(50));
    machine.now += 300 * MS;
    let refused = machine.ask(&mut bound).unwrap_err();
    assert!(matches!(refused, ClockError::TooWide { .. }), "{refused}");
    machine.kernel = Kernel::Synchronised(Duration::from_millis(5));
    machine.now += 300 * MS;
    machine.ask(&mut bound).unwrap();
}

#[test]
fn t1_a_stated_bound_is_unknown_for_a_while_after_a_step_that_it_does_not_allow() {
    let mut machine = Machine::new(0);
    let mut bound = StatedBound::new(Duration::from_millis(5));
    let reading = machine.read();
    let interval = bound.interval(&reading).unwrap();
    assert_eq!((interval.latest - reading.wall, reading.wall - interval.earliest), (5 * MS, 5 * MS));
    // From one end of what is stated to the other.
    machine.ahead += 10_000_000;
    let reading = machine.read();
    bound.interval(&reading).unwrap();
    assert_eq!(bound.take_note(), None);
    machine.ahead -= 11_000_000;
    let reading = machine.read();
    assert!(bound.interval(&reading).is_err());
    assert!(bound.take_note().unwrap().contains("the stated bound"));
    machine.now += 9 * S;
    let reading = machine.read();
    assert!(bound.interval(&reading).is_err());
    assert_eq!(bound.take_note(), None, "it is said once");
    machine.now += 2 * S;
    let reading = machine.read();
    bound.interval(&reading).unwrap();
}
