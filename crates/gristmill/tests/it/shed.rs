//! A source that lets items go when the pipeline is full.

use crate::support::{assert_balanced, pool, within};
use crossbeam_channel::{Receiver, Sender, bounded};
use gristmill::prelude::*;
use gristmill::{Checkpoint, Shed, Watchdog, source, store};
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A stage that holds the first item until the source has given its last, and says when it has it.
#[derive(Clone)]
struct Jam {
    inside: (Sender<()>, Receiver<()>),
    open: (Sender<()>, Receiver<()>),
}

impl Jam {
    fn new() -> Self {
        Jam { inside: bounded(1), open: bounded(1) }
    }

    /// The items, all but the first while the stage has that, and the stage is let go when the last has been dealt with.
    fn source<I: Iterator<Item: Send> + Send>(
        &self,
        mut items: I,
    ) -> impl Source<Item = I::Item, Error = Infallible> + Send + use<I> {
        let (jam, mut given) = (self.clone(), 0);
        source::generate(move || {
            if given == 1 {
                jam.inside.1.recv_timeout(LIMIT).unwrap();
            }
            given += 1;
            let item = items.next();
            if item.is_none() {
                let _ = jam.open.0.try_send(());
            }
            item.map(Ok)
        })
    }

    fn hold(&self, first: bool) {
        if first {
            self.inside.0.send(()).unwrap();
            self.open.1.recv_timeout(LIMIT).unwrap();
        }
    }
}

fn shed<'env, T>(oldest: bool) -> Shed<'env, T> {
    if oldest { Shed::oldest() } else { Shed::newest() }
}

#[test]
fn exactly_what_has_no_room_goes() {
    within("newest and oldest", || {
        for (oldest, kept, gone) in [
            (false, (0..=10).collect::<Vec<u64>>(), (11..=100).collect::<Vec<u64>>()),
            (true, [0].into_iter().chain(91..=100).collect(), (1..=90).collect()),
        ] {
            for threads in [1, 2] {
                let (pool, jam) = (pool(threads), Jam::new());
                let mut letters = Vec::new();
                let report = Pipeline::extract(jam.source(0..=100u64))
                    .shed(shed(oldest).holding(10).to(&mut letters))
                    .named("feed")
                    .pool(&pool)
                    .window(1)
                    .morsel_items(1)
                    .ordered()
                    .inspect(|item| jam.hold(*item == 0))
                    .collect::<Vec<_>>()
                    .run()
                    .unwrap();
                assert_balanced(&report);
                assert_eq!(report.output, kept, "oldest: {oldest}, {threads} threads");
                assert_eq!((report.totals().extracted, report.totals().shed, report.totals().dead), (101, 90, 0));
                assert_eq!(report.stage("feed").unwrap().shed, 90);
                assert!(letters.iter().map(|letter| letter.position).eq(gone.iter().copied()), "oldest: {oldest}");
                for letter in letters {
                    assert_eq!((letter.item, &*letter.stage), (Some(letter.position), "feed"));
                    assert_eq!((letter.attempts, letter.cause), (0, Cause::Shed));
                }
                assert!(report.to_string().contains("+ 90 shed"), "{report}");
            }
        }
    });
}

#[test]
fn nothing_is_said_of_shedding_where_there_is_none() {
    let report = Pipeline::extract(source::waiting(0..10u64)).shed(Shed::newest()).count().run().unwrap();
    assert_eq!((report.output, report.totals().shed), (10, 0));
    assert!(!report.to_string().contains("shed"), "{report}");
}

