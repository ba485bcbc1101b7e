//! A source, a per-worker state and a store of one's own: `cargo run --example custom_stage`.
//!
//! A sensor is read until it is unplugged, each worker smooths what it gets with a buffer that it keeps, and a logbook
//! keeps the results. Each of the three is told how the run ended, whatever happened.
#![allow(clippy::print_stdout, reason = "it is a program: this is how it speaks")]

use gristmill::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A source: yields bursts of measurements, and now and then fails.
struct Sensor {
    bursts: u32,
}

impl Source for Sensor {
    type Item = Vec<u32>;
    type Error = String;

    /// The next burst, or why there is none; `None` when the sensor is unplugged. A failure is that of one item: by the
    /// policy below the run goes on, and so does the sensor.
    fn pull(&mut self) -> Option<Result<Vec<u32>, String>> {
        self.bursts = self.bursts.checked_sub(1)?;
        if self.bursts.is_multiple_of(100) {
            return Some(Err(format!("burst {} was too noisy", self.bursts)));
        }
        Some(Ok((0..64).map(|at| (self.bursts * 31 + at * 17) % 101).collect()))
    }

    // This one only computes, so no thread need wait for it. One that reads a device leaves this out.
    fn may_wait(&self) -> bool {
        false
    }

    // A burst owns memory; with this the budget below knows how much.
    fn weigher() -> Option<fn(&Vec<u32>) -> usize> {
        Some(Weight::weight)
    }
}

/// What each worker keeps: a buffer that is used again and again, and a count.
#[derive(Default)]
struct Smoother {
    sorted: Vec<u32>,
    bursts: usize,
}

impl Smoother {
    /// The median, for which the buffer is sorted.
    fn median(&mut self, burst: &[u32]) -> u32 {
        self.sorted.clear();
        self.sorted.extend_from_slice(burst);
        self.sorted.sort_unstable();
        self.bursts += 1;
        self.sorted[self.sorted.len() / 2]
    }
}

/// A store: counts how often each median came, and must be closed.
struct Logbook {
    counts: [u64; 101],
    closed: Option<Outcome>,
}

impl Store<u32> for Logbook {
    type Error = String;

    fn store(&mut self, median: u32) -> Result<(), String> {
        let count = self.counts.get_mut(median as usize).ok_or_else(|| format!("{median} is out of range"))?;
        *count += 1;
        Ok(())
    }

    /// Called once, whatever happened: here a real one would sync its file, or remove it.
    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        self.closed = Some(outcome);
        Ok(())
    }
}

fn main() -> Result<(), gristmill::Error> {
    let mut logbook = Logbook { counts: [0; 101], closed: None };
    let mut failures = Vec::new();
    let (states, smoothed) = (AtomicUsize::new(0), AtomicUsize::new(0));

    // Source, closures and stores borrow from this function: `run` is a scope.
    let report = Pipeline::extract(Sensor { bursts: 5_000 })
        .named("sensor")
        .on_error(OnError::dead_letter(&mut failures))
        .map_init(
            // One state a worker, made when it first needs one. It may fail to be made, which aborts the run.
            || {
                states.fetch_add(1, Ordering::Relaxed);
                Ok::<_, String>(Smoother::default())
            },
            |smoother, burst| smoother.median(&burst),
        )
        .named("smooth")
        .on_finish(|smoother, outcome| {
            assert_eq!(outcome, Outcome::Completed);
            smoothed.fetch_add(smoother.bursts, Ordering::Relaxed);
        })
        .memory_budget(Bytes::kib(256))
        .store(&mut logbook)
        .named("logbook")
        .run()?;

    println!("{report}");
    // The same on one thread, by hand.
    let mut expected = [0; 101];
    let mut sensor = Sensor { bursts: 5_000 };
    let mut smoother = Smoother::default();
    while let Some(burst) = sensor.pull() {
        if let Ok(burst) = burst {
            expected[smoother.median(&burst) as usize] += 1;
        }
    }
    assert_eq!(logbook.counts, expected);
    assert_eq!(logbook.closed, Some(Outcome::Completed));
    assert_eq!((report.totals().stored, report.totals().dead, failures.len()), (4_950, 50, 50));
    assert_eq!(smoothed.into_inner(), 4_950, "each burst went through one state");
    assert!(states.into_inner() <= report.pool_threads, "never more states than workers");
    Ok(())
}
