//! A run always ends, and takes its threads along.

use crate::support::{Event, assert_balanced, hash, pool, within};
use gristmill::prelude::*;
use gristmill::{source, store};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn pause(item: u64) {
    if hash(item) % 50 == 0 {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The only worker is busy with the first morsel while the source's thread goes on: what it has laid ready by then is
/// counted, though nobody ever took it.
#[test]
fn what_lies_ready_at_a_stop_was_extracted_and_is_lost() {
    within("stop with items that nobody took", || {
        const GIVEN: u64 = 15;
        let (pool, token, given) = (pool(1), CancelToken::new(), AtomicU64::new(0));
        let source = std::iter::from_fn(|| {
            let item = given.fetch_add(1, Ordering::SeqCst);
            while item == GIVEN && !token.is_cancelled() {
                std::thread::yield_now();
            }
            (item < GIVEN).then_some(item)
        });
        let error = Pipeline::extract(source::waiting(source))
            .pool(&pool)
            .cancel_token(&token)
            .morsel_items(10)
            .inspect(|_| {
                // Asked for one more than there are: all of them were laid.
                while given.load(Ordering::SeqCst) <= GIVEN {
                    std::thread::yield_now();
                }
                token.cancel();
            })
            .count()
            .run()
            .unwrap_err();
        let totals = error.report().unwrap().totals();
        assert_eq!((totals.extracted, totals.stored + totals.lost), (GIVEN, GIVEN), "{totals:?}");
        assert_balanced(error.report().unwrap());
    });
}

#[test]
fn cancelling_at_any_moment_ends_the_run_and_accounts_for_everything() {
    within("cancel at random moments", || {
        let pool = pool(2);
        for round in 0..300u64 {
            let token = CancelToken::new();
            let stopper = token.clone();
            let canceller = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(hash(round) % 4_000));
                stopper.cancel();
            });
            let pipeline = Pipeline::extract(source::waiting(0u64..)).pool(&pool).cancel_token(&token);
            let pipeline = if round % 2 == 0 { pipeline.ordered() } else { pipeline };
            let error = pipeline
                .inspect(|item| pause(*item))
                .map_blocking(3, |item| {
                    pause(item);
                    item
                })
                .batch(10)
                .flat_map(|batch| batch)
                .store(store::from_fn(|item| {
                    pause(item);
                    Ok::<(), String>(())
                }))
                .run()
                .unwrap_err();
            assert!(error.is_cancelled(), "{error:?}");
            assert_balanced(error.report().unwrap());
            canceller.join().unwrap();
        }
    });
}

#[test]
fn draining_stores_what_is_in_flight() {
    within("drain", || {
        for round in 0..100u64 {
            let token = CancelToken::new();
            let stopper = token.clone();
            let mut stored = Vec::new();
            let report = Pipeline::extract(0u64..)
                .cancel_token(&token)
                .map(move |item| {
                    if item == 500 + round * 13 {
                        stopper.drain();
                    }
                    item
                })
                .map_blocking(2, |item| item)
                .ordered()
                .store(&mut stored)
                .run()
                .unwrap();
            assert_balanced(&report);
            assert_eq!(report.totals().lost, 0);
            assert!(stored.len() as u64 > 500 && stored.iter().copied().eq(0..stored.len() as u64));
        }
    });
}

#[test]
fn a_source_that_waits_for_ever_does_not_hold_up_a_cancel() {
    within("silent channel", || {
        let (sender, receiver) = crossbeam_channel::unbounded::<u64>();
        let token = CancelToken::new();
        let stopper = token.clone();
        sender.send(1).unwrap();
        let silent = Event::default();
        let numbers = Pipeline::extract(source::channel(receiver)).cancel_token(&token);
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                // The only item has come through: the source waits for another, or is about to.
                silent.wait();
                stopper.cancel();
            });
            numbers.inspect(|_| silent.happens()).count().run()
        });
        assert!(result.unwrap_err().is_cancelled());
        drop(sender);
    });
}

#[test]
fn cancelling_from_inside_any_stage_works() {
    within("cancel from inside", || {
        for stage in 0..5 {
            let token = CancelToken::new();
            let stop = |here: usize, item: u64| {
                if here == stage && item == 77 {
                    token.cancel();
                }
                item
            };
            let error = Pipeline::extract((0u64..).map(|item| stop(0, item)))
                .cancel_token(&token)
                .map(|item| stop(1, item))
                .map_blocking(2, |item| stop(2, item))
                .map(|item| stop(3, item))
                .for_each(|item| {
                    stop(4, item);
                })
                .run()
                .unwrap_err();
            assert!(error.is_cancelled());
            assert_balanced(error.report().unwrap());
        }
    });
}

/// One item gives results without end: the run ends in the middle of it.
#[test]
fn an_expansion_without_end_does_not_hold_up_a_cancel() {
    within("an endless expansion", || {
        let token = CancelToken::new();
        let stop = |item| {
            if item == 1_000 {
                token.cancel();
            }
            false
        };
        let run = Pipeline::extract(0..1).cancel_token(&token).flat_map(|_| 0u64..).filter(|item| stop(*item)).count();
        let error = run.run().unwrap_err();
        assert!(error.is_cancelled());
        assert_balanced(error.report().unwrap());
    });
}

#[test]
fn a_used_token_stops_a_run_before_it_begins() {
    let token = CancelToken::new();
    token.cancel();
    let error = Pipeline::extract(0..10u64).cancel_token(&token).count().run().unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.report().unwrap().totals().extracted, 0);
}

#[test]
fn a_stop_does_not_wait_for_a_flush() {
    within("cancel with hours between flushes", || {
        for round in 0..500u64 {
            let token = CancelToken::new();
            let stopper = token.clone();
            let error = Pipeline::extract(0u64..)
                .cancel_token(&token)
                .flush_interval(Duration::from_secs(3_600))
                .inspect(move |item| {
                    if *item == 200 + round {
                        stopper.cancel();
                    }
                })
                .store(store::from_fn(|_| Ok::<(), String>(())))
                .run()
                .unwrap_err();
            assert!(error.is_cancelled());
        }
    });
}