#[test]
fn a_budget_is_kept_and_nobody_goes_in_vain() {
    let run = |oldest: bool, last: usize| {
        let jam = Jam::new();
        let items = (0..=100u64).map(move |item| (item, if item == 100 { last } else { 100 }));
        let report = Pipeline::extract(jam.source(items))
            .shed(shed(oldest))
            .weigh_by(|item: &(u64, usize)| item.1)
            .memory_budget(Bytes::new(1_000))
            .window(1)
            .morsel_items(1)
            .ordered()
            .inspect(|item| jam.hold(item.0 == 0))
            .weigh_by(|item| item.1)
            .map(|item| item.0)
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.peak_bytes <= 1_000, "{}", report.peak_bytes);
        report.output
    };
    within("a budget", move || {
        assert!(run(false, 100).into_iter().eq(0..=9));
        assert!(run(true, 100).into_iter().eq([0].into_iter().chain(92..=100)));
        // Three make room for one that is as heavy as two and a half.
        assert!(run(true, 250).into_iter().eq([0].into_iter().chain(94..=100)));
        // All that is laid would not make room for this one, beside what is under way.
        assert!(run(true, 950).into_iter().eq([0].into_iter().chain(91..=99)));
    });
}

#[test]
fn an_open_batch_that_has_the_budget_is_let_go() {
    within("a batch and a budget", || {
        let stored = AtomicBool::new(false);
        let mut next = 0u64;
        let endless = source::generate(|| {
            next += 1;
            (!stored.load(Ordering::Relaxed)).then_some(Ok::<_, Infallible>(next))
        });
        let report = Pipeline::extract(endless)
            .shed(Shed::newest().holding(100))
            .memory_budget(Bytes::new(80))
            .batch(1_000)
            .weigh_by(|batch| batch.len() * 8)
            .for_each(|_| stored.store(true, Ordering::Relaxed))
            .run()
            .unwrap();
        assert_balanced(&report);
    });
}

#[test]
fn all_shapes_store_or_shed_each_item_once_and_know_their_positions() {
    within("shedding in every shape", || {
        for threads in [1, 3] {
            let pool = pool(threads);
            for (order, which, budget, blocking) in
                (0..24).map(|shape| (shape % 3, shape / 3 % 2, shape / 6 % 2 == 0, shape / 12 == 0))
            {
                let (mut gone, mut dead) = (Vec::new(), Vec::new());
                let pipeline =
                    Pipeline::extract(source::waiting(0..2_000u64)).shed(shed(which == 1).holding(40).to(&mut gone));
                let pipeline = match order {
                    0 => pipeline,
                    1 => pipeline.ordered(),
                    _ => pipeline.ordered_by_key(|item| item % 5),
                };
                let pipeline = if budget { pipeline.memory_budget(Bytes::new(400)) } else { pipeline };
                let call = |item: u64| if item % 7 == 3 { Err(item) } else { Ok(item) };
                let pipeline = pipeline.pool(&pool).filter(|item| item % 11 != 2);
                let letters = OnError::dead_letter(&mut dead);
                let report = if blocking {
                    let stage = pipeline.try_map_blocking(2, move |item| call(item).map_err(|item| item.to_string()));
                    stage.on_error(letters).collect::<Vec<_>>().run()
                } else {
                    let stage = pipeline.try_map(move |item| call(item).map_err(|item| item.to_string()));
                    stage.on_error(letters).collect::<Vec<_>>().run()
                }
                .unwrap();
                assert_balanced(&report);
                assert_eq!(report.totals().shed, gone.len() as u64);
                assert!(order != 1 || report.output.is_sorted());
                for key in (0..5).filter(|_| order == 2) {
                    assert!(report.output.iter().filter(|item| *item % 5 == key).is_sorted());
                }
                // A letter's position is its item: nothing was shifted by what is not there.
                assert!(dead.iter().all(|letter: &DeadLetter<u64, String>| letter.item == Some(letter.position)));
                assert!(gone.iter().all(|letter| letter.item == Some(letter.position)));
                let mut all: Vec<u64> = report.output;
                all.extend(dead.iter().chain(&[]).map(|letter| letter.position));
                all.extend(gone.iter().map(|letter| letter.position));
                all.sort_unstable();
                let filtered = |item: &u64| item % 11 != 2 || gone.iter().any(|letter| letter.position == *item);
                assert!(all.into_iter().eq((0..2_000).filter(filtered)));
            }
        }
    });
}

