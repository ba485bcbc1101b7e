//! No stage can deadlock another, on any pool.

use crate::support::{Event, assert_balanced, pool, within};
use gristmill::prelude::*;
use gristmill::store;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

#[test]
fn two_cpu_stages_around_a_blocking_one_run_on_a_pool_of_one() {
    // The shape of rayon's issue 1269: bounded lanes between stages that share one pool.
    within("pool of one", || {
        for window in [1, 2, 32] {
            for morsel in [1, 16] {
                let pool = pool(1);
                let mut stored = Vec::new();
                let report = Pipeline::extract(0..2_000u64)
                    .pool(&pool)
                    .window(window)
                    .morsel_items(morsel)
                    .map(|item| item + 1)
                    .map_blocking(2, |item| item * 2)
                    .map(|item| item + 1)
                    .map_blocking(1, |item| item)
                    .map(|item| item)
                    .ordered()
                    .store(&mut stored)
                    .run()
                    .unwrap();
                assert_balanced(&report);
                assert!(stored.into_iter().eq((0..2_000).map(|item| (item + 1) * 2 + 1)));
            }
        }
    });
}

#[test]
fn a_transform_may_use_the_same_pool() {
    within("rayon inside a transform", || {
        for threads in [1, 2, 4] {
            let pool = pool(threads);
            let report = Pipeline::extract(0..300u64)
                .pool(&pool)
                .map(|item| (0..200u64).into_par_iter().map(|part| part * item).sum::<u64>())
                .map_blocking(2, |item| item)
                .map(|item| (0..20u64).into_par_iter().map(|part| part + item).max().unwrap())
                .ordered()
                .collect::<Vec<_>>()
                .run()
                .unwrap();
            assert!(report.output.iter().copied().eq((0..300).map(|item| 19_900 * item + 19)), "{threads}");
        }
    });
}

#[test]
fn a_source_and_an_end_may_use_the_same_pool() {
    within("rayon inside a source", || {
        for threads in [1, 2, 4] {
            let pool = pool(threads);
            let mut sum = 0;
            let items = (0..300u64).map(|item| (0..50u64).into_par_iter().map(|part| part * item).sum::<u64>());
            Pipeline::extract(items)
                .pool(&pool)
                .ordered()
                .for_each(|item| sum += (0..10u64).into_par_iter().map(|part| part * item).sum::<u64>())
                .run()
                .unwrap();
            assert_eq!(sum, (0..300u64).map(|item| 1_225 * item * 45).sum());
        }
    });
}

#[test]
fn a_closure_for_each_item_is_called_on_the_pool_and_has_no_thread_of_its_own() {
    within("for_each", || {
        let (pool, calls) = (pool(1), AtomicUsize::new(0));
        let call = |_| {
            assert_eq!(rayon::current_thread_index(), Some(0));
            calls.fetch_add(1, Ordering::Relaxed);
        };
        Pipeline::extract(0..100u64).pool(&pool).for_each(call).run().unwrap();
        assert_eq!(calls.into_inner(), 100);
    });
}

#[test]
fn a_pipeline_may_run_inside_the_pool_and_inside_another() {
    within("nested pipelines", || {
        for threads in [1, 2] {
            let pool = pool(threads);
            let sum = pool.install(|| {
                let report = Pipeline::extract(0..20u64)
                    .map(|item| {
                        let inner = Pipeline::extract(0..item).map_blocking(2, |part| part).map(|part| part * 2);
                        inner.ordered().collect::<Vec<_>>().run().unwrap().output.into_iter().sum::<u64>()
                    })
                    .ordered()
                    .fold(|| 0, |sum, item| *sum += item, |sum, other| *sum += other)
                    .run()
                    .unwrap();
                report.output
            });
            assert_eq!(sum, (0..20u64).map(|item| item * item.saturating_sub(1)).sum());
        }
    });
}

/// Runs it on the only thread of a pool, which so is the caller of `run`.
fn on_a_pool_of_one<R: Send>(body: impl FnOnce(&rayon::ThreadPool) -> R + Send) -> R {
    let pool = pool(1);
    pool.install(|| body(&pool))
}

