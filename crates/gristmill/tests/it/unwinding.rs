//! User code that unwinds where no item is to blame: the run ends with an error, and every item is accounted for.

use crate::support::{assert_balanced, pool, within};
use gristmill::prelude::*;
use gristmill::{Bytes, Error, source, store};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// The item that all goes wrong at.
const UNLUCKY: u64 = 170;
const ITEMS: u64 = 400;

fn unlucky(item: u64) -> u64 {
    assert!(item != UNLUCKY, "planned panic");
    item
}

fn weigh(item: &u64) -> usize {
    unlucky(*item) as usize
}

/// An item that panics when the unlucky one is dropped, and when it is cloned if that is asked for.
#[derive(Debug)]
struct Touchy {
    number: u64,
    clones: bool,
}

impl Drop for Touchy {
    fn drop(&mut self) {
        if self.number == UNLUCKY && !self.clones && !std::thread::panicking() {
            panic!("planned panic in drop");
        }
    }
}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        Touchy { number: if self.clones { unlucky(self.number) } else { self.number }, clones: self.clones }
    }
}

fn drops_badly(number: u64) -> Touchy {
    Touchy { number, clones: false }
}

fn clones_badly(number: u64) -> Touchy {
    Touchy { number, clones: true }
}

/// A collection that cannot take everything.
#[derive(Default)]
struct Picky;

impl Extend<u64> for Picky {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, items: I) {
        items.into_iter().for_each(|item| assert!(unlucky(item) < ITEMS));
    }
}

/// A source that panics when it is dropped.
struct DropsBadly(std::ops::Range<u64>, bool);

impl Source for DropsBadly {
    type Item = u64;
    type Error = String;

    fn pull(&mut self) -> Option<Result<u64, String>> {
        self.0.next().map(Ok)
    }

    fn may_wait(&self) -> bool {
        self.1
    }
}

impl Drop for DropsBadly {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("planned panic in drop");
        }
    }
}

#[track_caller]
fn assert_fails_in_order(what: &str, result: Result<(), Error>) {
    let error = result.expect_err(what);
    assert!(format!("{error:?}").contains("planned panic"), "{what}: {error:?}");
    assert_balanced(error.report().unwrap());
}

