//! Event loops on a machine that is computed: their choices, and the system's that brings them together.

use super::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const STEP: Duration = Duration::from_millis(1);
/// Time of a processor in a step, in the unit of its times.
const UNITS: u64 = 1000;

struct Machine {
    now: Duration,
    processors: Vec<ProcessorTimes>,
    /// What others want of each processor, as part of its time.
    others: Vec<f64>,
    /// Where the system brings every thread that it may.
    attractor: Option<usize>,
    /// Whether it lets nobody choose.
    refuses: bool,
    threads: Vec<Thread>,
}

struct Thread {
    /// The part of a processor's time that it wants.
    wants: f64,
    here: usize,
    allowed: Vec<usize>,
    times: ThreadTimes,
    moves: usize,
}

impl Machine {
    fn new(others: &[f64], threads: &[(f64, usize)]) -> Rc<RefCell<Self>> {
        let processors = (0..others.len()).map(|number| ProcessorTimes { number, busy: 0, idle: 0 });
        let allowed: Vec<usize> = (0..others.len()).collect();
        let thread = |(wants, here): &(f64, usize)| Thread {
            wants: *wants,
            here: *here,
            allowed: allowed.clone(),
            times: ThreadTimes::default(),
            moves: 0,
        };
        Rc::new(RefCell::new(Self {
            now: Duration::ZERO,
            processors: processors.collect(),
            others: others.to_vec(),
            attractor: None,
            refuses: false,
            threads: threads.iter().map(thread).collect(),
        }))
    }

    fn demand(&self, number: usize) -> f64 {
        let threads = self.threads.iter().filter(|thread| thread.here == number);
        self.others[number] + threads.map(|thread| thread.wants).sum::<f64>()
    }

    fn step(&mut self) {
        self.now += STEP;
        if let Some(number) = self.attractor {
            for thread in self.threads.iter_mut().filter(|thread| thread.allowed.contains(&number)) {
                thread.here = number;
            }
        }
        let demands: BTreeMap<usize, f64> =
            self.processors.iter().map(|times| (times.number, self.demand(times.number))).collect();
        for times in &mut self.processors {
            let busy = Duration::from_micros(UNITS).mul_f64(demands[&times.number].min(1.0));
            let busy = u64::try_from(busy.as_micros()).unwrap();
            times.busy += busy;
            times.idle += UNITS - busy;
        }
        for thread in &mut self.threads {
            let demand = demands[&thread.here];
            let ran = thread.wants / demand.max(1.0);
            thread.times.ran += STEP.mul_f64(ran);
            // Whoever shares a processor waits for the others now and then.
            thread.times.waited += STEP.mul_f64((demand.min(1.0) - ran) * 0.9);
        }
    }
}

struct Seen {
    machine: Rc<RefCell<Machine>>,
    thread: usize,
}

impl System for Seen {
    fn thread(&mut self) -> io::Result<ThreadTimes> {
        Ok(self.machine.borrow().threads[self.thread].times)
    }

    fn processors(&mut self) -> io::Result<Vec<ProcessorTimes>> {
        Ok(self.machine.borrow().processors.clone())
    }

    fn here(&self) -> usize {
        self.machine.borrow().threads[self.thread].here
    }

    fn allowed(&self) -> io::Result<Vec<usize>> {
        Ok(self.machine.borrow().threads[self.thread].allowed.clone())
    }

