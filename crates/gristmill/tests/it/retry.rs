//! What failed is tried again, and nobody waits for it.

use crate::support::{assert_balanced, hash, pool, slowness, within};
use gristmill::prelude::*;
use gristmill::store;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_micros(200);

/// Fails the first attempts of each item, as many as its hash says, by an error or a panic.
#[derive(Default)]
struct Flaky {
    attempts: Mutex<HashMap<u64, u32>>,
}

impl Flaky {
    fn failures(item: u64) -> u32 {
        (hash(item) % 5).saturating_sub(1) as u32
    }

    fn call(&self, item: u64, panics: bool) -> Result<u64, String> {
        let mut attempts = self.attempts.lock().unwrap();
        let attempt = attempts.entry(item).or_default();
        *attempt += 1;
        let fails = *attempt <= Flaky::failures(item);
        drop(attempts);
        if fails && panics && hash((item, 1)) % 2 == 0 {
            panic!("planned panic of {item}");
        }
        if fails { Err(format!("planned failure of {item}")) } else { Ok(item * 3) }
    }

    fn retries(items: std::ops::Range<u64>) -> u64 {
        items.map(|item| u64::from(Flaky::failures(item))).sum()
    }
}

fn shape<'env, I: Iterator<Item = u64> + Send + 'env>(
    items: I,
    pool: &'env rayon::ThreadPool,
    morsel: Option<usize>,
    ordered: bool,
) -> gristmill::Extraction<'env, u64, std::convert::Infallible> {
    let pipeline = Pipeline::extract(items).pool(pool);
    let pipeline = if let Some(items) = morsel { pipeline.morsel_items(items) } else { pipeline };
    if ordered { pipeline.ordered() } else { pipeline }
}

/// Runs `case` for every shape a stage that retries may have: blocking or not, ordered or not, one worker or several,
/// small morsels and large.
fn in_every_shape(case: impl Fn(bool, bool, &rayon::ThreadPool, Option<usize>)) {
    for workers in [1, 3] {
        let pool = pool(workers);
        for morsel in [Some(1), Some(7), None] {
            for ordered in [false, true] {
                for blocking in [false, true] {
                    case(blocking, ordered, &pool, morsel);
                }
            }
        }
    }
}

fn run_flaky(blocking: bool, ordered: bool, pool: &rayon::ThreadPool, morsel: Option<usize>) {
    const ITEMS: u64 = 300;
    let flaky = Flaky::default();
    let retry = || Retry::exponential(4).from(SOON).and_panics();
    let pipeline = shape(0..ITEMS, pool, morsel, ordered).flat_map(|item| [item; 1]);
    let report = if blocking {
        let pipeline = pipeline.try_map_blocking(3, |item| flaky.call(item, true)).named("flaky").retry(retry());
        pipeline.filter(|item| item % 2 == 0).collect::<Vec<_>>().run()
    } else {
        let pipeline = pipeline.try_map(|item| flaky.call(item, true)).named("flaky").retry(retry());
        pipeline.filter(|item| item % 2 == 0).collect::<Vec<_>>().run()
    };
    let report = report.unwrap();
    assert_balanced(&report);
    let expected: Vec<u64> = (0..ITEMS).map(|item| item * 3).filter(|item| item % 2 == 0).collect();
    let mut output = report.output.clone();
    if !ordered {
        output.sort_unstable();
    }
    assert_eq!(output, expected, "blocking {blocking}, ordered {ordered}, morsel {morsel:?}");
    let stage = report.stage("flaky").unwrap();
    assert_eq!(stage.retried, Flaky::retries(0..ITEMS));
    assert_eq!(stage.attempts(), ITEMS + stage.retried);
    assert_eq!((stage.items_in, stage.items_out, report.totals().retried), (ITEMS, ITEMS, stage.retried));
    assert!(flaky.attempts.into_inner().unwrap().iter().all(|(item, made)| *made == Flaky::failures(*item) + 1));
}

#[test]
fn what_fails_at_first_comes_through_in_every_shape() {
    within("flaky stages", || in_every_shape(run_flaky));
}

