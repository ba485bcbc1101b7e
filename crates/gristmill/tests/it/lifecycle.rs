//! Deadlines, signals and watchdogs.

use crate::support::{Event, assert_balanced, in_a_quiet_moment, pool, within};
use gristmill::prelude::*;
use gristmill::{Monitor, Stalled, Watchdog, source, store};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_drain_that_takes_too_long_is_aborted() {
    within("drain deadline", || {
        let token = CancelToken::new();
        let stopper = token.clone();
        let began = Instant::now();
        // Each item takes long, and there are many in flight.
        let error = Pipeline::extract(0u64..)
            .map_blocking(2, move |item| {
                if item == 3 {
                    stopper.drain();
                }
                std::thread::sleep(Duration::from_millis(50));
                item
            })
            .window(400)
            .morsel_items(1)
            .cancel_token(&token)
            .drain_deadline(Duration::from_millis(300))
            .count()
            .run()
            .unwrap_err();
        assert!(error.is_drain_deadline(), "{error:?}");
        assert!(began.elapsed() < LONG);
        let report = error.report().unwrap();
        assert!(report.drained && report.totals().lost > 0);
        assert_balanced(report);
    });
}

#[test]
fn a_drain_within_its_deadline_says_so_and_a_whole_run_does_not() {
    within("drained", || {
        for waits in [false, true] {
            let token = CancelToken::new();
            let stopper = token.clone();
            let numbers = (0u64..).inspect(move |number| {
                if *number == 100 {
                    stopper.drain();
                }
            });
            let run = |report: gristmill::Report<u64>| {
                assert!(report.drained && report.output > 100 && report.to_string().contains("drained"), "{report}");
                assert_balanced(&report);
            };
            if waits {
                run(Pipeline::extract(source::waiting(numbers))
                    .cancel_token(&token)
                    .drain_deadline(LONG)
                    .count()
                    .run()
                    .unwrap());
            } else {
                run(Pipeline::extract(numbers).cancel_token(&token).drain_deadline(LONG).count().run().unwrap());
            }
        }
        assert!(!Pipeline::extract(0..10).drain_deadline(Duration::ZERO).count().run().unwrap().drained);
    });
}

#[test]
fn the_watchdog_names_the_stage_and_the_item_that_take_too_long() {
    within("watchdog", || {
        let said = Mutex::new(Vec::new());
        let (limit, seven, eleven) = (Duration::from_millis(30), Event::default(), Event::default());
        // A while longer than until it is named: it is named once.
        let stall = |named: &Event| {
            named.wait();
            std::thread::sleep(limit);
        };
        let is_stall = |what: &Stalled, stage: &str, first: u64| {
            *what == Stalled::Stage { stage: stage.to_owned(), first, items: 1 }
        };
        let watchdog = Watchdog::after(limit, |stall| {
            said.lock().unwrap().push(stall.clone());
            match &stall.what {
                what if is_stall(what, "slow", 7) => seven.happens(),
                what if is_stall(what, "store", 11) => eleven.happens(),
                _ => {}
            }
        });
        Pipeline::extract(0..20u64)
            .morsel_items(1)
            .watchdog(watchdog)
            .map_blocking(2, |item| {
                if item == 7 {
                    stall(&seven);
                }
                item
            })
            .named("slow")
            .store(store::from_fn(|item| {
                if item == 11 {
                    stall(&eleven);
                }
                Ok::<_, String>(())
            }))
            .run()
            .unwrap();
        let said = said.into_inner().unwrap();
        let named = |stage: &str, first: u64| {
            said.iter().filter(|stall| is_stall(&stall.what, stage, first) && stall.running >= limit).count()
        };
        assert_eq!((named("slow", 7), named("store", 11)), (1, 1), "{said:?}");
        assert!(said.iter().all(|stall| stall.report.totals().extracted > 0));
    });
}

