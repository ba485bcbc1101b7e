//! What can be changed while a run goes on: workers, places.

use crate::support::{assert_balanced, patience, pool, within};
use gristmill::prelude::*;
use gristmill::testing::Simulation;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

#[test]
fn more_threads_start_while_the_run_goes_on() {
    within("a stage that needs four threads", || {
        let workers = Workers::new(1).up_to(4);
        // Nobody gets on before four are inside.
        let four = Barrier::new(4);
        let report = Pipeline::extract(0..64u64)
            .map_blocking(&workers, |item| {
                workers.set(4);
                four.wait();
                item
            })
            .named("call")
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.output.iter().copied().eq(0..64));
        let stage = report.stage("call").unwrap();
        assert_eq!((stage.workers, stage.most_workers), (4, 4));
        assert!(stage.mean_workers > 1.0 && stage.mean_workers < 4.0, "{}", stage.mean_workers);
    });
}

#[test]
fn threads_that_are_not_wanted_stop_between_items_and_come_back() {
    within("a stage that shrinks and grows", || {
        let workers = Workers::new(4);
        let (two, begun) = (Barrier::new(2), Mutex::new(HashMap::<String, u32>::new()));
        let (shrunk, grown) = (AtomicBool::new(false), AtomicBool::new(false));
        let report = Pipeline::extract(0..400u64)
            .morsel_items(1)
            .map_blocking(&workers, |item| {
                if shrunk.load(Ordering::SeqCst) && !grown.load(Ordering::SeqCst) {
                    let thread = std::thread::current().name().unwrap_or_default().to_owned();
                    *begun.lock().unwrap().entry(thread).or_default() += 1;
                }
                match item {
                    100 => {
                        workers.set(1);
                        shrunk.store(true, Ordering::SeqCst);
                    }
                    300 => {
                        grown.store(true, Ordering::SeqCst);
                        workers.set(2);
                    }
                    // Two must be inside at once.
                    398 | 399 => drop(two.wait()),
                    _ => {}
                }
                item
            })
            .named("call")
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert_eq!((report.output, report.stage("call").unwrap().workers), (400, 2));
        for (thread, items) in begun.into_inner().unwrap() {
            // One that it had taken when it was told.
            assert!(thread == "call-0" || items <= 1, "{thread} began {items} items");
        }
    });
}

#[test]
fn a_stage_keeps_its_accounts_while_its_threads_come_and_go() {
    within("changing all the time", || {
        let workers = Workers::new(3).up_to(8);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in (1..=8).cycle() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    workers.set(number);
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
            for round in 0..20u64 {
                let places = ConcurrencyLimit::new(1 + (round % 3) as u32);
                let report = Pipeline::extract(0..500u64)
                    .try_map_blocking(&workers, |item| if item % 50 == 7 { Err("no") } else { Ok(item) })
                    .retry(Retry::constant(2, Duration::from_micros(200)))
                    .concurrency_limit(&places)
                    .on_error(OnError::skip())
                    .ordered()
                    .collect::<Vec<_>>()
                    .run()
                    .unwrap();
                assert_balanced(&report);
                assert!(report.output.into_iter().eq((0..500).filter(|item| item % 50 != 7)));
            }
            over.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_simulation_changes_workers_the_same_way_each_time() {
    for seed in 0..300 {
        let play = |workers: &Workers| {
            let simulation = Simulation::new(seed);
            let faults = simulation.clone();
            let report = simulation
                .run(
                    Pipeline::extract(0..150u64)
                        .try_map_blocking(workers, |item| {
                            if faults.chance(0.1) {
                                workers.set(faults.below(7));
                            }
                            faults.sleep(Duration::from_micros(faults.below(400) as u64));
                            if faults.chance(0.05) { Err("flaky") } else { Ok(item) }
                        })
                        .retry(Retry::constant(3, Duration::from_millis(1)))
                        .on_error(OnError::skip())
                        .named("call")
                        .ordered()
                        .collect::<Vec<_>>(),
                )
                .unwrap();
            assert_balanced(&report);
            assert!(report.output.is_sorted() && report.stage("call").unwrap().most_workers <= 5, "seed {seed}");
            assert!((1..=5).contains(&workers.get()), "seed {seed}");
            (simulation.trace(), report.output.len(), workers.get())
        };
        assert_eq!(play(&Workers::new(2).up_to(5)), play(&Workers::new(2).up_to(5)), "seed {seed}");
        let auto = Workers::auto(2..=5);
        assert_eq!(play(&auto).1, play(&Workers::auto(2..=5)).1, "seed {seed}");
    }
}

#[test]
fn a_stage_finds_its_number_of_threads() {
    within("auto", || {
        let workers = Workers::auto(1..=16);
        let (token, began) = (CancelToken::new(), Instant::now());
        let result = Pipeline::extract(0u64..)
            .cancel_token(&token)
            .map_blocking(&workers, |item| {
                std::thread::sleep(Duration::from_millis(1));
                // By then, on any machine, one thread alone has found that two would be better, and so on.
                if workers.get() >= 8 || began.elapsed() > patience() / 2 {
                    token.drain();
                }
                item
            })
            .named("call")
            .count()
            .run()
            .unwrap();
        assert_balanced(&result);
        let stage = result.stage("call").unwrap();
        assert!((8..=16).contains(&stage.most_workers) && (1..=16).contains(&workers.get()), "{stage:?}");
    });
}

#[test]
fn a_number_of_workers_that_cannot_be_is_refused() {
    for workers in [Workers::new(0), Workers::new(4).up_to(0), Workers::new(4).up_to(5_000)] {
        let error = Pipeline::extract(0..9u64).map_blocking(&workers, |item| item).count().run().unwrap_err();
        assert!(error.is_setting() && error.to_string().contains("workers of map_blocking"), "{error}");
    }
}

#[test]
fn stages_that_share_few_places_all_get_on() {
    within("shared places, one of them on the pool", || {
        for places in [1, 2] {
            let (limit, pool) = (ConcurrencyLimit::new(places), pool(2));
            let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let call = |item: u64| {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                item
            };
            // Two runs at once, so that places go from one to the other.
            let run = || {
                Pipeline::extract(0..400u64)
                    .pool(&pool)
                    .map_blocking(3, call)
                    .concurrency_limit(&limit)
                    .map(call)
                    .concurrency_limit(&limit)
                    .map_blocking(2, call)
                    .concurrency_limit(&limit)
                    .ordered()
                    .collect::<Vec<_>>()
                    .run()
                    .unwrap()
            };
            std::thread::scope(|scope| {
                let other = scope.spawn(run);
                for report in [run(), other.join().unwrap()] {
                    assert_balanced(&report);
                    assert!(report.output.into_iter().eq(0..400));
                }
            });
            assert!(most.into_inner() <= places as usize);
        }
    });
}
