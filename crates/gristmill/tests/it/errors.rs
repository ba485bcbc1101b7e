//! A failure is one item's: the policy decides, the error names the place.

use crate::support::{Event, assert_balanced, pool, within};
use gristmill::prelude::*;
use gristmill::{Cause, source, store};
use std::error::Error as _;
use std::sync::Mutex;

/// The stage a failure is planted in.
const STAGES: [&str; 6] = ["source", "map", "expand", "lookup", "second", "end"];

fn fail_at(stage: &'static str, position: u64, panics: bool, ordered: bool) -> gristmill::Error {
    let trip = move |here: &str, item: u64| -> Result<u64, String> {
        if here == stage && item == position {
            assert!(!panics, "planned panic");
            return Err(format!("planned failure of {item}"));
        }
        Ok(item)
    };
    let source = source::fallible((0..100u64).map(move |item| trip("source", item)));
    let pool = pool(2);
    let pipeline = Pipeline::extract(source)
        .named("source")
        .pool(&pool)
        .morsel_items(7)
        .try_map(move |item| trip("map", item))
        .named("map")
        .try_flat_map(move |item| [trip("expand", item)])
        .named("expand")
        .try_map_blocking(3, move |item| trip("lookup", item))
        .named("lookup")
        .try_map(move |item| trip("second", item))
        .named("second");
    let pipeline = if ordered { pipeline.ordered() } else { pipeline };
    let end = pipeline.store(store::from_fn(move |item| trip("end", item).map(drop))).named("end");
    end.run().expect_err("the failure was planted")
}

#[test]
fn an_abort_names_stage_position_and_cause_wherever_it_happens() {
    within("errors at every stage", || {
        for stage in STAGES {
            for position in [0, 50, 99] {
                for panics in [false, true] {
                    for ordered in [false, true] {
                        let error = fail_at(stage, position, panics, ordered);
                        assert_eq!(error.stage_name(), Some(stage), "{error:?}");
                        if stage == "source" && panics {
                            // The source itself panicked: it has no item to blame.
                            assert!(format!("{error:?}").contains("planned panic"), "{error:?}");
                        } else {
                            assert_eq!(error.position(), Some(position), "{error:?}");
                            assert_eq!(error.is_panic(), panics);
                        }
                        if !panics {
                            let cause = error.source().expect("it has a cause").to_string();
                            assert_eq!(cause, format!("planned failure of {position}"));
                        }
                        let report = error.report().expect("the run had begun");
                        assert_balanced(report);
                        assert!(report.totals().lost >= 1 || (stage, panics) == ("source", true));
                    }
                }
            }
        }
    });
}

#[test]
fn positions_are_those_of_the_source_whatever_was_filtered_before() {
    let letters = Mutex::new(Vec::new());
    let keep = store::from_fn(|letter: DeadLetter<u64, String>| {
        letters.lock().unwrap().push((letter.position, letter.item));
        Ok::<(), String>(())
    });
    let report = Pipeline::extract(0..1_000u64)
        .filter(|item| item % 3 == 0)
        .flat_map(|item| [item, item])
        .map_blocking(2, |item| item)
        .try_map(|item| if item % 100 == 0 { Err(format!("{item}")) } else { Ok(item) })
        .on_error(OnError::dead_letter(keep))
        .ordered()
        .count()
        .run()
        .unwrap();
    assert_balanced(&report);
    let mut letters = letters.into_inner().unwrap();
    letters.sort_unstable();
    let expected: Vec<(u64, Option<u64>)> =
        [0, 300, 600, 900].into_iter().flat_map(|item| [(item, Some(item)); 2]).collect();
    assert_eq!(letters, expected);
    assert_eq!(report.totals().dead, 8);
}

#[test]
fn positions_survive_uneven_expansions() {
    let seen = Mutex::new(Vec::new());
    Pipeline::extract(0..60u64)
        .morsel_items(6)
        .flat_map(|item| vec![item; (item % 2 * 2) as usize])
        .map_blocking(2, |item| item)
        .try_map(|item| Err::<u64, _>(item.to_string()))
        .on_error(OnError::dead_letter(store::from_fn(|letter: DeadLetter<u64, String>| {
            seen.lock().unwrap().push((letter.item.unwrap(), letter.position));
            Ok::<(), String>(())
        })))
        .count()
        .run()
        .unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 60);
    assert!(seen.iter().all(|(item, position)| item == position), "{seen:?}");
}

#[test]
fn a_panic_in_the_middle_of_an_expansion_costs_one_item() {
    within("panic after an expansion", || {
        let mut stored = Vec::new();
        let report = Pipeline::extract(0..10u64)
            .flat_map(|item| (0..10).map(move |part| item * 10 + part))
            .map(|item| {
                assert!(item % 10 != 3, "planned panic");
                item
            })
            .on_error(OnError::skip())
            .ordered()
            .store(&mut stored)
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(stored.into_iter().eq((0..100).filter(|item| item % 10 != 3)));
        assert_eq!(report.totals().skipped, 10);
    });
}

#[test]
fn a_panicking_expansion_keeps_what_it_gave_before_and_goes_on() {
    within("panic inside an expansion", || {
        let report = Pipeline::extract(0..10u64)
            .flat_map(|item| {
                (0..5).map(move |part| {
                    assert!(item != 4 || part != 2, "planned panic");
                    item * 5 + part
                })
            })
            .on_error(OnError::collect())
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.output.iter().copied().eq((0..22).chain(23..50)));
        assert_eq!((report.failures.len(), report.failures[0].position), (1, 4));
        assert_eq!(report.failures[0].message, "panic: planned panic");
    });
}