#[test]
fn a_call_past_its_deadline_is_waited_for_and_the_watchdog_names_it_meanwhile() {
    within("deadline and watchdog", || {
        let (passed, others) = crossbeam_channel::unbounded();
        let (bark, barked) = crossbeam_channel::unbounded();
        let returned = AtomicBool::new(false);
        let (mut letters, limit) = (Vec::new(), Duration::from_millis(30));
        let keep = OnError::dead_letter(store::from_fn(|letter: DeadLetter<u64, _>| {
            letters.push((letter.item, letter.cause, returned.load(Ordering::SeqCst)));
            Ok::<_, String>(())
        }));
        let report = Pipeline::extract(0..20u64)
            .morsel_items(1)
            .watchdog(Watchdog::after(limit, move |stall| {
                if matches!(&stall.what, Stalled::Stage { stage, first: 3, .. } if stage == "slow") {
                    bark.send(()).unwrap();
                }
            }))
            .map_blocking(2, |item| {
                if item == 3 {
                    // Long past its deadline: others have passed since, and the watchdog has named it.
                    (0..5).for_each(|_| others.recv().unwrap());
                    barked.recv().unwrap();
                    returned.store(true, Ordering::SeqCst);
                } else {
                    passed.send(()).unwrap();
                }
                item
            })
            .named("slow")
            .deadline(Duration::from_millis(10))
            .on_error(keep)
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        // Others may be late as well, on a machine that is busy.
        let of_three: Vec<_> = letters.into_iter().filter(|(item, ..)| *item == Some(3)).collect();
        assert_eq!(of_three, [(Some(3), Cause::TimedOut(Duration::from_millis(10)), true)]);
    });
}

#[test]
fn a_watchdog_may_end_the_run() {
    within("watchdog aborts", || {
        let pool = pool(1);
        in_a_quiet_moment(|| {
            let (said, barked) = (Mutex::new(Vec::new()), Event::default());
            let watchdog = Watchdog::after(Duration::from_millis(20), |stall| {
                said.lock().unwrap().push(stall.to_string());
                barked.happens();
            });
            let error = Pipeline::extract(0..20u64)
                .pool(&pool)
                .morsel_items(1)
                .watchdog(watchdog.abort())
                .map(|item| {
                    if item == 4 {
                        barked.wait();
                    }
                    item
                })
                .count()
                .run()
                .unwrap_err();
            let first = &said.lock().unwrap()[0];
            assert!(error.is_stall() && error.to_string().contains(first), "{error}");
            assert_balanced(error.report().unwrap());
            // On a machine that is busy with other things, one before may have taken as long.
            if first.contains("item 4") { Ok(()) } else { Err(first.clone()) }
        });
    });
}

#[test]
fn a_quiet_source_is_not_a_stall_but_a_lost_item_would_be() {
    within("quiet source", || {
        in_a_quiet_moment(|| {
            let (sender, receiver) = crossbeam_channel::unbounded::<u64>();
            let said = Mutex::new(Vec::new());
            let watchdog = Watchdog::after(Duration::from_millis(20), |stall| {
                said.lock().unwrap().push(stall.to_string());
            });
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    sender.send(1).unwrap();
                    std::thread::sleep(Duration::from_millis(200));
                    sender.send(2).unwrap();
                });
                Pipeline::extract(source::channel(receiver)).watchdog(watchdog).count().run().unwrap();
            });
            let said = said.into_inner().unwrap();
            if said.is_empty() { Ok(()) } else { Err(said.join(", ")) }
        });
    });
}

#[test]
fn a_watchdog_that_panics_aborts_and_one_that_waits_for_nothing_is_refused() {
    within("odd watchdogs", || {
        let barks = Event::default();
        let watchdog = Watchdog::after(Duration::from_millis(10), |_| {
            barks.happens();
            panic!("planned");
        });
        let slow = Pipeline::extract(0..3u64).inspect(|_| barks.wait());
        let error = slow.watchdog(watchdog).count().run().unwrap_err();
        assert!(format!("{error:?}").contains("planned"), "{error:?}");
        assert_balanced(error.report().unwrap());
        let refused = Pipeline::extract(0..3u64).watchdog(Watchdog::after(Duration::ZERO, |_| {})).count().run();
        assert!(refused.unwrap_err().is_setting());
    });
}

#[test]
fn a_monitor_sees_a_drain() {
    within("monitor", || {
        let (token, monitor) = (CancelToken::new(), Monitor::new());
        token.drain();
        let report = Pipeline::extract(0u64..).cancel_token(&token).monitor(&monitor).count().run().unwrap();
        assert_eq!((report.output, report.drained), (0, true));
        assert!(monitor.snapshot().unwrap().drained);
    });
}
