//! Loops with one operation in flight, or none.

use super::*;

/// Lets time pass for the only loop of a machine, which hears of a message from there in every step.
fn run_and_hear(loops: &mut Loops, time: Duration, in_flight: usize, from: usize) {
    let end = loops.machine.borrow().now + time;
    while loops.machine.borrow().now < end {
        if loops.placements[0].heard(1, false) {
            loops.placements[0].heard_from(from);
        }
        loops.run(STEP, in_flight);
    }
}

fn allowed(machine: &Rc<RefCell<Machine>>) -> Vec<usize> {
    machine.borrow().threads[0].allowed.clone()
}

/// A loop that may be on processors 0 and 1 and has gone to 1.
fn in_company() -> (Rc<RefCell<Machine>>, Loops) {
    let machine = Machine::new(&[0.1, 0.0], &[(0.2, 0)]);
    let mut loops = Loops::new(&machine, 1);
    run_and_hear(&mut loops, SECONDS, 1, 1);
    assert_eq!(allowed(&machine), [1]);
    (machine, loops)
}

#[test]
fn a_quiet_loop_goes_where_its_messages_come_from_until_it_is_busy() {
    let machine = Machine::new(&[0.1, 0.0, 0.1], &[(0.2, 0)]);
    let mut loops = Loops::new(&machine, 1);
    run_and_hear(&mut loops, SECONDS, 1, 2);
    assert_eq!((allowed(&machine), loops.places(), loops.moves()), (vec![2], vec![2], 1));
    // They come from elsewhere.
    run_and_hear(&mut loops, SECONDS, 1, 1);
    assert_eq!((allowed(&machine), loops.places(), loops.moves()), (vec![1], vec![1], 2));
    // Two operations at a time: at once.
    run_and_hear(&mut loops, STEP, 2, 1);
    assert_eq!(allowed(&machine), [0, 1, 2]);
    run_and_hear(&mut loops, SECONDS, 2, 1);
    assert_eq!(allowed(&machine), [0, 1, 2]);
    // Without operations of its own, too.
    run_and_hear(&mut loops, SECONDS, 0, 1);
    assert_eq!(allowed(&machine), [1]);
    // Nothing comes any more.
    loops.run(SECONDS, 0);
    assert_eq!(allowed(&machine), [0, 1, 2]);
}

#[test]
fn a_quiet_loop_leaves_a_processor_that_others_take() {
    let (machine, mut loops) = in_company();
    machine.borrow_mut().others[1] = 3.0;
    run_and_hear(&mut loops, SECONDS / 2, 1, 1);
    assert_eq!(allowed(&machine), [0, 1]);
}

#[test]
fn a_loop_that_becomes_quiet_has_its_choice_of_room_replaced() {
    let machine = Machine::new(&[1.0, 0.0], &[(0.3, 0)]);
    let mut loops = Loops::new(&machine, 1);
    loops.run_until_it_has_chosen();
    assert_eq!(allowed(&machine), [1]);
    machine.borrow_mut().others[0] = 0.1;
    run_and_hear(&mut loops, SECONDS, 1, 0);
    assert_eq!(allowed(&machine), [0]);
    run_and_hear(&mut loops, STEP, 2, 0);
    assert_eq!(allowed(&machine), [0, 1], "all that it was allowed in the beginning");
}

#[test]
fn a_quiet_loop_goes_only_where_it_is_allowed() {
    let machine = Machine::new(&[0.1, 0.0, 0.1], &[(0.2, 0)]);
    machine.borrow_mut().threads[0].allowed = vec![0, 1];
    let mut loops = Loops::new(&machine, 1);
    run_and_hear(&mut loops, SECONDS, 1, 2);
    assert_eq!((allowed(&machine), loops.moves()), (vec![0, 1], 0));
    run_and_hear(&mut loops, SECONDS, 1, 1);
    assert_eq!(allowed(&machine), [1]);
    // What somebody else orders meanwhile holds.
    machine.borrow_mut().threads[0].allowed = vec![0];
    machine.borrow_mut().threads[0].here = 0;
    run_and_hear(&mut loops, SECONDS, 1, 1);
    assert_eq!(allowed(&machine), [0]);
}

#[test]
fn a_pause_says_nothing_about_company() {
    let (machine, mut loops) = in_company();
    for _ in 0..10 {
        machine.borrow_mut().now += LONG_ABSENCE + STEP;
        run_and_hear(&mut loops, STEP, 1, 1);
        assert_eq!(allowed(&machine), [0, 1]);
        run_and_hear(&mut loops, SECONDS, 1, 1);
        assert_eq!(allowed(&machine), [1]);
    }
}

#[test]
fn a_pause_in_which_others_have_the_processor_is_no_good_company() {
    let (machine, mut loops) = in_company();
    {
        let mut machine = machine.borrow_mut();
        machine.now += LONG_ABSENCE + STEP;
        machine.threads[0].times.waited += LONG_ABSENCE;
    }
    run_and_hear(&mut loops, SECONDS / 5, 1, 1);
    assert_eq!(allowed(&machine), [0, 1]);
}

#[test]
fn what_the_system_does_not_give_back_is_asked_for_again() {
    let (machine, mut loops) = in_company();
    machine.borrow_mut().refuses = true;
    loops.placements[0].let_go().unwrap_err();
    assert_eq!(allowed(&machine), [1]);
    machine.borrow_mut().refuses = false;
    loops.placements[0].let_go().unwrap();
    assert_eq!(allowed(&machine), [0, 1]);
}

#[test]
fn what_the_system_refuses_a_quiet_loop_is_no_company() {
    let machine = Machine::new(&[0.1, 0.0], &[(0.2, 0)]);
    machine.borrow_mut().refuses = true;
    let mut loops = Loops::new(&machine, 1);
    run_and_hear(&mut loops, 3 * SECONDS, 1, 1);
    assert!(!loops.placements[0].company.is_present());
    machine.borrow_mut().refuses = false;
    run_and_hear(&mut loops, SECONDS, 1, 1);
    assert_eq!(allowed(&machine), [1]);
}

#[test]
fn loops_that_answer_each_other_come_together() {
    for seed in 0..20 {
        let machine = Machine::new(&[0.0, 0.0, 0.0], &[(0.3, 0), (0.1, 1), (0.1, 2)]);
        machine.borrow_mut().take_turns = true;
        let mut loops = Loops::new(&machine, seed);
        // One of them asks the two others.
        let mut exchange = || {
            for _ in 0..12_000 {
                let places = loops.places();
                for (hears, from) in [(1, 0), (2, 0), (0, 1), (0, 2)] {
                    if loops.placements[hears].heard(1, false) {
                        loops.placements[hears].heard_from(places[from]);
                    }
                }
                loops.run(STEP, 1);
            }
            (loops.places(), loops.moves())
        };
        let (places, moves) = exchange();
        assert!(places.iter().all(|place| *place == places[0]), "seed {seed}: {places:?}");
        assert_eq!(exchange(), (places, moves), "seed {seed}: they do not come to rest");
    }
}
