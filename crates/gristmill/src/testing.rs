//! Testing pipelines: the same run again and again, in another order each time.
//!
//! A [`Simulation`] runs a pipeline on one thread, with a clock of its own, in an order that follows from a seed: which
//! worker does the next step, when a source or a store gets its turn, where a thread loses its core. Closures can ask it
//! for faults. A seed that fails fails again, so a race that needs a thousand runs to show needs one to be understood.

use crate::engine::Script;
use crate::error::Error;
use crate::pipeline::{Run, Terminal};
use crate::report::Report;
use std::sync::Arc;
use std::time::Duration;

/// One run, played by a seed.
///
/// Clones are the same simulation, so closures and stores of the pipeline can hold one and ask it for faults.
///
/// Everything happens on one thread at a time, in virtual time, sources, stores and blocking stages included, so none of
/// them should really wait: on the calling thread, and while a closure [pauses](Simulation::pause) on others. Not simulated: [`into_iter`](crate::Pipeline::into_iter), and what
/// closures do on threads of their own, a rayon call inside a stage among them.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill::testing::Simulation;
///
/// for seed in 0..50 {
///     let simulation = Simulation::new(seed);
///     let faults = simulation.clone();
///     let report = simulation.run(
///         Pipeline::extract(0..100u64)
///             .try_map(move |number| if faults.chance(0.1) { Err("flaky") } else { Ok(number) })
///             .on_error(OnError::skip())
///             .map_blocking(3, |number| number * 2)
///             .ordered()
///             .collect::<Vec<_>>(),
///     )?;
///     assert!(report.output.is_sorted(), "seed {seed}");
///     assert_eq!(report.output.len() as u64 + report.totals().skipped, 100, "seed {seed}");
/// }
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Simulation(Arc<Script>);

/// What a closure unwinds with when it has crashed the run.
#[derive(Debug)]
struct Crash;

impl Simulation {
    /// The simulation of a seed: one to four workers, and more or fewer interruptions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Simulation(Arc::new(Script::new(seed)))
    }

    /// Crashes the run at its `event`-th event, as kill -9 would: nothing is closed, flushed or finished, and
    /// [`run`](Simulation::run) returns an error for which [`is_crash`](Error::is_crash) holds. The values of the
    /// pipeline are still dropped. A run that ends before is not crashed.
    #[must_use]
    pub fn crash_at(self, event: u64) -> Self {
        self.0.crash_at.store(event, std::sync::atomic::Ordering::Relaxed);
        self
    }

    /// Runs a pipeline.
    ///
    /// # Errors
    ///
    /// As [`Run::run`]; also when the run was crashed, and when it hangs: [`is_hang`](Error::is_hang).
    pub fn run<'env, T, K>(&self, run: Run<'env, T, K>) -> Result<Report<K::Output>, Error>
    where
        T: Send + 'env,
        K: Terminal<'env, T>,
    {
        run.run_simulated(&self.0)
    }

    /// A number below `end`, which must not be zero.
    ///
    /// # Panics
    ///
    /// If `end` is zero.
    #[must_use]
    pub fn below(&self, end: usize) -> usize {
        assert!(end > 0, "no number is below zero");
        self.0.below(end)
    }

    /// True with this probability.
    #[must_use]
    pub fn chance(&self, probability: f64) -> bool {
        self.0.chance(probability)
    }

    /// Lets virtual time go by; more than 292 years are taken for as many.
    pub fn sleep(&self, time: Duration) {
        self.0.sleep(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Lets others go on in the middle of a call, until the seed has this one go on: as it is with calls that wait for a
    /// service, and on threads that lose their core. Meanwhile the item keeps all that it was let in with, such as a place
    /// under a [limit](crate::ConcurrencyLimit), and other calls of the same function may begin, and end.
    ///
    /// For what stages, sources and stores call. It goes on at once on threads that closures have started themselves, where
    /// nothing else could go on, and if six calls are paused already. A call that is paused when the run crashes does not go
    /// on: it unwinds.
    ///
    /// # Panics
    ///
    /// If the run has crashed meanwhile; the engine catches it.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::prelude::*;
    /// use gristmill::testing::Simulation;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    /// for seed in 0..50 {
    ///     let simulation = Simulation::new(seed);
    ///     let pauses = simulation.clone();
    ///     let call = |item: u32| {
    ///         most.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
    ///         pauses.pause();
    ///         inside.fetch_sub(1, Relaxed);
    ///         item
    ///     };
    ///     let limit = ConcurrencyLimit::new(2);
    ///     let run = Pipeline::extract(0..20).map_blocking(4, call).concurrency_limit(&limit).count();
    ///     assert_eq!(simulation.run(run)?.output, 20, "seed {seed}");
    /// }
    /// assert_eq!(most.into_inner(), 2); // Two at once, and never three.
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    pub fn pause(&self) {
        self.0.pause();
        if self.0.has_crashed() && !std::thread::panicking() {
            std::panic::resume_unwind(Box::new(Crash));
        }
    }

    /// Crashes the run here: see [`crash_at`](Simulation::crash_at). For the closures and stores of the pipeline.
    ///
    /// # Panics
    ///
    /// Always: that is how it leaves the closure. The engine catches it.
    pub fn crash(&self) -> ! {
        self.0.crash();
        std::panic::resume_unwind(Box::new(Crash))
    }

    /// How many events there have been.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.0.trace().0
    }

    /// A hash of all events: two runs of one seed that did not go the same way differ.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.0.trace().1
    }
}