    fn allow(&mut self, processors: &[usize]) -> io::Result<()> {
        let mut machine = self.machine.borrow_mut();
        if machine.refuses {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let thread = &mut machine.threads[self.thread];
        thread.allowed = processors.to_vec();
        if !processors.contains(&thread.here) {
            thread.here = processors[0];
            thread.moves += 1;
        }
        Ok(())
    }
}

/// The event loops of a machine.
struct Loops {
    machine: Rc<RefCell<Machine>>,
    placements: Vec<Placement<Seen>>,
}

impl Loops {
    fn new(machine: &Rc<RefCell<Machine>>, seed: u64) -> Self {
        let count = machine.borrow().threads.len();
        let placement = |thread| {
            let mix = (seed * 8 + thread as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Placement::new(Seen { machine: machine.clone(), thread }, mix, Duration::ZERO)
        };
        Self { machine: machine.clone(), placements: (0..count).map(placement).collect() }
    }

    /// Lets time pass; each loop comes by once in every step.
    fn run(&mut self, time: Duration, busy: bool) {
        let end = self.machine.borrow().now + time;
        while self.machine.borrow().now < end {
            self.machine.borrow_mut().step();
            let now = self.machine.borrow().now;
            for placement in &mut self.placements {
                placement.come_by(busy, now).unwrap();
            }
        }
    }

    fn run_until_it_has_chosen(&mut self) {
        for _ in 0..10_000 {
            self.run(STEP, true);
            if self.machine.borrow().threads[0].allowed.len() == 1 {
                return;
            }
        }
        panic!("it does not choose in ten seconds");
    }

    fn moves(&self) -> usize {
        self.machine.borrow().threads.iter().map(|thread| thread.moves).sum()
    }

    fn places(&self) -> Vec<usize> {
        self.machine.borrow().threads.iter().map(|thread| thread.here).collect()
    }
}

const SECONDS: Duration = Duration::from_secs(1);

#[test]
fn loops_that_share_a_processor_while_another_is_idle_move_apart_and_stay() {
    for seed in 0..50 {
        let machine = Machine::new(&[0.1, 0.5], &[(0.35, 0), (0.35, 0), (0.35, 0)]);
        let mut loops = Loops::new(&machine, seed);
        loops.run(4 * SECONDS, true);
        let places = loops.places();
        assert!(places.contains(&0) && places.contains(&1), "seed {seed}: {places:?}");
        let moves = loops.moves();
        loops.run(20 * SECONDS, true);
        assert_eq!(loops.moves(), moves, "seed {seed}: they do not come to rest");
    }
}

#[test]
fn loops_that_the_system_brings_together_are_apart_for_most_of_the_time() {
    for seed in 0..20 {
        let machine = Machine::new(&[0.1, 0.5], &[(0.35, 0), (0.35, 0), (0.35, 0)]);
        machine.borrow_mut().attractor = Some(0);
        let mut loops = Loops::new(&machine, seed);
        loops.run(4 * SECONDS, true);
        let mut apart = 0;
        for _ in 0..400 {
            loops.run(SECONDS / 20, true);
            apart += u32::from(loops.places() != [0, 0, 0]);
        }
        assert!(apart > 320, "seed {seed}: {apart} of 400 times");
        // Under another load the system does well. A stay is over after a few seconds, and there is no other.
        machine.borrow_mut().others = vec![0.0, 1.0];
        loops.run(5 * SECONDS, true);
        let moves = loops.moves();
        loops.run(10 * SECONDS, true);
        assert_eq!((loops.places(), loops.moves()), (vec![0, 0, 0], moves), "seed {seed}");
    }
}

#[test]
fn a_loop_that_is_away_for_long_goes_where_the_system_wants_it() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run_until_it_has_chosen();
    machine.borrow_mut().now += LONG_ABSENCE + STEP;
    loops.run(STEP, true);
    assert_eq!(machine.borrow().threads[0].allowed, [0, 1]);
}

#[test]
fn a_loop_moves_away_from_a_processor_that_another_program_takes() {
    let machine = Machine::new(&[1.0, 1.0, 0.3, 0.0], &[(0.4, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, true);
    assert_eq!(loops.places(), [3]);
    // It is free of the last choice if that turns out to be wrong.
    machine.borrow_mut().others = vec![0.0, 1.0, 1.0, 1.0];
    loops.run(10 * SECONDS, true);
    assert_eq!((loops.places(), loops.moves()), (vec![0], 2));
}

#[test]
fn loops_stay_where_they_are_if_no_other_processor_would_be_better() {
    for (others, threads) in [
        // All processors have as much to do.
        (vec![0.5, 0.5], vec![(0.35, 0), (0.35, 1)]),
        // There is room elsewhere, but not for this one.
        (vec![0.3, 0.6], vec![(0.2, 0), (0.2, 0)]),
        // Nobody waits.
        (vec![0.0, 0.0], vec![(0.9, 0)]),
        // There is one only.
        (vec![0.5], vec![(0.9, 0), (0.9, 0)]),
    ] {
        let machine = Machine::new(&others, &threads);
        let mut loops = Loops::new(&machine, 1);
        loops.run(10 * SECONDS, true);
        assert_eq!(loops.moves(), 0, "{others:?}");
    }
}

#[test]
fn a_loop_with_little_to_do_goes_where_the_system_wants_it() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, false);
    assert_eq!(loops.moves(), 0);
    loops.run_until_it_has_chosen();
    assert_eq!((loops.places(), machine.borrow().threads[0].allowed.clone()), (vec![1], vec![1]));
    loops.run(SECONDS / 2, false);
    assert_eq!(machine.borrow().threads[0].allowed, [0, 1]);
}

#[test]
fn a_stay_is_over_after_a_while_also_where_nobody_waits() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run_until_it_has_chosen();
    loops.run(STAY / 2, true);
    assert_eq!(machine.borrow().threads[0].allowed, [1]);
    loops.run(STAY, true);
    assert_eq!((machine.borrow().threads[0].allowed.clone(), loops.places()), (vec![0, 1], vec![1]));
}

#[test]
fn what_the_system_refuses_is_no_move() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    machine.borrow_mut().refuses = true;
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, true);
    assert_eq!(loops.moves(), 0);
    machine.borrow_mut().refuses = false;
    loops.run_until_it_has_chosen();
}

#[test]
fn what_somebody_else_allows_meanwhile_holds() {
    let machine = Machine::new(&[1.0, 0.0, 1.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, true);
    assert_eq!(loops.places(), [1]);
    {
        let mut machine = machine.borrow_mut();
        (machine.threads[0].allowed, machine.threads[0].here) = (vec![0, 2], 0);
    }
    loops.run(5 * SECONDS, true);
    loops.run(SECONDS, false);
    assert_eq!((machine.borrow().threads[0].allowed.clone(), loops.places()), (vec![0, 2], vec![0]));
}