#[test]
fn failures_are_listed_in_the_order_of_the_source() {
    within("a first item that fails last", || {
        let pool = pool(2);
        let second_has_failed = Event::default();
        let report = Pipeline::extract(0..10u64)
            .try_map(|item| match item {
                0 => {
                    second_has_failed.wait();
                    Err("first")
                }
                1 => Err("second"),
                item => {
                    // By the worker who had the second one, as the other still has the first.
                    second_has_failed.happens();
                    Ok(item)
                }
            })
            .on_error(OnError::collect())
            .morsel_items(1)
            .pool(&pool)
            .count()
            .run()
            .unwrap();
        let messages: Vec<_> = report.failures.iter().map(|failure| &*failure.message).collect();
        assert_eq!(messages, ["first", "second"]);
    });
}

#[test]
fn an_expansion_that_only_panics_is_given_up() {
    within("endless panics", || {
        let report = Pipeline::extract(0..3u64)
            .flat_map(|item| std::iter::repeat_with(move || -> u64 { panic!("planned panic of {item}") }))
            .on_error(OnError::skip())
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert_eq!((report.output, report.totals().skipped), (0, 3_000));
    });
}

#[test]
fn dead_letters_carry_item_stage_attempts_and_cause() {
    within("dead letters", || {
        let mut letters: Vec<DeadLetter<u32, String>> = Vec::new();
        let report = Pipeline::extract(0..20u32)
            .try_map(|item| match item {
                5 => Err("five".to_owned()),
                6 => panic!("planned panic"),
                _ => Ok(item),
            })
            .named("check")
            .on_error(OnError::dead_letter(&mut letters))
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        letters.sort_unstable_by_key(|letter| letter.position);
        let letter = |item: u32, cause| DeadLetter {
            item: Some(item),
            stage: "check".into(),
            attempts: 1,
            position: item.into(),
            cause,
        };
        assert_eq!(
            letters,
            [letter(5, Cause::Error("five".to_owned())), letter(6, Cause::Panic("planned panic".to_owned()))]
        );
        assert_eq!((report.output, report.totals().dead), (18, 2));
    });
}

#[test]
fn a_store_of_dead_letters_that_fails_aborts_the_run() {
    within("dead dead letters", || {
        let full = store::from_fn(|_: DeadLetter<u32, String>| Err::<(), _>("disk full"));
        let error = Pipeline::extract(0..1_000u32)
            .try_map(|item| Err::<u32, _>(format!("{item}")))
            .on_error(OnError::dead_letter(full))
            .count()
            .run()
            .unwrap_err();
        assert_eq!(format!("{error:?}"), "stage `try_map` could not store a dead letter: disk full");
        assert_balanced(error.report().unwrap());
    });
}

#[test]
fn a_limit_on_failures_aborts_when_it_is_passed() {
    let run = |limit| {
        Pipeline::extract(0..100u32)
            .try_map(|item| if item % 10 == 0 { Err("tenth") } else { Ok(item) })
            .on_error(OnError::skip().at_most(limit))
            .count()
            .run()
    };
    assert_eq!(run(10).unwrap().output, 90);
    let error = run(9).unwrap_err();
    assert!(error.to_string().contains("more than 9 items failed"), "{error}");
}

#[test]
fn a_store_may_refuse_items_too() {
    let picky = store::from_fn(|item: u32| if item == 7 { Err("not seven") } else { Ok(()) });
    let mut letters = Vec::new();
    let report = Pipeline::extract(0..10).store(picky).on_error(OnError::dead_letter(&mut letters)).run().unwrap();
    assert_balanced(&report);
    assert_eq!((report.totals().stored, letters[0].item), (9, Some(7)));
}

#[test]
fn odd_panics_are_contained() {
    within("odd panics", || {
        struct Loud;
        impl Drop for Loud {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    panic!("planned panic in drop");
                }
            }
        }
        // A payload that is no text.
        let error = Pipeline::extract(0..10u32).map(|_| std::panic::panic_any(7u32)).count().run().unwrap_err();
        assert!(error.to_string().contains("a panic without words"), "{error}");
        // A value whose drop panics.
        let error = Pipeline::extract(0..10u32).map(|_| Loud).filter(|_| false).count().run().unwrap_err();
        assert!(format!("{error:?}").contains("planned panic in drop"), "{error:?}");
        // An error whose conversion panics.
        struct Rude;
        impl From<Rude> for gristmill::BoxError {
            fn from(_: Rude) -> Self {
                panic!("planned panic in the error")
            }
        }
        let error = Pipeline::extract(0..10u32).try_map(|_| Err::<u32, _>(Rude)).count().run().unwrap_err();
        assert!(error.is_panic(), "{error:?}");
        assert_balanced(error.report().unwrap());
        // A fold.
        let error = Pipeline::extract(0..10u32)
            .fold(|| 0, |_, _| panic!("planned panic"), |sum: &mut u32, other| *sum += other)
            .run()
            .unwrap_err();
        assert_eq!(error.stage_name(), Some("fold"));
        assert_balanced(error.report().unwrap());
    });
}
