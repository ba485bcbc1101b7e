//! State per worker: made once, closed once, never more than workers.

use crate::support::{pool, within};
use gristmill::prelude::*;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn there_are_never_more_states_than_workers_and_each_is_closed_once() {
    within("states", || {
        for workers in [1, 3] {
            let pool = pool(4);
            let made = AtomicUsize::new(0);
            let closed = Mutex::new(Vec::new());
            let used = Mutex::new(HashSet::new());
            Pipeline::extract(0..500u64)
                .pool(&pool)
                .map_init(
                    || Ok::<_, String>(made.fetch_add(1, Ordering::SeqCst)),
                    |state, item| {
                        used.lock().unwrap().insert(*state);
                        std::thread::sleep(std::time::Duration::from_micros(50));
                        item
                    },
                )
                .on_finish(|state, outcome| closed.lock().unwrap().push((state, outcome)))
                .workers(workers)
                .count()
                .run()
                .unwrap();
            let made = made.load(Ordering::SeqCst);
            assert!((1..=workers).contains(&made), "{made} states for {workers} workers");
            assert_eq!(used.into_inner().unwrap().len(), made);
            let mut closed = closed.into_inner().unwrap();
            closed.sort_by_key(|(state, _)| *state);
            let expected: Vec<(usize, Outcome)> = (0..made).map(|state| (state, Outcome::Completed)).collect();
            assert_eq!(closed, expected);
        }
    });
}

#[test]
fn an_init_that_fails_or_panics_aborts_the_run_and_names_the_stage() {
    within("init", || {
        let run = |panics: bool| {
            Pipeline::extract(0..500u64)
                .map_init(
                    move || {
                        assert!(!panics, "planned panic");
                        Err::<u32, _>("no connection")
                    },
                    |_, item| item,
                )
                .named("connect")
                .count()
                .run()
                .unwrap_err()
        };
        assert_eq!(format!("{:?}", run(false)), "stage `connect` could not make the state of a worker: no connection");
        assert_eq!(format!("{:?}", run(true)), "stage `connect` could not make the state of a worker: planned panic");
    });
}

#[test]
fn a_stage_with_a_state_may_fail_and_try_again_and_its_state_is_closed_all_the_same() {
    within("state and retry", || {
        for threads in [0, 2] {
            let (made, closed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
            let numbers = Pipeline::extract(0..100u64).try_map_init(
                || Ok::<_, String>((made.fetch_add(1, Ordering::SeqCst), HashSet::new())),
                |(_, seen), item| if item % 7 == 0 && seen.insert(item) { Err("busy") } else { Ok(item) },
            );
            let finish = |state: (usize, HashSet<u64>), outcome| closed.lock().unwrap().push((state.0, outcome));
            // Twice as often as there may be workers, as each has a memory of its own.
            let retry = Retry::constant(9, std::time::Duration::ZERO);
            let report = if threads > 0 {
                numbers.retry(retry).on_finish(finish).workers(threads).ordered().collect::<Vec<_>>().run().unwrap()
            } else {
                numbers.on_finish(finish).on_error(OnError::skip()).ordered().collect::<Vec<_>>().run().unwrap()
            };
            let kept: Vec<u64> = (0..100).filter(|item| threads > 0 || item % 7 != 0).collect();
            assert_eq!((report.totals().skipped, &report.output), (100 - kept.len() as u64, &kept));
            let mut closed = closed.into_inner().unwrap();
            closed.sort_by_key(|(state, _)| *state);
            let made = made.into_inner();
            assert_eq!(closed, (0..made).map(|state| (state, Outcome::Completed)).collect::<Vec<_>>());
        }
    });
}

#[test]
fn states_and_stores_are_told_that_the_run_was_aborted() {
    within("finish after abort", || {
        struct Told<'a>(&'a Mutex<Vec<Outcome>>);
        impl Store<u64> for Told<'_> {
            type Error = String;
            fn store(&mut self, _: u64) -> Result<(), String> {
                Ok(())
            }
            fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
                self.0.lock().unwrap().push(outcome);
                Ok(())
            }
        }
        let told = Mutex::new(Vec::new());
        let result = Pipeline::extract(0..500u64)
            .map_init(|| Ok::<_, String>(()), |(), item| item)
            .on_finish(|(), outcome| told.lock().unwrap().push(outcome))
            .workers(1)
            .try_map(|item| if item == 300 { Err("no") } else { Ok(item) })
            .store(Told(&told))
            .run();
        assert!(result.is_err());
        assert_eq!(told.into_inner().unwrap(), [Outcome::Aborted, Outcome::Aborted]);
    });
}

