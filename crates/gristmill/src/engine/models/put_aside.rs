//! Items put aside, in a pipeline like any other: its workers, its gate, its end, with threads that loom interleaves.
//!
//! What is parked has to be taken up, by somebody, once; and the segment must not close before that. A worker parks, ticks
//! say that something is due, another takes it up, and the last one out closes.

use super::super::shared::Shared;
use super::super::simulate::Script;
use super::super::{Below, Driver, Engine, Hands, Life, work_until_idle};
use crate::pipeline::Pipeline;
use crate::retry::Retry;
use loom::thread;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A second: longer than any wait here.
const SECOND: u64 = 1_000_000_000;
/// Ticks after which everything must have come to its end.
const LAST_TICKS: usize = 6;

/// A thread of the pool, or that of the caller of `run`. The workers it is to start it runs itself, when it is free.
struct Hand {
    engine: Arc<Engine<'static>>,
    owed: AtomicUsize,
}

impl Hand {
    fn new(engine: &Arc<Engine<'static>>) -> Self {
        Hand { engine: Arc::clone(engine), owed: AtomicUsize::new(0) }
    }

    fn driver(&self) -> Driver<'_, 'static> {
        Driver { hands: Hands::Model(&self.owed), engine: &self.engine }
    }

    /// As the caller of `run` does: until the run is over.
    fn tick(&self) {
        if self.engine.shared.is_over() {
            return;
        }
        self.engine.shared.clock.advance(SECOND);
        self.engine.tick(self.driver());
    }

    fn work(&self) {
        while self.owed.load(Relaxed) > 0 {
            self.owed.fetch_sub(1, Relaxed);
            // As if in the middle of an item: it spins for nobody, and looks at no clock but the run's.
            while work_until_idle(self.driver(), Below::Item) == Life::GoesOn {}
        }
    }
}

/// Runs `items` numbers, each of which fails once, in morsels of `morsel`.
fn all_are_tried_again(items: u64, morsel: usize, ordered: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let director = thread::Builder::new().stack_size(1 << 16).spawn(move || direct(items, morsel, ordered));
        director.unwrap().join().unwrap();
    });
}

fn direct(items: u64, morsel: usize, ordered: bool) {
    let tries = Arc::new(AtomicUsize::new(0));
    let stored = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (counted, seen) = (Arc::clone(&tries), Arc::clone(&stored));
    let run = Arc::new(OnceLock::<Arc<Shared>>::new());
    let (looked, late) = (Arc::clone(&run), Arc::new(AtomicUsize::new(0)));
    let came_late = Arc::clone(&late);
    let pipeline = Pipeline::extract(0..items)
        .try_map(move |item| if counted.fetch_add(1, Relaxed) < items as usize { Err("not yet") } else { Ok(item) })
        .retry(Retry::constant(1 + items as u32, Duration::from_millis(1)).jitter(false))
        .morsel_items(morsel);
    let pipeline = if ordered { pipeline.ordered() } else { pipeline };
    let mut script = Script::new(1);
    script.workers = 2;
    let store = move |item| {
        seen.lock().push(item);
        came_late.fetch_add(usize::from(looked.get().is_some_and(|run| run.is_over())), Relaxed);
    };
    let plan = pipeline.for_each(store).plan_simulated(&Arc::new(script)).unwrap();
    assert!(run.set(Arc::clone(&plan.shared)).is_ok());
    let engine = Arc::new(Engine { shared: plan.shared, nodes: plan.nodes, quiet: plan.quiet, watchdog: None });
    let hands = [Hand::new(&engine), Hand::new(&engine)];
    let [first, second] = hands;
    let other = thread::Builder::new().stack_size(1 << 16).spawn(move || {
        second.driver().notify();
        second.work();
        second.tick();
        second.work();
    });
    first.driver().notify();
    first.work();
    other.unwrap().join().unwrap();
    for _ in 0..LAST_TICKS {
        first.tick();
        first.work();
    }
    assert!(engine.shared.is_over(), "the run does not end");
    assert_eq!(engine.shared.crew.active(), 0);
    assert_eq!(late.load(Relaxed), 0, "stored after the end was closed");
    let mut stored = stored.lock().clone();
    if !ordered {
        stored.sort_unstable();
    }
    assert_eq!(stored, (0..items).collect::<Vec<_>>());
    assert_eq!(tries.load(Relaxed), 2 * items as usize);
}

#[test]
fn one_morsel_with_two_items_aside() {
    all_are_tried_again(2, 2, false);
}

#[test]
fn two_morsels_aside_at_once() {
    all_are_tried_again(2, 1, true);
}
