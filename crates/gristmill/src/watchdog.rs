//! Saying what takes too long.

use crate::error::{Error, ErrorKind};
use crate::report::Report;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Watches a run for stages that take too long over an item, and for a run in which nothing moves.
///
/// Set it with [`Pipeline::watchdog`](crate::Pipeline::watchdog). It costs one short lock for each morsel.
///
/// What waits for a time that is known, or in line for a rate, a place or a breaker, is not stuck; nor is a source that has
/// nothing to give. Once such a wait is over, the limit counts from there.
///
/// # Examples
///
/// ```
/// use gristmill::{Watchdog, prelude::*};
/// use std::{sync::Mutex, time::Duration};
///
/// let said = Mutex::new(Vec::new());
/// let is_said = || said.lock().unwrap().iter().any(|stall: &String| stall.contains("stage `lookup`"));
/// Pipeline::extract(0..3)
///     .watchdog(Watchdog::after(Duration::from_millis(20), |stall| said.lock().unwrap().push(stall.to_string())))
///     .map_blocking(1, |number| {
///         while number == 1 && !is_said() {
///             std::thread::sleep(Duration::from_millis(1)); // it takes too long
///         }
///         number
///     })
///     .named("lookup")
///     .count()
///     .run()?;
/// assert!(is_said());
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Watchdog<'env> {
    limit: Duration,
    say: Arc<dyn Fn(&Stall) + Send + Sync + 'env>,
    aborts: bool,
}

impl fmt::Debug for Watchdog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("limit", &self.limit).field("aborts", &self.aborts).finish_non_exhaustive()
    }
}

impl<'env> Watchdog<'env> {
    /// Calls `say` once for each stall that lasts longer than `limit`: from a worker, or from the thread that called
    /// `run`, so it should not wait for long. A panic in it aborts the run.
    pub fn after(limit: Duration, say: impl Fn(&Stall) + Send + Sync + 'env) -> Self {
        Watchdog { limit, say: Arc::new(say), aborts: false }
    }

    /// Also aborts the run at the first stall: `run` returns an error that names it. What runs is waited for, as nobody
    /// can end a function that does not return; everything else stops.
    pub fn abort(mut self) -> Self {
        self.aborts = true;
        self
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Says it; the error to abort with, if that is asked for.
    pub(crate) fn bark(&self, stall: &Stall) -> Option<Error> {
        (self.say)(stall);
        self.aborts.then(|| Error::new(ErrorKind::Stalled { message: stall.to_string() }))
    }
}

/// Something that has taken too long, and still does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stall {
    /// What it is.
    pub what: Stalled,
    /// For how long.
    pub running: Duration,
    /// What the run had done when it was seen.
    pub report: Report,
}

/// What has stalled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stalled {
    /// A thread is in a stage, and does not come out.
    Stage {
        /// The stage; of stages that are fused into one loop, the first.
        stage: String,
        /// The position of the first item that the thread went in with.
        first: u64,
        /// How many they were: one, if items are slow.
        items: usize,
    },
    /// Something is in flight, nothing has moved, and nothing waits for a time that is yet to come.
    Pipeline {
        /// How many morsels are in flight.
        morsels: usize,
    },
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Stalled::Stage { stage, first, items: 1 } => write!(f, "stage `{stage}` is busy with item {first}")?,
            Stalled::Stage { stage, first, items } => {
                write!(f, "stage `{stage}` is busy with one of {items} items, from item {first} on")?;
            }
            Stalled::Pipeline { morsels } => write!(f, "nothing has moved, with {morsels} morsels in flight")?,
        }
        write!(f, ", for {:.1} s now", self.running.as_secs_f64())
    }
}
