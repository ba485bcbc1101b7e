//! What waits is not stuck: a watchdog says nothing of it.

use crate::support::{assert_balanced, in_a_quiet_moment, within};
use crossbeam_channel::bounded;
use gristmill::prelude::*;
use gristmill::source::TimedOut;
use gristmill::testing::Simulation;
use gristmill::{Checkpoint, Stalled, Watchdog, store};
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(50);
const LONGER: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(20);

/// What a watchdog says.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Said {
    fn after(&self, limit: Duration) -> Watchdog<'_> {
        Watchdog::after(limit, |stall| self.0.lock().unwrap().push(stall.to_string()))
    }

    #[track_caller]
    fn nothing(self) {
        assert_eq!(self.0.into_inner().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn items_that_wait_for_a_known_time_are_not_stuck() {
    within("waiting in virtual time", || {
        // Virtual time costs something as well: each millisecond is looked at.
        let short = Duration::from_millis(100);
        for (seed, blocking) in (0..20).map(|seed| (seed, seed % 2 == 0)) {
            let (said, failed) = (Said::default(), AtomicU32::new(0));
            let rate = RateLimit::per_second(1.0);
            let breaker = Breaker::new().window(1).open_for(30 * short).probes(1);
            // One fails twice: it waits for its backoff, then for the breaker, then for the rate.
            let call = |item: u32| match item {
                3 if failed.fetch_add(1, Ordering::Relaxed) < 2 => Err("down"),
                _ => Ok(item),
            };
            let retry = Retry::constant(3, 40 * short);
            let pipeline = Pipeline::extract(0..8u32).watchdog(said.after(short)).ordered();
            let simulation = Simulation::new(seed);
            let report = if blocking {
                let stage = pipeline.try_map_blocking(2, call).retry(retry).breaker(&breaker).rate_limit(&rate);
                simulation.run(stage.collect::<Vec<_>>())
            } else {
                let stage = pipeline.try_map(call).retry(retry).breaker(&breaker).rate_limit(&rate);
                simulation.run(stage.collect::<Vec<_>>())
            }
            .unwrap();
            assert_balanced(&report);
            assert!(report.output.into_iter().eq(0..8));
            assert!(report.elapsed > 80 * short, "{:?}", report.elapsed);
            said.nothing();
        }
    });
}

#[test]
fn a_store_in_its_backoff_is_not_stuck() {
    within("the backoff of a store", || {
        in_a_quiet_moment(|| {
            let (said, failed) = (Said::default(), AtomicBool::new(false));
            let fails = |item| item == 5 && !failed.swap(true, Ordering::Relaxed);
            let keep = store::from_fn(|item: u32| if fails(item) { Err("busy") } else { Ok(()) });
            let run = Pipeline::extract(0..10u32).watchdog(said.after(SHORT)).store(keep);
            let report = run.retry(Retry::constant(2, LONGER)).run().unwrap();
            assert_eq!(report.totals().stored, 10);
            let said = said.0.into_inner().unwrap();
            if said.is_empty() { Ok(()) } else { Err(format!("{said:?}")) }
        });
    });
}

#[test]
fn a_store_that_hangs_after_its_backoff_is_named_with_its_item() {
    within("a store that hangs after its backoff", || {
        let (said, hear) = bounded(8);
        let (attempts, is_named) = (AtomicU32::new(0), AtomicBool::new(false));
        let named = Stalled::Stage { stage: "store".into(), first: 5, items: 5 };
        let keep = store::from_fn(|item: u32| match item {
            5 if attempts.fetch_add(1, Ordering::Relaxed) == 0 => Err("busy"),
            5 => {
                // What it says before may be of a machine that is busy with other things.
                let mut said = std::iter::from_fn(|| hear.recv_timeout(LIMIT).ok());
                is_named.store(said.any(|what| what == named), Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        });
        Pipeline::extract(0..10u32)
            .morsel_items(10)
            .watchdog(Watchdog::after(SHORT, move |stall| drop(said.try_send(stall.what.clone()))))
            .store(keep)
            .retry(Retry::constant(2, SHORT))
            .run()
            .unwrap();
        assert!(is_named.into_inner());
    });
}

/// Gives one item, and nothing more until so much virtual time has gone by; ends after a last call.
struct Quiet<F> {
    given: bool,
    monitor: Monitor,
    until: Duration,
    then: Option<F>,
}

impl<F: FnOnce() + Send> Source for Quiet<F> {
    type Item = u32;
    type Error = Infallible;

    fn pull(&mut self) -> Option<Result<u32, Infallible>> {
        unreachable!("the engine gives it a limit")
    }

    fn pull_within(&mut self, _: Duration) -> Result<Option<Result<u32, Infallible>>, TimedOut> {
        if !std::mem::replace(&mut self.given, true) {
            return Ok(Some(Ok(1)));
        }
        if self.monitor.snapshot().is_none_or(|report| report.elapsed < self.until) {
            return Err(TimedOut);
        }
        self.then.take().map_or(Ok(None), |then| {
            then();
            Ok(None)
        })
    }
}

#[test]
fn items_that_wait_for_a_place_are_not_stuck() {
    within("waiting for a place", || {
        for (seed, blocking) in (0..6).map(|seed| (seed, seed % 2 == 0)) {
            let (said, place, monitor) = (Said::default(), ConcurrencyLimit::new(1), Monitor::new());
            let (inside, entered) = bounded(0);
            let (open, gate) = bounded::<()>(1);
            std::thread::scope(|scope| {
                // Another run has the place.
                let other = Pipeline::extract(0..1u32).map_blocking(1, move |item| {
                    inside.send(()).unwrap();
                    gate.recv_timeout(LIMIT).unwrap();
                    item
                });
                let other = other.concurrency_limit(&place);
                let other = scope.spawn(move || other.count().run().unwrap());
                entered.recv_timeout(LIMIT).unwrap();
                // It has given the place back before virtual time goes on: that runs as fast as it likes meanwhile.
                let then = Some(move || {
                    open.send(()).unwrap();
                    other.join().unwrap();
                });
                let until = Duration::from_millis(300);
                let quiet = Quiet { given: false, monitor: monitor.clone(), until, then };
                let waiting = Pipeline::extract(quiet).monitor(&monitor).watchdog(said.after(SHORT));
                let simulation = Simulation::new(seed);
                let ran = if blocking {
                    simulation.run(waiting.map_blocking(2, |item| item).concurrency_limit(&place).count())
                } else {
                    simulation.run(waiting.map(|item| item).concurrency_limit(&place).count())
                };
                assert_eq!(ran.unwrap().output, 1);
            });
            said.nothing();
        }
    });
}

#[test]
fn dead_letters_that_wait_for_a_checkpoint_are_not_stuck() {
    within("letters held back", || {
        for seed in 0..6 {
            let (said, monitor, folder) = (Said::default(), Monitor::new(), tempfile::tempdir().unwrap());
            let until = Duration::from_secs(5);
            let quiet = Quiet { given: false, monitor: monitor.clone(), until, then: Some(|| {}) };
            let mut rejected = Vec::new();
            let run = Pipeline::extract(quiet)
                .try_map(|_| Err::<u32, _>("no"))
                .on_error(OnError::dead_letter(&mut rejected))
                .checkpoint(Checkpoint::file(folder.path().join("checkpoint")).every(2 * until))
                .watchdog(said.after(Duration::from_secs(1)))
                .monitor(&monitor)
                .store(store::from_fn(|_: u32| Ok::<_, String>(())));
            Simulation::new(seed).run(run).unwrap();
            assert_eq!(rejected.len(), 1);
            said.nothing();
        }
    });
}

#[test]
fn what_stands_still_after_a_wait_is_said() {
    within("a stall after a wait", || {
        let (said, hear) = bounded(1);
        let failed = AtomicBool::new(false);
        let mut items = Pipeline::extract(0..100u32)
            .morsel_items(1)
            .window(4)
            .watchdog(Watchdog::after(SHORT, move |stall| drop(said.try_send(stall.to_string()))))
            .try_map(
                move |item| if item == 0 && !failed.swap(true, Ordering::Relaxed) { Err("busy") } else { Ok(item) },
            )
            .retry(Retry::constant(2, SHORT))
            .ordered()
            .into_iter();
        // Nobody asks for an item until the watchdog has noticed.
        let said = hear.recv_timeout(LIMIT).expect("it is blind");
        assert!(said.contains("nothing has moved"), "{said}");
        assert_eq!(items.next().map(Result::unwrap), Some(0));
    });
}
