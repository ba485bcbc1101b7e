//! Runs that a seed decides: calls that are left in their middle. Few runs, as threads take turns.

use crate::support::{assert_balanced, within};
use gristmill::Report;
use gristmill::prelude::*;
use gristmill::testing::Simulation;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What calls do when they begin, and after they have been paused: true at the end.
type Said = Mutex<Vec<(u32, bool)>>;

fn run(simulation: &Simulation, items: u32, said: &Said) -> Result<Report<u64>, gristmill::Error> {
    let (cpu, own) = (simulation.clone(), simulation.clone());
    let pipeline = Pipeline::extract(0..items)
        .morsel_items(2)
        .try_map(move |item| {
            cpu.pause();
            if item % 7 == 3 { Err("planned") } else { Ok(item) }
        })
        .on_error(OnError::skip())
        .map_blocking(3, move |item| {
            said.lock().unwrap().push((item, false));
            own.pause();
            said.lock().unwrap().push((item, true));
            if item % 11 == 5 {
                // Not a panic that the hook reports.
                std::panic::resume_unwind(Box::new("planned"));
            }
            item
        })
        .on_error(OnError::skip())
        .count();
    simulation.run(pipeline)
}

#[test]
fn calls_that_pause_overlap_and_end_in_any_order() {
    within("paused calls", || {
        let (mut overlapped, mut first_ended_first, mut last_ended_first) = (0, 0, 0);
        for seed in 0..40 {
            let said = Said::default();
            let report = run(&Simulation::new(seed), 12, &said).unwrap();
            assert_balanced(&report);
            let said = said.into_inner().unwrap();
            for three in said.windows(3) {
                if let [(first, false), (second, false), (ended, true)] = three {
                    overlapped += 1;
                    first_ended_first += u32::from(ended == first);
                    last_ended_first += u32::from(ended == second);
                }
            }
        }
        assert!(
            first_ended_first > 2 && last_ended_first > 2,
            "{first_ended_first} and {last_ended_first} of {overlapped}"
        );
    });
}

#[test]
fn a_seed_with_pauses_goes_the_same_way_each_time() {
    within("seeds with pauses", || {
        for seed in 0..10 {
            let play = || {
                let (simulation, said) = (Simulation::new(seed), Said::default());
                run(&simulation, 12, &said).unwrap();
                (simulation.events(), simulation.trace(), said.into_inner().unwrap())
            };
            assert_eq!(play(), play(), "seed {seed}");
        }
    });
}

#[test]
fn a_call_that_is_paused_when_the_run_crashes_does_not_go_on() {
    within("crashes of paused calls", || {
        let mut left = 0;
        for seed in 0..60 {
            let (simulation, said) = (Simulation::new(seed), Said::default());
            let at = simulation.below(60) as u64;
            let simulation = simulation.crash_at(at);
            if run(&simulation, 12, &said).is_ok_and(|_| simulation.events() <= at) {
                continue;
            }
            // Nothing is said after the event of the crash.
            let said = said.into_inner().unwrap();
            let (begun, ended) =
                (said.iter().filter(|call| !call.1).count(), said.iter().filter(|call| call.1).count());
            assert!(ended <= begun, "seed {seed}");
            left += begun - ended;
        }
        assert!(left > 5, "{left} calls were in their middle");
    });
}

#[test]
fn a_pause_outside_a_run_or_on_another_thread_is_none() {
    let simulation = Simulation::new(1);
    simulation.pause();
    let calls = AtomicU32::new(0);
    let pauses = simulation.clone();
    let run = Pipeline::extract(0..20u32)
        .map(|item| {
            std::thread::scope(|threads| threads.spawn(|| pauses.pause()).join().unwrap());
            calls.fetch_add(1, Relaxed);
            item
        })
        .count();
    assert_eq!((simulation.run(run).unwrap().output, calls.into_inner()), (20, 20));
    simulation.pause();
}

/// The call itself does not pause: it is the worker that is left in the middle of a step, with what it has made.
#[test]
fn workers_are_left_in_the_middle_of_a_step_while_others_go_on() {
    within("steps in their middle", || {
        let overtaken = (0..40).filter(|seed| {
            let pipeline = Pipeline::extract(0..40u32).morsel_items(1).map(|item| item).collect::<Vec<_>>();
            let report = Simulation::new(*seed).run(pipeline).unwrap();
            assert_balanced(&report);
            !report.output.is_sorted()
        });
        let overtaken = overtaken.count();
        assert!(overtaken > 5, "in {overtaken} of 40 runs");
    });
}
