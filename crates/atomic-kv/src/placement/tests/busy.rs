//! Loops with many operations in flight.

use super::*;

#[test]
fn loops_that_share_a_processor_while_another_is_idle_move_apart_and_stay() {
    for seed in 0..50 {
        let machine = Machine::new(&[0.1, 0.5], &[(0.35, 0), (0.35, 0), (0.35, 0)]);
        let mut loops = Loops::new(&machine, seed);
        loops.run(4 * SECONDS, BUSY);
        let places = loops.places();
        assert!(places.contains(&0) && places.contains(&1), "seed {seed}: {places:?}");
        let moves = loops.moves();
        loops.run(20 * SECONDS, BUSY);
        assert_eq!(loops.moves(), moves, "seed {seed}: they do not come to rest");
    }
}

#[test]
fn loops_that_the_system_brings_together_are_apart_for_most_of_the_time() {
    for seed in 0..20 {
        let machine = Machine::new(&[0.1, 0.5], &[(0.35, 0), (0.35, 0), (0.35, 0)]);
        machine.borrow_mut().attractor = Some(0);
        let mut loops = Loops::new(&machine, seed);
        loops.run(4 * SECONDS, BUSY);
        let mut apart = 0;
        for _ in 0..400 {
            loops.run(SECONDS / 20, BUSY);
            apart += u32::from(loops.places() != [0, 0, 0]);
        }
        assert!(apart > 320, "seed {seed}: {apart} of 400 times");
        // Under another load the system does well. A stay is over after a few seconds, and there is no other.
        machine.borrow_mut().others = vec![0.0, 1.0];
        loops.run(5 * SECONDS, BUSY);
        let moves = loops.moves();
        loops.run(10 * SECONDS, BUSY);
        assert_eq!((loops.places(), loops.moves()), (vec![0, 0, 0], moves), "seed {seed}");
    }
}

#[test]
fn a_loop_that_is_away_for_long_goes_where_the_system_wants_it() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run_until_it_has_chosen();
    machine.borrow_mut().now += LONG_ABSENCE + STEP;
    loops.run(STEP, BUSY);
    assert_eq!(machine.borrow().threads[0].allowed, [0, 1]);
}

#[test]
fn a_loop_moves_away_from_a_processor_that_another_program_takes() {
    let machine = Machine::new(&[1.0, 1.0, 0.3, 0.0], &[(0.4, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, BUSY);
    assert_eq!(loops.places(), [3]);
    // It is free of the last choice if that turns out to be wrong.
    machine.borrow_mut().others = vec![0.0, 1.0, 1.0, 1.0];
    loops.run(10 * SECONDS, BUSY);
    assert_eq!((loops.places(), loops.moves()), (vec![0], 2));
}

#[test]
fn loops_stay_where_they_are_if_no_other_processor_would_be_better() {
    for (others, threads) in [
        // All processors have as much to do.
        (vec![0.65, 0.65], vec![(0.35, 0), (0.35, 1)]),
        // There is room elsewhere, but not for this one.
        (vec![0.6, 0.9], vec![(0.2, 0), (0.2, 0)]),
        // It waits for less than half of the time.
        (vec![0.5, 0.0], vec![(0.5, 0)]),
        // It waits for half of the time, and sleeps for a quarter.
        (vec![0.6, 0.0], vec![(0.2, 0)]),
        // Nobody waits.
        (vec![0.0, 0.0], vec![(0.9, 0)]),
        // There is one only.
        (vec![0.5], vec![(0.9, 0), (0.9, 0)]),
    ] {
        let machine = Machine::new(&others, &threads);
        let mut loops = Loops::new(&machine, 1);
        loops.run(10 * SECONDS, BUSY);
        assert_eq!(loops.moves(), 0, "{others:?}");
    }
}

#[test]
fn a_loop_with_little_to_do_goes_where_the_system_wants_it() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, 0);
    assert_eq!(loops.moves(), 0);
    loops.run_until_it_has_chosen();
    assert_eq!((loops.places(), machine.borrow().threads[0].allowed.clone()), (vec![1], vec![1]));
    loops.run(SECONDS / 2, 0);
    assert_eq!(machine.borrow().threads[0].allowed, [0, 1]);
}

#[test]
fn a_stay_is_over_after_a_while_also_where_nobody_waits() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run_until_it_has_chosen();
    loops.run(STAY / 2, BUSY);
    assert_eq!(machine.borrow().threads[0].allowed, [1]);
    loops.run(STAY, BUSY);
    assert_eq!((machine.borrow().threads[0].allowed.clone(), loops.places()), (vec![0, 1], vec![1]));
}

#[test]
fn what_the_system_refuses_is_no_move() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    machine.borrow_mut().refuses = true;
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, BUSY);
    assert_eq!(loops.moves(), 0);
    machine.borrow_mut().refuses = false;
    loops.run_until_it_has_chosen();
}

#[test]
fn what_somebody_else_allows_meanwhile_holds() {
    let machine = Machine::new(&[1.0, 0.0, 1.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run(5 * SECONDS, BUSY);
    assert_eq!(loops.places(), [1]);
    {
        let mut machine = machine.borrow_mut();
        (machine.threads[0].allowed, machine.threads[0].here) = (vec![0, 2], 0);
    }
    loops.run(5 * SECONDS, BUSY);
    loops.run(SECONDS, 0);
    assert_eq!((machine.borrow().threads[0].allowed.clone(), loops.places()), (vec![0, 2], vec![0]));
}
