//! What answers while a breaker is open.

use crate::support::{assert_balanced, pool, within};
use gristmill::prelude::*;
use gristmill::testing::Simulation;
use gristmill::{BreakerState, Error};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn the_fallback_answers_in_every_shape_and_in_the_items_place() {
    within("fallbacks in every shape", || {
        for (seed, shape) in (0..24).map(|seed| (seed, seed % 12)) {
            let (order, blocking, stays_in_line) = (shape % 3, shape / 3 % 2 == 0, shape / 6 == 0);
            let breaker = Breaker::new().window(1).open_for(HOUR);
            let rate = RateLimit::per_second(if stays_in_line { 100.0 } else { f64::INFINITY });
            let pipeline = Pipeline::extract(0..200u64).morsel_items(1 + seed as usize % 9);
            let pipeline = match order {
                0 => pipeline,
                1 => pipeline.ordered(),
                _ => pipeline.ordered_by_key(|item| item % 3),
            };
            // What fails before it is open waits for its retry, and then goes to the fallback as well.
            let (down, retry) = (|_| Err::<u64, _>("down"), Retry::constant(2, Duration::from_millis(1)));
            let simulation = Simulation::new(seed);
            let fallback = |item: u64| Ok(item + 1_000);
            let report = if blocking {
                let stage = pipeline.try_map_blocking(3, down).retry(retry).breaker_or(&breaker, fallback);
                simulation.run(stage.rate_limit(&rate).named("call").collect::<Vec<_>>())
            } else {
                let stage = pipeline.try_map(down).retry(retry).breaker_or(&breaker, fallback);
                simulation.run(stage.rate_limit(&rate).named("call").collect::<Vec<_>>())
            }
            .unwrap();
            assert_balanced(&report);
            let totals = report.totals();
            assert_eq!((totals.fell_back, totals.retried, totals.skipped), (200, 0, 0), "seed {seed}");
            assert_eq!(report.stage("call").unwrap().fell_back, 200);
            assert!(report.to_string().contains("200 by a fallback"));
            let mut output = report.output;
            assert!(order != 1 || output.is_sorted());
            for key in (0..3).filter(|_| order == 2) {
                assert!(output.iter().filter(|item| (*item - 1_000) % 3 == key).is_sorted());
            }
            output.sort_unstable();
            assert!(output.into_iter().eq(1_000..1_200), "seed {seed}");
        }
    });
}

#[test]
fn the_service_answers_again_when_it_is_back() {
    within("an outage", || {
        for (seed, blocking) in (0..20).map(|seed| (seed, seed % 2 == 0)) {
            let (simulation, monitor) = (Simulation::new(seed), Monitor::new());
            let second = Duration::from_secs(1);
            let breaker = Breaker::new().window(1).open_for(second).probes(1);
            let slow = simulation.clone();
            let items = (0..300u64).inspect(move |_| slow.sleep(Duration::from_millis(100)));
            // Down for the first third.
            let call = |item| match monitor.snapshot().unwrap().elapsed {
                elapsed if elapsed < 10 * second => Err("down"),
                _ => Ok((item, true)),
            };
            let pipeline = Pipeline::extract(items).morsel_items(1).monitor(&monitor).ordered();
            let fallback = |item| Ok((item, false));
            let report = if blocking {
                let stage = pipeline.try_map_blocking(2, call).breaker_or(&breaker, fallback);
                simulation.run(stage.on_error(OnError::skip()).collect::<Vec<_>>())
            } else {
                let stage = pipeline.try_map(call).breaker_or(&breaker, fallback);
                simulation.run(stage.on_error(OnError::skip()).collect::<Vec<_>>())
            }
            .unwrap();
            assert_balanced(&report);
            let (totals, output) = (report.totals(), report.output);
            // Only what was let through can have failed: the first ones, and the probe of each second.
            assert!((1..40).contains(&totals.skipped) && breaker.opened() > 3, "seed {seed}: {totals:?}, {breaker:?}");
            assert_eq!(output.len() as u64 + totals.skipped, 300);
            assert_eq!(output.iter().filter(|(_, real)| !real).count() as u64, totals.fell_back);
            assert!(totals.fell_back > 40 && output.ends_with(&[(298, true), (299, true)]), "seed {seed}: {totals:?}");
            assert_eq!(breaker.state(), BreakerState::Closed);
        }
    });
}

/// Every item goes to the fallback, which fails for some.
fn all_fall_back(on_error: OnError<'_, u64, String>, blocking: bool) -> Result<gristmill::Report<u64>, Error> {
    let (pool, breaker) = (Arc::new(pool(2)), Breaker::new().window(1).open_for(HOUR));
    // Another stage has opened it.
    Pipeline::extract(0..1u64)
        .try_map(|_| Err::<u64, _>("down"))
        .breaker(&breaker)
        .on_error(OnError::skip())
        .count()
        .run()?;
    let call = |_| -> Result<u64, String> { unreachable!("the breaker is open") };
    let fallback = |item: u64| match item % 10 {
        3 => Err(format!("no {item}")),
        7 => std::panic::panic_any(format!("planned, at {item}")),
        _ => Ok(item),
    };
    let retry = Retry::constant(5, Duration::from_millis(1)).and_panics();
    let pipeline = Pipeline::extract(0..100u64).pool(pool);
    if blocking {
        pipeline.try_map_blocking(2, call).retry(retry).breaker_or(&breaker, fallback).on_error(on_error).count().run()
    } else {
        pipeline.try_map(call).retry(retry).breaker_or(&breaker, fallback).on_error(on_error).count().run()
    }
}

#[test]
fn a_fallback_that_fails_or_panics_goes_to_the_policy_and_is_not_tried_again() {
    within("a fallback that fails", || {
        for blocking in [false, true] {
            let mut letters = Vec::new();
            let report = all_fall_back(OnError::dead_letter(&mut letters), blocking).unwrap();
            assert_balanced(&report);
            let totals = report.totals();
            assert_eq!((report.output, totals.fell_back, totals.dead, totals.retried), (80, 80, 20, 0));
            letters.sort_unstable_by_key(|letter| letter.position);
            for (letter, position) in letters.iter().zip((0..100).filter(|item| matches!(item % 10, 3 | 7))) {
                let cause = match position % 10 {
                    3 => Cause::Error(format!("no {position}")),
                    _ => Cause::Panic(format!("planned, at {position}")),
                };
                assert_eq!((letter.position, letter.item, letter.attempts), (position, Some(position), 1));
                assert_eq!(letter.cause, cause);
            }
            let error = all_fall_back(OnError::abort(), blocking).unwrap_err();
            assert!(format!("{error:?}").contains("no ") || format!("{error:?}").contains("planned"), "{error:?}");
            assert_balanced(error.report().unwrap());
        }
    });
}

#[test]
fn each_stage_of_a_shared_breaker_has_its_own_fallback() {
    within("two fallbacks", || {
        let breaker = Breaker::new().window(1).open_for(HOUR);
        let report = Pipeline::extract(0..50u64)
            .morsel_items(1)
            .workers(1)
            .try_map(|item| if item == 0 { Err("down") } else { unreachable!("the breaker is open") })
            .breaker_or(&breaker, |item| Ok(item + 100))
            .on_error(OnError::skip())
            .map_blocking(1, |_| unreachable!("the breaker is open"))
            .breaker_or(&breaker, |item| Ok(item * 2))
            .ordered()
            .collect::<Vec<u64>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.output.into_iter().eq((1..50).map(|item| 2 * (item + 100))));
    });
}
