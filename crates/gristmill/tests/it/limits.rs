//! Rates, places, breakers and deadlines: what stands before an attempt.

use crate::support::{assert_balanced, in_a_quiet_moment, patience, pool, within};
use gristmill::prelude::*;
use gristmill::{Breaker, BreakerState, ConcurrencyLimit, Monitor, RateLimit};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_rate_holds_in_every_shape_and_loses_nothing() {
    within("rates", || {
        for workers in [1, 3] {
            let pool = pool(workers);
            for (blocking, ordered) in [(false, false), (false, true), (true, false), (true, true)] {
                let limit = RateLimit::per_second(10_000.0).burst(5);
                let times = Mutex::new(Vec::new());
                let call = |item: u64| {
                    times.lock().unwrap().push(Instant::now());
                    item
                };
                let began = Instant::now();
                let pipeline = Pipeline::extract(0..500u64).pool(&pool);
                let pipeline = if ordered { pipeline.ordered() } else { pipeline };
                let report = if blocking {
                    pipeline.map_blocking(3, call).rate_limit(&limit).collect::<Vec<_>>().run()
                } else {
                    pipeline.map(call).rate_limit(&limit).collect::<Vec<_>>().run()
                };
                let report = report.unwrap();
                assert_balanced(&report);
                assert_eq!(report.totals().retried, 0);
                let mut output = report.output;
                assert!(!ordered || output.is_sorted());
                output.sort_unstable();
                assert!(output.into_iter().eq(0..500));
                // Up to any moment, no more than the burst and what came since.
                let mut times = times.into_inner().unwrap();
                times.sort_unstable();
                for (before, time) in times.iter().enumerate() {
                    let most = 6.0 + time.duration_since(began).as_secs_f64() * 10_000.0;
                    assert!(before as f64 <= most, "{before} attempts, {most} allowed");
                }
            }
        }
    });
}

#[test]
fn a_rate_is_shared_by_stages_and_counts_retries() {
    within("a shared rate", || {
        let limit = RateLimit::per_second(5_000.0);
        let failed = AtomicBool::new(false);
        let began = Instant::now();
        let report = Pipeline::extract(0..100u64)
            .try_map(|item| if item == 50 && !failed.swap(true, Ordering::Relaxed) { Err("once") } else { Ok(item) })
            .retry(Retry::constant(2, Duration::ZERO))
            .rate_limit(&limit)
            .map_blocking(2, |item| item)
            .rate_limit(&limit)
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.output.into_iter().eq(0..100));
        // 201 attempts, of which one is free.
        assert!(began.elapsed() >= Duration::from_millis(39), "{:?}", began.elapsed());
    });
}

/// Waits until the stage `call` of a run has been through some items: where none may pass, they wait by then.
fn wait_until_it_was_asked(monitor: &Monitor) {
    let (began, is_busy) =
        (Instant::now(), |report: &Report| report.stage("call").is_some_and(|call| !call.busy.is_zero()));
    while !monitor.snapshot().as_ref().is_some_and(is_busy) {
        assert!(began.elapsed() < patience() / 2, "no item comes to the stage");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_rate_can_be_changed_while_items_wait() {
    within("a rate that is raised", || {
        for blocking in [false, true] {
            let (limit, monitor) = (RateLimit::per_second(0.0), Monitor::new());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    wait_until_it_was_asked(&monitor);
                    limit.set_rate(1e6);
                });
                let pipeline = Pipeline::extract(0..1_000u64).monitor(&monitor);
                let report = if blocking {
                    pipeline.map_blocking(2, |item| item).named("call").rate_limit(&limit).count().run()
                } else {
                    pipeline.map(|item| item).named("call").rate_limit(&limit).count().run()
                };
                assert_eq!(report.unwrap().output, 1_000);
            });
        }
    });
}

#[test]
fn a_slow_rate_keeps_morsels_small() {
    within("first results of a slow rate", || {
        // With morsels of thousands, nothing would come out for minutes.
        let limit = RateLimit::per_second(500.0);
        let first = AtomicU64::new(0);
        let token = CancelToken::new();
        let done = AtomicU64::new(0);
        let error = Pipeline::extract(0u64..)
            .cancel_token(&token)
            .map(|item| item)
            .rate_limit(&limit)
            .ordered()
            .for_each(|item| {
                first.fetch_max(item, Ordering::Relaxed);
                if done.fetch_add(1, Ordering::Relaxed) == 300 {
                    token.cancel();
                }
            })
            .run()
            .unwrap_err();
        assert!(error.is_cancelled());
        assert_balanced(error.report().unwrap());
        let extracted = error.report().unwrap().totals().extracted;
        assert!(extracted < 20_000, "{extracted} items in flight or done after 300 were let through");
    });
}

