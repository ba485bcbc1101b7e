//! How many threads a blocking stage has, also while it runs.

use crate::tuner::Bounds;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many threads a blocking stage has.
///
/// Clones are the same number: give one to [`map_blocking`](crate::Pipeline::map_blocking) and keep one to change it while
/// the run goes on. A plain number will do for one that never changes.
///
/// A thread that is not wanted any more ends its call and what it has taken along, and sleeps; one that is wanted again is
/// woken, or started if it never was. Both happen within a few milliseconds. If the system refuses to start another thread the
/// run goes on with those that it has.
///
/// # Examples
///
/// ```
/// use gristmill::{Workers, prelude::*};
///
/// let workers = Workers::new(2).up_to(8);
/// let control = workers.clone();
/// let report = Pipeline::extract(0..200u64)
///     .map_blocking(&workers, move |item| {
///         if item == 100 {
///             control.set(6); // From another thread in real life.
///         }
///         item
///     })
///     .named("lookup")
///     .count()
///     .run()?;
/// assert_eq!((report.output, workers.get()), (200, 6));
/// assert!(report.stage("lookup").unwrap().most_workers <= 6);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    wanted: AtomicUsize,
    most: AtomicUsize,
    /// The stage finds the number itself.
    auto: Option<usize>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("wanted", &self.get())
            .field("most", &self.most())
            .field("auto", &self.0.auto.is_some())
            .finish()
    }
}

impl Workers {
    /// So many threads. A run refuses zero, and more than 4,096.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Workers::with(workers, workers, None)
    }

    /// A number that the stage finds itself, within bounds.
    ///
    /// It begins at the lower bound. While items wait for a thread the stage tries more threads, twice as many at first and
    /// later a quarter more, and keeps them if that lets clearly more items pass; otherwise it goes back, and tries
    /// after a while whether fewer would do. Threads that had nothing to do are taken away. It is the hill climbing of
    /// .NET's thread pool (Hellerstein, Morrison and Eilebrecht, 2010), with the stop of feedback-driven threading
    /// (Suleman, Qureshi and Patt, 2008): no more threads than make it faster.
    ///
    /// Give each stage one of its own. What it found is still there for the next run.
    #[must_use]
    pub fn auto(bounds: RangeInclusive<usize>) -> Self {
        let least = (*bounds.start()).max(1);
        Workers::with(least, (*bounds.end()).max(least), Some(least))
    }

    fn with(wanted: usize, most: usize, auto: Option<usize>) -> Self {
        Workers(Arc::new(Inner { wanted: AtomicUsize::new(wanted), most: AtomicUsize::new(most), auto }))
    }

    /// The most threads that there may ever be: to be said before the run begins, as the
    /// [window](crate::Pipeline::window) is large enough for so many.
    ///
    /// # Default
    ///
    /// As many as at the beginning, so that there can only be fewer.
    #[must_use]
    pub fn up_to(self, most: usize) -> Self {
        self.0.most.store(most, Relaxed);
        self.0.wanted.fetch_min(most, Relaxed);
        self
    }

    /// Changes the number, for all stages that share it; at least one, and no more than [`up_to`](Workers::up_to) allows. A
    /// stage that finds its number itself goes on from there.
    pub fn set(&self, workers: usize) {
        self.0.wanted.store(workers.min(self.most()).max(1), Relaxed);
    }

    /// Changes the number if it is still what it was: for a stage that finds it itself, and is not to undo what somebody
    /// has set meanwhile.
    pub(crate) fn shift(&self, from: usize, to: usize) {
        let to = to.min(self.most()).max(1);
        // If it is another by now the stage goes on from there.
        let _ = self.0.wanted.compare_exchange(from, to, Relaxed, Relaxed);
    }

    /// How many threads are wanted.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.wanted.load(Relaxed)
    }

    /// The most that there may be.
    pub(crate) fn most(&self) -> usize {
        self.0.most.load(Relaxed)
    }

    /// Between how many the stage is to find the number, if it is to.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        self.0.auto.map(|least| Bounds { least, most: self.most() })
    }
}

impl From<usize> for Workers {
    fn from(workers: usize) -> Self {
        Workers::new(workers)
    }
}

impl From<&Workers> for Workers {
    fn from(workers: &Workers) -> Self {
        workers.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_meanwhile_is_not_undone() {
        let workers = Workers::new(2).up_to(6);
        workers.shift(2, 4);
        assert_eq!(workers.get(), 4);
        workers.shift(2, 1);
        assert_eq!(workers.get(), 4);
        workers.shift(4, 9);
        assert_eq!(workers.get(), 6);
    }

    #[test]
    fn a_number_stays_between_one_and_the_most() {
        let workers = Workers::new(4).up_to(6);
        let numbers = [0, 3, 6, 7, usize::MAX].map(|number| {
            workers.set(number);
            workers.get()
        });
        assert_eq!(numbers, [1, 3, 6, 6, 6]);
        assert_eq!(Workers::new(4).up_to(2).get(), 2);
        let plain = Workers::new(3);
        plain.set(9);
        assert_eq!(plain.get(), 3);
        let auto = Workers::auto(0..=0);
        assert_eq!((auto.get(), auto.most()), (1, 1));
    }
}