#[test]
fn a_store_that_cannot_be_closed_fails_the_run() {
    struct Unclosable(bool);
    impl Store<u64> for Unclosable {
        type Error = String;
        fn store(&mut self, _: u64) -> Result<(), String> {
            Ok(())
        }
        fn finish(&mut self, _: Outcome) -> Result<(), String> {
            Err("disk full".to_owned())
        }
        fn may_wait(&self) -> bool {
            self.0
        }
    }
    for waits in [false, true] {
        let error = Pipeline::extract(0..10u64).store(Unclosable(waits)).run().unwrap_err();
        assert_eq!(format!("{error:?}"), "stage `store` could not finish: disk full");
    }
}

/// Notes what it is told.
struct Told<'a>(&'a Mutex<Vec<(&'static str, Outcome)>>, &'static str, bool);

impl<T> Store<T> for Told<'_> {
    type Error = String;

    fn store(&mut self, _: T) -> Result<(), String> {
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        self.0.lock().unwrap().push((self.1, outcome));
        if self.2 { Err("planned".to_owned()) } else { Ok(()) }
    }
}

#[test]
fn dead_letters_are_finished_before_it_is_decided_how_the_run_ends() {
    within("dead letters that cannot be finished", || {
        let told = Mutex::new(Vec::new());
        let result = Pipeline::extract(0..100u64)
            .try_map(|item| if item == 3 { Err("no") } else { Ok(item) })
            .on_error(OnError::dead_letter(Told(&told, "letters", true)))
            .store(Told(&told, "store", false))
            .run();
        assert!(format!("{:?}", result.unwrap_err()).contains("finish its dead letters"));
        assert_eq!(told.into_inner().unwrap(), [("letters", Outcome::Completed), ("store", Outcome::Aborted)]);
    });
}

#[test]
fn no_branch_is_told_that_the_run_completed_before_the_others_have_stored_everything() {
    within("branches that fail late", || {
        let told = Mutex::new(Vec::new());
        let failing = gristmill::store::from_fn(|item: u64| if item == 99 { Err("last") } else { Ok(()) });
        let result = Pipeline::extract(0..100u64)
            .broadcast(|copies| copies.store(Told(&told, "side", false)))
            .map_blocking(1, |item| {
                std::thread::sleep(std::time::Duration::from_micros(100));
                item
            })
            .store(failing)
            .run();
        assert!(result.is_err());
        assert_eq!(told.into_inner().unwrap(), [("side", Outcome::Aborted)]);
    });
}

#[test]
fn all_are_told_the_same_even_if_one_cannot_be_finished() {
    within("a store that cannot be finished", || {
        let told = Mutex::new(Vec::new());
        let result = Pipeline::extract(0..10u64)
            .map_init(|| Ok::<_, String>(()), |(), item| item)
            .on_finish(|(), outcome| told.lock().unwrap().push(("state", outcome)))
            .broadcast(|copies| copies.store(Told(&told, "side", true)))
            .store(Told(&told, "store", false))
            .run();
        assert!(format!("{:?}", result.unwrap_err()).contains("could not finish"));
        assert!(told.into_inner().unwrap().iter().all(|(_, outcome)| *outcome == Outcome::Completed));
    });
}