#[test]
fn a_caller_in_the_pool_works_for_stores_that_finish_in_it() {
    within("rayon inside a finish", || {
        struct Finishing<'a>(&'a rayon::ThreadPool, bool);
        impl<T> Store<T> for Finishing<'_> {
            type Error = String;

            fn store(&mut self, _: T) -> Result<(), String> {
                Ok(())
            }

            fn finish(&mut self, _: Outcome) -> Result<(), String> {
                self.1 = self.0.install(|| true);
                Ok(())
            }
        }
        on_a_pool_of_one(|pool| {
            let (mut letters, mut store) = (Finishing(pool, false), Finishing(pool, false));
            Pipeline::extract(0..10u64)
                .try_map(|item| if item == 5 { Err("no") } else { Ok(item) })
                .on_error(OnError::dead_letter(&mut letters))
                .store(&mut store)
                .run()
                .unwrap();
            assert!(letters.1 && store.1);
        });
    });
}

#[test]
fn a_caller_in_the_pool_works_for_threads_that_are_in_it_when_the_run_is_aborted() {
    within("rayon inside a call that is waited for", || {
        on_a_pool_of_one(|pool| {
            let (inside, calls) = (Event::default(), AtomicU64::new(0));
            let error = Pipeline::extract(0..2u64)
                .morsel_items(1)
                .try_map_blocking(2, |item| {
                    if item == 1 {
                        inside.wait();
                        return Err("no");
                    }
                    inside.happens();
                    // Most of them when the run is over, and its caller waits for this thread.
                    for _ in 0..1_000 {
                        pool.install(|| calls.fetch_add(1, Ordering::Relaxed));
                    }
                    Ok(item)
                })
                .count()
                .run()
                .unwrap_err();
            assert_eq!((error.position(), calls.into_inner()), (Some(1), 1_000));
            assert_balanced(error.report().unwrap());
        });
    });
}

#[test]
fn the_rest_of_the_pool_is_not_starved() {
    within("a good neighbour", || {
        let (pool, busy) = (pool(1), Event::default());
        let token = CancelToken::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let numbers = Pipeline::extract(0u64..).pool(&pool).cancel_token(&token);
                let result = numbers.inspect(|_| busy.happens()).count().run();
                assert!(result.unwrap_err().is_cancelled());
            });
            busy.wait();
            // The pipeline keeps the only thread busy for ever, yet this gets its turn.
            assert_eq!(pool.install(|| 6 * 7), 42);
            token.cancel();
        });
    });
}

#[test]
fn panics_of_a_fold_on_a_branch_end_the_run() {
    within("branch that fails", || {
        let failing = store::from_fn(|item: u64| if item == 50 { Err("no") } else { Ok(()) });
        let error = Pipeline::extract(0u64..)
            .broadcast(|copies| copies.store(failing).named("side"))
            .map_blocking(2, |item| item)
            .count()
            .run()
            .unwrap_err();
        assert_eq!((error.stage_name(), error.position()), (Some("side"), Some(50)));
        assert_balanced(error.report().unwrap());
    });
}

#[test]
fn pipelines_on_one_thread_take_turns() {
    within("two pipelines on a pool of one", || {
        let (pool, busy) = (pool(1), Event::default());
        let long_is_done = AtomicBool::new(false);
        let spin = |item: u64| (0..20_000).fold(item, |sum, step| std::hint::black_box(sum ^ step));
        let token = CancelToken::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let long = Pipeline::extract(0u64..).pool(&pool).cancel_token(&token).inspect(|_| busy.happens());
                assert!(long.map(spin).count().run().unwrap_err().is_cancelled());
                long_is_done.store(true, Ordering::SeqCst);
            });
            busy.wait();
            let short = Pipeline::extract(0..500u64).pool(&pool).map(spin).count().run().unwrap();
            assert_eq!(short.output, 500);
            assert!(!long_is_done.load(Ordering::SeqCst));
            token.cancel();
        });
    });
}