/// One test for each `name(numbers) => result of a run`: on pools of one and two threads, with morsels of several sizes,
/// with a budget and without, from outside the pool and on it.
macro_rules! unwinding {
    ($($name:ident($numbers:ident) => $run:expr;)*) => {
        $(#[test]
        fn $name() {
            within(stringify!($name), || {
                for (threads, morsel, mode) in everywhere() {
                    let pool = Arc::new(pool(threads));
                    let run = || {
                        let $numbers = Pipeline::extract(0..ITEMS).morsel_items(morsel).pool(Arc::clone(&pool));
                        let $numbers = if mode == Mode::Budget { $numbers.memory_budget(Bytes::kib(64)) } else { $numbers };
                        $run.run().map(drop)
                    };
                    let result = if mode == Mode::InPool { pool.install(run) } else { run() };
                    assert_fails_in_order(stringify!($name), result);
                }
            });
        })*
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Budget,
    InPool,
}

fn everywhere() -> impl Iterator<Item = (usize, usize, Mode)> {
    let morsels = |threads| [1, 7, 1_000].into_iter().map(move |morsel| (threads, morsel));
    let modes = |(threads, morsel)| [Mode::Plain, Mode::Budget, Mode::InPool].map(|mode| (threads, morsel, mode));
    [1, 2].into_iter().flat_map(morsels).flat_map(modes)
}

fn shift(item: u64) -> u64 {
    item
}

unwinding! {
    a_weigher_at_the_source(numbers) => numbers.weigh_by(weigh).map(shift).count();
    a_weigher_at_a_waiting_source(_numbers) => {
        Pipeline::extract(source::waiting(0..ITEMS)).weigh_by(weigh).map(shift).count()
    };
    a_weigher_after_a_transform(numbers) => numbers.map(shift).weigh_by(weigh).collect::<Vec<_>>();
    a_weigher_after_threads(numbers) => numbers.map_blocking(2, shift).weigh_by(weigh).collect::<Vec<_>>();
    a_weigher_between_threads(numbers) => numbers.map_blocking(2, shift).weigh_by(weigh).map_blocking(2, shift).count();
    a_weigher_at_a_batch(numbers) => numbers.map(shift).weigh_by(weigh).batch(9).count();
    a_weigher_at_a_fork(numbers) => {
        numbers.weigh_by(|_| 8).map(shift).weigh_by(weigh).broadcast(|side| side.for_each(drop)).count()
    };
    a_key(numbers) => numbers.ordered_by_key(|item| unlucky(*item)).map(shift).collect::<Vec<_>>();
    a_key_before_threads(numbers) => {
        numbers.ordered_by_key(|item| unlucky(*item)).map_blocking(2, shift).collect::<Vec<_>>()
    };
    a_group_key(numbers) => numbers.group_by(|item| unlucky(*item)).count();
    a_collection(numbers) => numbers.map(shift).collect::<Picky>();
    a_collection_in_order(numbers) => numbers.ordered().map(shift).collect::<Picky>();
    a_collection_after_threads(numbers) => numbers.map_blocking(2, shift).collect::<Picky>();
    a_drop_in_a_filter(numbers) => numbers.map(drops_badly).weigh_by(|_| 16).filter(|_| false).count();
    a_drop_after_threads(numbers) => {
        numbers.map_blocking(2, drops_badly).weigh_by(|_| 16).map(|item| item.number).count()
    };
    a_drop_on_threads(numbers) => {
        numbers.map(drops_badly).weigh_by(|_| 16).map_blocking(2, |item| item.number).count()
    };
    a_drop_in_a_count(numbers) => numbers.map(drops_badly).weigh_by(|_| 16).count();
    a_drop_in_a_store(numbers) => {
        numbers.map(drops_badly).weigh_by(|_| 16).store(store::from_fn(|_| Ok::<(), String>(())))
    };
    a_drop_of_what_was_in_flight(numbers) => {
        let stops = |item: Touchy| if item.number == UNLUCKY - 1 { Err("planned panic, as it were") } else { Ok(item) };
        numbers.map(drops_badly).weigh_by(|_| 16).batch(3).unbatch().try_map(stops).weigh_by(|_| 16).count()
    };
    a_clone_at_a_fork(numbers) => {
        numbers.map(clones_badly).weigh_by(|_| 16).broadcast(|side| side.for_each(drop)).count()
    };
    a_clone_for_a_dead_letter(numbers) => {
        let dead = store::from_fn(|_: DeadLetter<Touchy, String>| Ok::<(), String>(()));
        numbers.map(clones_badly).weigh_by(|_| 16).try_map(Ok::<_, String>).weigh_by(|_| 16)
            .on_error(OnError::dead_letter(dead).at_most(0)).count()
    };
    a_source(_numbers) => Pipeline::extract((0..ITEMS).map(unlucky)).map(shift).count();
    a_source_on_a_thread(_numbers) => {
        Pipeline::extract(source::waiting((0..ITEMS).map(unlucky))).map(shift).count()
    };
    a_drop_of_the_source(_numbers) => Pipeline::extract(DropsBadly(0..ITEMS, false)).map(shift).count();
    a_drop_of_the_source_on_its_thread(_numbers) => Pipeline::extract(DropsBadly(0..ITEMS, true)).map(shift).count();
    a_fold_start(numbers) => {
        numbers.fold(|| unlucky(UNLUCKY), |sum, item| *sum += item, |sum, other| *sum += other)
    };
    a_fold(numbers) => {
        numbers.fold(|| 0, |sum, item| *sum += unlucky(item), |sum, other| *sum += other)
    };
    a_closure_on_a_tick(numbers) => {
        let slow = |item| {
            if item % 40 == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
            item
        };
        let called = |_| panic!("planned panic");
        numbers.map(slow).batch_within(1_000_000, Duration::from_millis(1)).for_each(called)
    };
    a_named_thread_is_no_reason(numbers) => {
        numbers.map_blocking(2, unlucky).named("a\0b").count()
    };
    the_end_of_a_state(numbers) => {
        numbers.map_init(|| Ok::<_, String>(0u64), |_, item| item).on_finish(|_, _| panic!("planned panic")).count()
    };
}

#[test]
fn a_merge_of_accumulators() {
    within("a merge of accumulators", || {
        let pool = pool(2);
        let met = Barrier::new(2);
        // Two items meet, so two workers have an accumulator each.
        let result = Pipeline::extract(0..2u64)
            .pool(&pool)
            .morsel_items(1)
            .fold(|| 0, |_, _| _ = met.wait(), |_: &mut u64, _| panic!("planned panic"))
            .run();
        assert_fails_in_order("a merge of accumulators", result.map(drop));
    });
}

#[test]
fn what_an_iterator_holds() {
    within("an iterator is dropped", || {
        let mut items = Pipeline::extract(0..ITEMS).morsel_items(1_000).map(drops_badly).into_iter();
        let first = items.next().unwrap().unwrap();
        assert_eq!(first.number, 0);
        // What is dropped on this thread unwinds on this thread, after the run was joined.
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(items)));
        assert!(dropped.is_err());
    });
}
