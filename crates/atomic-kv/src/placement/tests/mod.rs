//! Event loops on a machine that is computed: their choices, and the system's that brings them together.

mod busy;
mod quiet;

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
    /// Whether only one of the threads has something to do at a time.
    take_turns: bool,
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
            take_turns: false,
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
            let waited = if self.take_turns { ran * 0.5 } else { (demand.min(1.0) - ran) * 0.9 };
            thread.times.waited += STEP.mul_f64(waited);
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
}

impl Processors for Seen {
    fn allowed(&self) -> io::Result<Vec<usize>> {
        Ok(self.machine.borrow().threads[self.thread].allowed.clone())
    }

    fn allowed_first(&self) -> io::Result<Vec<usize>> {
        Ok((0..self.machine.borrow().processors.len()).collect())
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
    fn run(&mut self, time: Duration, in_flight: usize) {
        let end = self.machine.borrow().now + time;
        while self.machine.borrow().now < end {
            self.machine.borrow_mut().step();
            let now = self.machine.borrow().now;
            for placement in &mut self.placements {
                placement.come_by(in_flight, now).unwrap();
            }
        }
    }

    fn run_until_it_has_chosen(&mut self) {
        for _ in 0..10_000 {
            self.run(STEP, BUSY);
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
/// Operations in flight.
const BUSY: usize = BUSY_ABOVE + 1;