#[test]
fn a_failure_of_the_source_is_never_shed() {
    within("failures", || {
        for oldest in [false, true] {
            let jam = Jam::new();
            let mut next = 0u64;
            let (entered, open) = (jam.inside.1.clone(), jam.open.0.clone());
            let items = source::generate(move || {
                if next == 1 {
                    entered.recv_timeout(LIMIT).unwrap();
                }
                // The last four would fill the intake with failures, but for two.
                let item = (next < 20).then_some(if next % 5 == 4 { Err(format!("no {next}")) } else { Ok(next) });
                next += 1;
                if item.is_none() {
                    open.send(()).unwrap();
                }
                item
            });
            let report = Pipeline::extract(items)
                .shed(shed(oldest).holding(6))
                .on_error(OnError::collect())
                .window(1)
                .morsel_items(1)
                .ordered()
                .inspect(|item| jam.hold(*item == 0))
                .collect::<Vec<_>>()
                .run()
                .unwrap();
            assert_balanced(&report);
            assert!(report.failures.iter().map(|failure| failure.position).eq([4, 9, 14, 19]), "{:?}", report.failures);
            assert!(report.failures.iter().all(|failure| failure.message == format!("no {}", failure.position)));
            assert_eq!(report.totals().shed, 20 - 1 - 6);
            // Each failure has taken the place of an item: two are left.
            let kept = if oldest { [0, 17, 18] } else { [0, 1, 2] };
            assert_eq!(report.output, kept);
        }
    });
}

#[test]
fn a_source_that_only_fails_waits() {
    within("failures only", || {
        let mut next = 0u64;
        let failures = source::generate(move || {
            next += 1;
            (next <= 5_000).then_some(Err::<u64, _>("no"))
        });
        let report = Pipeline::extract(failures)
            .shed(Shed::oldest().holding(3))
            .memory_budget(Bytes::new(64))
            .on_error(OnError::skip())
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert_eq!((report.totals().skipped, report.totals().shed), (5_000, 0));
    });
}

#[test]
fn letters_do_not_pile_up_before_a_slow_store() {
    within("a slow store of what is shed", || {
        const HOLDING: usize = 5;
        let (given, open) = (AtomicU64::new(0), bounded::<()>(0));
        let (hold, gate) = open;
        let items = source::generate(|| {
            let item = given.fetch_add(1, Ordering::Relaxed);
            (item < 300).then_some(Ok::<_, Infallible>(item))
        });
        let (mut stored, mut hold) = (0u64, Some(hold));
        let slow = store::from_fn(|letter: DeadLetter<u64, Infallible>| {
            std::thread::sleep(Duration::from_millis(1));
            stored += 1;
            // In the store, in its queue, in the intake, in the stage, and in the source's hands.
            let out = given.load(Ordering::Relaxed) - stored;
            if hold.is_some() && out > 2 * HOLDING as u64 + 4 {
                return Err(format!("{out} are under way at {letter:?}"));
            }
            if stored == 200 {
                drop(hold.take());
            }
            Ok(())
        });
        let report = Pipeline::extract(items)
            .shed(Shed::newest().holding(HOLDING).to(slow))
            .window(1)
            .morsel_items(1)
            .inspect(|_| {
                let _ = gate.recv_timeout(LIMIT);
            })
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert!(report.totals().shed >= 200);
    });
}

#[test]
fn a_store_of_what_is_shed_that_fails_ends_the_run() {
    within("a store of what is shed that fails", || {
        let jam = Jam::new();
        let error = Pipeline::extract(jam.source(0..100u64))
            .shed(Shed::oldest().holding(3).to(store::from_fn(|_| {
                let _ = jam.open.0.try_send(());
                Err("disk full")
            })))
            .window(1)
            .morsel_items(1)
            .inspect(|item| jam.hold(*item == 0))
            .count()
            .run()
            .unwrap_err();
        assert!(format!("{error:?}").contains("disk full"), "{error:?}");
        assert_balanced(error.report().unwrap());
    });
}

/// Lets a jam go and panics when it is dropped, if it is armed.
struct Bomb(u64, Option<Sender<()>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(open) = self.1.take() {
            let _ = open.try_send(());
            std::panic::panic_any(format!("planned, in the drop of {}", self.0));
        }
    }
}