/// Where a planned failure for good ends under each policy.
fn run_hopeless(blocking: bool, ordered: bool, pool: &rayon::ThreadPool, morsel: Option<usize>) {
    let calls = AtomicU64::new(0);
    let call = |item: u64| {
        calls.fetch_add(u64::from(item % 10 == 3), Ordering::Relaxed);
        if item % 10 == 3 { Err(format!("planned failure of {item}")) } else { Ok(item) }
    };
    let retry = || Retry::constant(3, SOON);
    let run = |on_error| {
        calls.store(0, Ordering::Relaxed);
        let pipeline = shape(0..100, pool, morsel, ordered);
        if blocking {
            pipeline.try_map_blocking(3, call).named("call").retry(retry()).on_error(on_error).count().run()
        } else {
            pipeline.try_map(call).named("call").on_error(on_error).retry(retry()).count().run()
        }
    };
    let error = run(OnError::abort()).unwrap_err();
    assert_eq!((error.stage_name(), error.attempts()), (Some("call"), Some(3)));
    assert_eq!(error.position().map(|position| position % 10), Some(3));
    assert_balanced(error.report().unwrap());

    let report = run(OnError::skip()).unwrap();
    assert_balanced(&report);
    assert_eq!((report.output, report.totals().skipped, report.totals().retried), (90, 10, 20));
    assert_eq!(calls.load(Ordering::Relaxed), 30);

    let report = run(OnError::collect()).unwrap();
    let mut failed: Vec<_> = report.failures.iter().map(|failure| (failure.position, failure.attempts)).collect();
    failed.sort_unstable();
    assert_eq!(failed, (0..10).map(|ten| (ten * 10 + 3, 3)).collect::<Vec<_>>());

    let mut letters = Vec::new();
    assert_balanced(&run(OnError::dead_letter(&mut letters)).unwrap());
    letters.sort_unstable_by_key(|letter| letter.position);
    let found: Vec<_> = letters.iter().map(|letter| (letter.item, letter.position, letter.attempts)).collect();
    assert_eq!(found, (0..10).map(|ten| (Some(ten * 10 + 3), ten * 10 + 3, 3)).collect::<Vec<_>>());
}

#[test]
fn what_always_fails_ends_as_its_policy_says_after_the_last_attempt() {
    within("hopeless items", || in_every_shape(run_hopeless));
}

#[test]
fn a_panic_is_tried_again_only_if_asked() {
    within("panics", || {
        let run = |retry: Retry<'static, std::convert::Infallible>| {
            let calls = AtomicU32::new(0);
            let report = Pipeline::extract(0..20u64)
                .map(|item| {
                    if item == 7 && calls.fetch_add(1, Ordering::Relaxed) < 2 {
                        panic!("planned panic");
                    }
                    item
                })
                .retry(retry)
                .on_error(OnError::collect())
                .ordered()
                .collect::<Vec<_>>()
                .run()
                .unwrap();
            assert_balanced(&report);
            (report.output.len(), report.failures.first().map(|failure| failure.attempts), calls.into_inner())
        };
        assert_eq!(run(Retry::constant(3, SOON)), (19, Some(1), 1));
        assert_eq!(run(Retry::constant(2, SOON).and_panics()), (19, Some(2), 2));
        assert_eq!(run(Retry::constant(3, SOON).and_panics()), (20, None, 3));
    });
}