#[test]
fn what_waits_for_a_limit_ends_with_the_run() {
    within("cancel while all wait", || {
        for blocking in [false, true] {
            for which in 0..3 {
                let (token, monitor) = (CancelToken::new(), Monitor::new());
                let breaker = Breaker::new().window(1).open_for(Duration::from_secs(3_600));
                let never = RateLimit::per_second(0.0);
                let none = ConcurrencyLimit::new(0);
                let pipeline = Pipeline::extract(0u64..).cancel_token(&token).monitor(&monitor);
                let call = |_| Err::<u64, _>("down");
                let (fails, skip) = ("call", OnError::skip());
                let error = std::thread::scope(|scope| {
                    scope.spawn(|| {
                        wait_until_it_was_asked(&monitor);
                        token.cancel();
                    });
                    match (blocking, which) {
                        (false, 0) => pipeline.try_map(call).named(fails).rate_limit(&never).count().run(),
                        (false, 1) => pipeline.try_map(call).named(fails).concurrency_limit(&none).count().run(),
                        (false, _) => {
                            pipeline.try_map(call).named(fails).breaker(&breaker).on_error(skip).count().run()
                        }
                        (true, 0) => pipeline.try_map_blocking(2, call).named(fails).rate_limit(&never).count().run(),
                        (true, 1) => {
                            pipeline.try_map_blocking(2, call).named(fails).concurrency_limit(&none).count().run()
                        }
                        (true, _) => {
                            let stage = pipeline.try_map_blocking(2, call).named(fails).breaker(&breaker);
                            stage.on_error(skip).count().run()
                        }
                    }
                });
                let error = error.unwrap_err();
                assert!(error.is_cancelled(), "{error:?}");
                assert_balanced(error.report().unwrap());
            }
        }
    });
}

#[test]
fn no_more_go_on_at_once_than_a_shared_limit_allows() {
    within("shared places", || {
        for ordered in [false, true] {
            let limit = ConcurrencyLimit::new(2);
            let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
            let call = |item: u64| {
                most.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(50));
                inside.fetch_sub(1, Ordering::Relaxed);
                if item % 50 == 49 { panic!("planned panic of {item}") } else { item }
            };
            let pool = pool(3);
            let pipeline = Pipeline::extract(0..300u64).pool(&pool);
            let pipeline = if ordered { pipeline.ordered() } else { pipeline };
            let report = pipeline
                .map_blocking(6, call)
                .concurrency_limit(&limit)
                .on_error(OnError::skip())
                .map(call)
                .concurrency_limit(&limit)
                .collect::<Vec<_>>()
                .run()
                .unwrap();
            assert_balanced(&report);
            assert_eq!((report.totals().skipped, report.output.len()), (6, 294));
            assert!(!ordered || report.output.is_sorted());
            assert_eq!(most.into_inner(), 2);
        }
    });
}

#[test]
fn an_adaptive_limit_finds_what_a_service_bears() {
    let attempt = || {
        let limit = ConcurrencyLimit::adaptive(1..=16);
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let report = Pipeline::extract(0..400u64)
            .try_map_blocking(16, |item| {
                let now = inside.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
                inside.fetch_sub(1, Ordering::Relaxed);
                // It bears four at once.
                if now > 4 { Err("overloaded") } else { Ok(item) }
            })
            .concurrency_limit(&limit)
            .retry(Retry::constant(100, Duration::from_millis(1)))
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert_eq!(report.output, 400);
        // It went up, and did not stay where attempts fail.
        let (most, retried) = (most.into_inner(), report.totals().retried);
        let is_found = most > 1 && limit.limit() < 12 && retried < 400;
        if is_found { Ok(()) } else { Err(format!("{most} at once, {retried} retries, {limit:?}")) }
    };
    within("adaptive places", move || in_a_quiet_moment(attempt));
}

#[test]
fn an_open_breaker_spares_the_service_and_loses_nothing() {
    within("an outage", || {
        for blocking in [false, true] {
            const DOWN: u64 = 60;
            let breaker = Breaker::new().window(10).open_for(Duration::from_millis(1)).probes(2);
            let calls = AtomicU64::new(0);
            let call = |item: u64| if calls.fetch_add(1, Ordering::Relaxed) < DOWN { Err("down") } else { Ok(item) };
            let retry = || Retry::constant(u32::MAX, Duration::from_micros(100));
            let pipeline = Pipeline::extract(0..500u64).ordered();
            let report = if blocking {
                pipeline.try_map_blocking(2, call).retry(retry()).breaker(&breaker).collect::<Vec<_>>().run()
            } else {
                pipeline.try_map(call).breaker(&breaker).retry(retry()).collect::<Vec<_>>().run()
            };
            let report = report.unwrap();
            assert_balanced(&report);
            assert_eq!(report.totals().retried, DOWN);
            assert!(report.output.into_iter().eq(0..500));
            assert_eq!(breaker.state(), BreakerState::Closed);
            // It opens after ten, and again with one or two probes each time; a thread that had its turn while it opened may
            // add one.
            assert!(breaker.opened() > (DOWN - 12) / 3, "{breaker:?}");
        }
    });
}