#[test]
fn a_drop_that_panics_ends_the_run_with_its_accounts_in_order() {
    within("bombs", || {
        for (oldest, heavy, gone) in [(false, 8, 5..=5), (true, 8, 1..=1), (true, 20, 1..=3)] {
            let jam = Jam::new();
            let open = jam.open.0.clone();
            // Those that are shed go off: one, or, for a heavy one, several at once.
            let shed_count = gone.clone().count() as u64;
            let bombs = (0..=5u64).map(move |item| Bomb(item, gone.contains(&item).then(|| open.clone())));
            let error = Pipeline::extract(jam.source(bombs))
                .shed(shed(oldest))
                .weigh_by(move |bomb: &Bomb| if bomb.0 == 5 { heavy } else { 8 })
                .memory_budget(Bytes::new(40))
                .window(1)
                .morsel_items(1)
                .map(|mut bomb: Bomb| {
                    bomb.1 = None;
                    jam.hold(bomb.0 == 0);
                    bomb.0
                })
                .count()
                .run()
                .unwrap_err();
            assert!(format!("{error:?}").contains("planned"), "{error:?}");
            let report = error.report().unwrap();
            assert_balanced(report);
            assert_eq!(report.totals().shed, shed_count);
        }
    });
}

#[test]
fn a_run_that_sheds_drains_and_is_cancelled_as_any_other() {
    within("drain and cancel", || {
        for (drains, threads, which) in (0..8).map(|shape| (shape % 2 == 0, 1 + shape / 2 % 2, shape / 4)) {
            let (pool, token, mut gone) = (pool(threads), CancelToken::new(), Vec::new());
            let stopper = token.clone();
            let ran = Pipeline::extract(source::waiting(0u64..))
                .shed(shed(which == 1).holding(20).to(&mut gone))
                .pool(&pool)
                .cancel_token(&token)
                .ordered()
                .for_each(move |item| match item {
                    0..2_000 => {}
                    _ if drains => stopper.drain(),
                    _ => stopper.cancel(),
                })
                .run();
            let report = match ran {
                Ok(report) => report,
                Err(error) => {
                    assert!(error.is_cancelled(), "{error:?}");
                    error.report().unwrap().clone()
                }
            };
            assert_balanced(&report);
            assert!(report.drained || !drains);
            assert!(!drains || report.totals().lost == 0);
            assert_eq!(report.totals().shed, gone.len() as u64, "what was counted as shed is stored");
        }
    });
}

#[test]
fn shedding_does_not_hide_a_stall() {
    within("a stall while items are shed", || {
        let (said, hear) = bounded(1);
        let run = Pipeline::extract(source::waiting(0u64..))
            .shed(Shed::oldest().holding(5))
            .watchdog(Watchdog::after(Duration::from_millis(300), move |stall| drop(said.try_send(stall.clone()))))
            .window(4);
        // Nobody asks for the items until the watchdog has noticed.
        let mut items = run.into_iter();
        let stall = hear.recv_timeout(LIMIT).expect("nothing moves, and nobody says so");
        assert!(stall.to_string().contains("nothing has moved"), "{stall}");
        assert!(items.next().is_some());
    });
}

#[test]
fn what_cannot_shed_is_refused() {
    let never = Pipeline::extract(0..10u64).shed(Shed::newest()).count().run().unwrap_err();
    assert!(never.is_setting() && never.to_string().contains("source::waiting"), "{never}");
    let folder = tempfile::tempdir().unwrap();
    let stored = Mutex::new(Vec::new());
    let keep = store::from_fn(|item: u64| {
        stored.lock().unwrap().push(item);
        Ok::<_, String>(())
    });
    let kept = Pipeline::extract(source::waiting(0..10u64))
        .shed(Shed::newest())
        .checkpoint(Checkpoint::file(folder.path().join("checkpoint")))
        .store(keep)
        .run()
        .unwrap_err();
    assert!(kept.is_setting() && kept.to_string().contains("checkpoint"), "{kept}");
    let none = Pipeline::extract(source::waiting(0..10u64)).shed(Shed::newest().holding(0)).count().run().unwrap_err();
    assert!(none.is_setting(), "{none}");
}