#[test]
fn retries_in_several_stages_of_a_segment_keep_places_and_positions() {
    within("three flaky stages with expansions between", || {
        for workers in [1, 3] {
            for morsel in [Some(1), Some(7), None] {
                let pool = pool(workers);
                let flakies: [Flaky; 3] = Default::default();
                let retry = || Retry::exponential(5).from(SOON).and_panics();
                let letters = Mutex::new(Vec::new());
                let keep = store::from_fn(|letter: DeadLetter<u64, String>| {
                    letters.lock().unwrap().push((letter.item, letter.position));
                    Ok::<(), String>(())
                });
                let report = shape(0..200, &pool, morsel, true)
                    .try_map(|item| flakies[0].call(item, true).map(|_| item))
                    .retry(retry())
                    .flat_map(|item| (0..item % 4).map(move |part| item * 10 + part))
                    .try_map(|item| flakies[1].call(item, true).map(|_| item))
                    .retry(retry())
                    .flat_map(|item| [item * 10, item * 10 + 1])
                    .inspect(|item| assert!(item % 1_000 != 130, "planned panic"))
                    .on_error(OnError::skip())
                    .try_map(|item| flakies[2].call(item, false).map(|_| item))
                    .retry(retry())
                    .try_map(|item| if item % 7 == 0 { Err(item.to_string()) } else { Ok(item) })
                    .on_error(OnError::dead_letter(keep))
                    .collect::<Vec<_>>()
                    .run()
                    .unwrap();
                assert_balanced(&report);
                let all = (0..200u64)
                    .flat_map(|item| (0..item % 4).map(move |part| item * 10 + part))
                    .flat_map(|item| [item * 10, item * 10 + 1])
                    .filter(|item| item % 1_000 != 130);
                let (dead, stored): (Vec<u64>, Vec<u64>) = all.partition(|item| item % 7 == 0);
                assert_eq!(report.output, stored, "{workers} workers, morsel {morsel:?}");
                let mut found = letters.into_inner().unwrap();
                found.sort_unstable();
                assert_eq!(found, dead.into_iter().map(|item| (Some(item), item / 100)).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn a_backoff_holds_up_nobody_else() {
    within("one slow item on a pool of one", || {
        let pool = pool(1);
        let done = AtomicU64::new(0);
        let failed_at = Mutex::new(None);
        let report = Pipeline::extract(0..10_000u64)
            .pool(&pool)
            .morsel_items(10)
            .window(2_000)
            .try_map(|item| {
                if item == 5 {
                    // The second attempt comes when all the others have been through, or this would never end.
                    if done.load(Ordering::Relaxed) < 9_999 {
                        failed_at.lock().unwrap().get_or_insert_with(Instant::now);
                        return Err("not yet");
                    }
                } else {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(item)
            })
            .retry(Retry::constant(u32::MAX, Duration::from_millis(2)))
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.output.into_iter().eq(0..10_000));
    });
}

/// An hour's wait is nobody's but the item's: not even a short sleep of the pool's only thread would let this end.
#[test]
fn no_thread_of_the_pool_sleeps_through_a_backoff() {
    within("an hour to wait on a pool of one", || {
        let (pool, token) = (pool(1), CancelToken::new());
        let done = AtomicU64::new(0);
        let error = Pipeline::extract(0..1_000u64)
            .pool(&pool)
            .cancel_token(&token)
            .try_map(|item| {
                if item == 5 {
                    return Err("not yet");
                }
                if done.fetch_add(1, Ordering::Relaxed) == 998 {
                    token.cancel();
                }
                Ok(item)
            })
            .retry(Retry::constant(2, Duration::from_secs(3_600)))
            .collect::<Vec<_>>()
            .run()
            .unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        assert_eq!(done.load(Ordering::Relaxed), 999);
    });
}

#[test]
fn threads_of_a_blocking_stage_are_free_while_an_item_waits() {
    within("one thread, two hundred waits", || {
        let tried = Mutex::new(HashMap::new());
        let began = Instant::now();
        let report = Pipeline::extract(0..200u64)
            .try_map_blocking(1, |item| {
                let mut tried = tried.lock().unwrap();
                let first = *tried.entry(item).or_insert_with(Instant::now);
                if first.elapsed() < Duration::from_millis(100) { Err("busy") } else { Ok(item) }
            })
            .retry(Retry::constant(2, Duration::from_millis(105)))
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.output.into_iter().eq(0..200));
        // One after another they would take 21 s.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    });
}

#[test]
fn cancelling_while_thousands_wait_ends_the_run_at_once() {
    within("cancel during backoffs of hours", || {
        for blocking in [false, true] {
            for round in 0..20 {
                let token = CancelToken::new();
                let calls = AtomicU64::new(0);
                let call = |_: u64| {
                    if calls.fetch_add(1, Ordering::Relaxed) == 2_000 + round * 100 {
                        token.cancel();
                    }
                    Err::<u64, _>("down")
                };
                let retry = || Retry::constant(9, Duration::from_secs(3_600));
                let pipeline = Pipeline::extract(0u64..).cancel_token(&token).window(10_000).ordered();
                let error = if blocking {
                    pipeline.try_map_blocking(2, call).retry(retry()).count().run()
                } else {
                    pipeline.try_map(call).retry(retry()).count().run()
                };
                let error = error.unwrap_err();
                assert!(error.is_cancelled(), "{error:?}");
                assert_balanced(error.report().unwrap());
                assert!(error.report().unwrap().totals().lost >= 2_000);
            }
        }
    });
}

#[test]
fn an_abort_drops_what_waits_in_a_fork_too() {
    within("abort before a broadcast", || {
        for _ in 0..50 {
            let error = Pipeline::extract(0..1_000u64)
                // Those that wait keep their permits: small morsels would fill the window before the one that breaks comes.
                .morsel_items(50)
                .try_map(|item| match item {
                    600 => Err("broken"),
                    _ if item % 3 == 0 => Err("busy"),
                    _ => Ok(item),
                })
                .retry(Retry::constant(2, Duration::from_secs(3_600)).when(|error| *error == "busy"))
                .broadcast(|copies| copies.for_each(drop))
                .count()
                .run()
                .unwrap_err();
            assert_eq!(error.position(), Some(600));
            assert!(error.report().unwrap().totals().lost > 100);
            assert_balanced(error.report().unwrap());
        }
    });
}

#[test]
fn a_drain_waits_for_what_waits() {
    within("drain during backoffs", || {
        for blocking in [false, true] {
            let token = CancelToken::new();
            let flaky = Flaky::default();
            let call = |item: u64| {
                if item == 500 {
                    token.drain();
                }
                flaky.call(item, false)
            };
            let retry = || Retry::constant(4, Duration::from_millis(5));
            let pipeline = Pipeline::extract(0u64..).cancel_token(&token).ordered();
            let report = if blocking {
                pipeline.try_map_blocking(2, call).retry(retry()).collect::<Vec<_>>().run()
            } else {
                pipeline.try_map(call).retry(retry()).collect::<Vec<_>>().run()
            };
            let report = report.unwrap();
            assert_balanced(&report);
            assert_eq!(report.totals().lost, 0);
            let stored = report.output.len() as u64;
            assert!(stored > 500);
            assert!(report.output.into_iter().eq((0..stored).map(|item| item * 3)));
        }
    });
}

#[test]
fn what_waits_counts_against_the_budget() {
    within("budget", || {
        const ITEM: usize = 1 << 10;
        let budget = Bytes::kib(64);
        for blocking in [false, true] {
            let (live, most) = (AtomicU64::new(0), AtomicU64::new(0));
            let tried = Mutex::new(HashMap::new());
            let source = (0..1_000u64).map(|item| {
                most.fetch_max(live.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                (item, vec![0u8; ITEM])
            });
            let call = |(item, bytes): (u64, Vec<u8>)| {
                let mut tried = tried.lock().unwrap();
                let attempts = tried.entry(item).or_insert(0);
                *attempts += 1;
                if item % 3 == 0 && *attempts < 3 { Err("busy") } else { Ok((item, bytes)) }
            };
            let weigh = |(_, bytes): &(u64, Vec<u8>)| bytes.len();
            let retry = || Retry::exponential(3).from(Duration::from_millis(1));
            let pipeline = Pipeline::extract(source).weigh_by(weigh).memory_budget(budget).ordered();
            let end = |_| {
                live.fetch_sub(1, Ordering::Relaxed);
            };
            let report = if blocking {
                pipeline.try_map_blocking(3, call).retry(retry()).weigh_by(weigh).for_each(end).run()
            } else {
                pipeline.try_map(call).retry(retry()).weigh_by(weigh).for_each(end).run()
            };
            let report = report.unwrap();
            assert_balanced(&report);
            assert_eq!(report.totals().stored, 1_000);
            assert!(report.peak_bytes <= budget.get() + ITEM, "blocking {blocking}: {}", report.peak_bytes);
            let most = most.load(Ordering::Relaxed) as usize * ITEM;
            assert!(most <= budget.get() + 4 * ITEM, "blocking {blocking}: {most} bytes lived");
        }
    });
}

#[test]
fn a_budget_of_retries_is_shared_by_all_workers() {
    within("retry budget", || {
        for blocking in [false, true] {
            let down = |_: u64| Err::<u64, _>("down");
            let retry = || Retry::constant(10, SOON).budget(0.1, 5);
            let pipeline = Pipeline::extract(0..1_000u64);
            let report = if blocking {
                pipeline.try_map_blocking(3, down).retry(retry()).on_error(OnError::skip()).count().run()
            } else {
                pipeline.try_map(down).retry(retry()).on_error(OnError::skip()).count().run()
            };
            let report = report.unwrap();
            assert_balanced(&report);
            let totals = report.totals();
            assert_eq!(totals.skipped, 1_000);
            assert!((90..=105).contains(&totals.retried), "{} retries", totals.retried);
        }
    });
}

#[test]
fn a_store_tries_again_on_its_own_thread_in_order() {
    within("flaky store", || {
        for waits in [false, true] {
            struct Picky<'a> {
                flaky: &'a Flaky,
                stored: Vec<u64>,
                waits: bool,
            }
            impl Store<u64> for Picky<'_> {
                type Error = String;
                fn store(&mut self, item: u64) -> Result<(), String> {
                    if item == 50 {
                        return Err("never".to_owned());
                    }
                    self.flaky.call(item, true)?;
                    self.stored.push(item);
                    Ok(())
                }
                fn may_wait(&self) -> bool {
                    self.waits
                }
            }
            let flaky = Flaky::default();
            let mut store = Picky { flaky: &flaky, stored: Vec::new(), waits };
            let mut letters = Vec::new();
            let report = Pipeline::extract(0..100u64)
                .ordered()
                .store(&mut store)
                .retry(Retry::exponential(4).from(SOON).and_panics())
                .on_error(OnError::dead_letter(&mut letters))
                .run()
                .unwrap();
            assert_balanced(&report);
            assert!(store.stored.iter().copied().eq((0..100).filter(|item| *item != 50)));
            assert_eq!((letters.len(), letters[0].item, letters[0].attempts), (1, Some(50), 4));
            assert_eq!(report.totals().retried, Flaky::retries(0..50) + Flaky::retries(51..100) + 3);
        }
    });
}

#[test]
fn a_store_that_waits_to_try_again_ends_when_the_run_is_cancelled() {
    within("cancel during a store's backoff", || {
        let token = CancelToken::new();
        let error = Pipeline::extract(0..100u64)
            .cancel_token(&token)
            .store(store::from_fn(|_| {
                token.cancel();
                Err::<(), _>("down")
            }))
            .retry(Retry::constant(2, Duration::from_secs(3_600)))
            .run()
            .unwrap_err();
        assert!(error.is_cancelled());
        assert_balanced(error.report().unwrap());
    });
}

#[test]
fn a_side_branch_and_the_stages_after_a_batch_may_try_again() {
    within("branches", || {
        let (side, main) = (Flaky::default(), Flaky::default());
        let retry = || Retry::exponential(4).from(SOON);
        let mut copies = Vec::new();
        let report = Pipeline::extract(0..100u64)
            .broadcast(|items| {
                items.try_map(|item| side.call(item, false)).retry(retry()).batch(7).unbatch().store(&mut copies)
            })
            .batch(3)
            .try_map(|batch: Vec<u64>| main.call(batch[0], false).map(|_| batch))
            .retry(retry())
            .unbatch()
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.output.into_iter().eq(0..100));
        assert!(copies.into_iter().eq((0..100).map(|item| item * 3)));
    });
}

#[test]
fn user_code_around_an_attempt_may_panic() {
    within("panics around attempts", || {
        #[derive(Debug)]
        struct Delicate(u64, &'static str);
        impl Clone for Delicate {
            fn clone(&self) -> Self {
                assert!(self.1 != "clone" || self.0 != 7, "planned panic in clone");
                Delicate(self.0, self.1)
            }
        }
        impl Drop for Delicate {
            fn drop(&mut self) {
                if self.1 == "drop" && self.0 == 7 && !std::thread::panicking() {
                    panic!("planned panic in drop");
                }
            }
        }
        #[derive(Debug)]
        struct Rude(&'static str);
        impl From<Rude> for gristmill::BoxError {
            fn from(error: Rude) -> Self {
                error.0.into()
            }
        }
        impl Drop for Rude {
            fn drop(&mut self) {
                if self.0 == "error" && !std::thread::panicking() {
                    panic!("planned panic in the drop of an error");
                }
            }
        }
        for what in ["clone", "drop", "error", "when", "custom"] {
            for blocking in [false, true] {
                let call = |item: Delicate| if item.0 == 7 { Err(Rude(what)) } else { Ok(item.0) };
                let retry = || {
                    let retry = Retry::custom(|failed| {
                        assert!(what != "custom", "planned panic in custom");
                        (failed < 3).then_some(SOON)
                    });
                    retry.and_panics().when(|_: &Rude| {
                        assert!(what != "when", "planned panic in when");
                        true
                    })
                };
                let pipeline = Pipeline::extract((0..20).map(|item| Delicate(item, what))).morsel_items(20);
                let ran = if blocking {
                    pipeline.try_map_blocking(2, call).retry(retry()).on_error(OnError::skip()).count().run()
                } else {
                    pipeline.try_map(call).retry(retry()).on_error(OnError::skip()).count().run()
                };
                match ran {
                    Ok(report) => {
                        assert_balanced(&report);
                        assert_eq!(report.totals().skipped, 1, "{what}");
                    }
                    Err(error) => {
                        assert!(matches!(what, "drop" | "error" | "custom"), "{what}: {error:?}");
                        assert_balanced(error.report().unwrap());
                    }
                }
            }
        }
    });
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let refused = |retry: Retry<'static, &'static str>| {
        let error = Pipeline::extract(0..3u64).try_map(|_| Err::<u64, _>("no")).retry(retry).count().run().unwrap_err();
        assert!(error.is_setting(), "{error:?}");
        error.to_string()
    };
    assert_eq!(refused(Retry::exponential(0)), "setting `retry` must allow at least 1 attempt, not 0");
    assert!(refused(Retry::exponential(2).budget(-1.0, 3)).contains("ratio"));
    assert!(refused(Retry::exponential(2).budget(f64::NAN, 3)).contains("ratio"));
    let batches = Pipeline::extract(0..3u64).batch(2).retry(Retry::exponential(3)).count().run().unwrap_err();
    assert!(batches.to_string().contains("nothing can fail"), "{batches}");
}

#[cfg(target_os = "linux")]
#[test]
fn waiting_costs_no_processor_time() {
    // The time of this thread and of what it ran; the tests beside it run on others, so a process of its own.
    if std::env::var_os("GRISTMILL_WAIT").is_none() {
        let test = std::env::current_exe().unwrap();
        let status = std::process::Command::new(test)
            .args(["--exact", "retry::waiting_costs_no_processor_time"])
            .env("GRISTMILL_WAIT", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    within("idle backoff", || {
        for blocking in [false, true] {
            let began = processor_time();
            let tried = Mutex::new(HashMap::new());
            let call = |item: u64| {
                if tried.lock().unwrap().insert(item, ()).is_none() { Err("busy") } else { Ok(item) }
            };
            let retry = || Retry::constant(2, Duration::from_millis(300) * slowness());
            let report = if blocking {
                Pipeline::extract(0..100u64).try_map_blocking(4, call).retry(retry()).count().run()
            } else {
                Pipeline::extract(0..100u64).try_map(call).retry(retry()).count().run()
            };
            assert_eq!(report.unwrap().output, 100);
            let spent = processor_time() - began;
            assert!(
                spent < Duration::from_millis(100) * slowness(),
                "blocking {blocking}: {spent:?} of processor time"
            );
        }
    });
}

#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name in parentheses: fields 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The second part of each item comes after it has waited. The stage behind is another segment: it knows of positions what the
/// morsel says.
#[test]
fn a_part_of_an_item_that_is_tried_again_keeps_the_position_of_its_item() {
    within("positions of parts", || {
        let tried = Mutex::new(HashSet::new());
        let once = |part: u64| if part % 2 == 1 && tried.lock().unwrap().insert(part) { Err("once") } else { Ok(part) };
        let report = Pipeline::extract(0..20u64)
            .morsel_items(1)
            .flat_map(|item| [item * 2, item * 2 + 1])
            .try_map(once)
            .retry(Retry::constant(2, SOON))
            .try_map_blocking(1, |part| Err::<u64, _>(part.to_string()))
            .on_error(OnError::collect())
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        let mut rejected: Vec<(u64, u64)> =
            report.failures.iter().map(|failure| (failure.message.parse().unwrap(), failure.position)).collect();
        rejected.sort_unstable();
        assert_eq!(rejected, (0..40).map(|part| (part, part / 2)).collect::<Vec<_>>());
    });
}