#[test]
fn a_breaker_that_fails_fast_leaves_items_to_the_policy() {
    within("fail fast", || {
        for blocking in [false, true] {
            let breaker = Breaker::new().window(5).fail_fast().open_for(Duration::from_secs(3_600));
            let calls = AtomicU64::new(0);
            let call = |_: u64| {
                calls.fetch_add(1, Ordering::Relaxed);
                Err::<u64, _>("down")
            };
            let mut letters = Vec::new();
            let keep = OnError::dead_letter(&mut letters);
            let pipeline = Pipeline::extract(0..100u64);
            let report = if blocking {
                pipeline.try_map_blocking(2, call).breaker(&breaker).on_error(keep).count().run()
            } else {
                pipeline.try_map(call).breaker(&breaker).on_error(keep).count().run()
            };
            assert_balanced(&report.unwrap());
            let calls = calls.into_inner();
            assert!((5..=8).contains(&calls), "{calls} calls");
            assert_eq!(letters.len(), 100);
            let refused = letters.iter().filter(|letter| matches!(letter.cause, Cause::Refused)).count() as u64;
            assert_eq!(refused, 100 - calls);
            assert!(letters.iter().all(|letter| letter.item == Some(letter.position)));
        }
        let breaker = Breaker::new().window(1).fail_fast();
        let down = Pipeline::extract(0..9u64).try_map(|_| Err::<u64, _>("down")).breaker(&breaker);
        assert!(down.on_error(OnError::skip().at_most(3)).count().run().is_err());
        let refused = Pipeline::extract(0..1u64).map(|item| item).breaker(&breaker).named("call").count().run();
        assert_eq!(refused.unwrap_err().to_string(), "stage `call` refused item 0, as its breaker is open");
    });
}

/// Item 3 is slow at its first attempt, item 7 always; the others are late only on a machine that is busy.
fn run_past_a_deadline(blocking: bool) -> Result<(), String> {
    let (limit, slow) = (Duration::from_millis(200), AtomicU32::new(0));
    let call = |item: u64| {
        let attempt = gristmill::attempt().expect("the stage has a deadline");
        assert!(attempt.remaining().is_some_and(|left| left <= limit));
        if item == 7 || (item == 3 && attempt.number() == 1) {
            slow.fetch_add(1, Ordering::Relaxed);
            while attempt.remaining() != Some(Duration::ZERO) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        item
    };
    let retry = Retry::constant(2, Duration::from_millis(1));
    let mut letters = Vec::new();
    let keep = OnError::dead_letter(&mut letters);
    let pipeline = Pipeline::extract(0..20u64).ordered();
    let report = if blocking {
        pipeline.map_blocking(2, call).deadline(limit).retry(retry).on_error(keep).collect::<Vec<_>>().run()
    } else {
        pipeline.map(call).deadline(limit).retry(retry).on_error(keep).collect::<Vec<_>>().run()
    };
    let report = report.unwrap();
    assert_balanced(&report);
    let (retried, slow) = (report.totals().retried, slow.into_inner());
    let letter = letters.iter().find(|letter| letter.item == Some(7)).expect("it was always slow");
    assert_eq!((letter.attempts, &letter.cause), (2, &Cause::TimedOut(limit)));
    if (letters.len(), retried, slow) != (1, 2, 3) {
        return Err(format!("{} letters, {retried} retries, {slow} slow calls", letters.len()));
    }
    assert!(report.output.into_iter().eq((0..20).filter(|item| *item != 7)));
    Ok(())
}

#[test]
fn an_attempt_past_its_deadline_has_failed() {
    within("deadlines", || {
        for blocking in [false, true] {
            in_a_quiet_moment(|| run_past_a_deadline(blocking));
        }
        let late = Pipeline::extract(0..1u64).map(|_| std::thread::sleep(Duration::from_millis(2)));
        let error = late.deadline(Duration::from_millis(1)).count().run().unwrap_err();
        assert!(error.is_timeout() && error.attempts() == Some(1), "{error:?}");
        assert_eq!(error.to_string(), "stage `map` took longer than 1ms over item 0, attempt 1");
    });
}

#[test]
fn a_run_past_its_deadline_ends() {
    within("run deadline", || {
        for blocking in [false, true] {
            let pipeline = Pipeline::extract(0u64..).run_deadline(Duration::from_millis(20));
            let error = if blocking {
                pipeline.map_blocking(2, |item| item).count().run()
            } else {
                pipeline.map(|item| item).count().run()
            };
            let error = error.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert_balanced(error.report().unwrap());
        }
        let report = Pipeline::extract(0..9u64).run_deadline(Duration::from_secs(3_600)).count().run().unwrap();
        assert_eq!(report.output, 9);
    });
}

#[test]
fn limits_that_cannot_be_are_refused() {
    let breaker = Breaker::new().failure_rate(0.0);
    let error = Pipeline::extract(0..9u64).map(|item| item).breaker(&breaker).count().run().unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("failure rate"), "{error}");
}
