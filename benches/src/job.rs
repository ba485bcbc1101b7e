//! One run of one case.

use crate::case::{Case, Order, Stages};
use crate::fold::Fold;
use crate::work::{Calibration, Work};

/// What a contender has to do: read `0..items`, transform, fold.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// How many integers the source has.
    pub items: u64,
    /// One transform.
    pub work: Work,
    /// How many transforms follow one another.
    pub stages: Stages,
    /// Whether the sink needs source order.
    pub order: Order,
    /// Threads for the transform.
    pub workers: usize,
}

impl Job {
    /// The job of `case` with `items` items.
    #[must_use]
    pub fn new(case: &Case, items: u64, calibration: &Calibration) -> Self {
        Self {
            items,
            work: case.grain.work(calibration),
            stages: case.grain.stages,
            order: case.order,
            workers: case.workers,
        }
    }

    /// All stages one after the other, for contenders that have no stages of their own.
    #[must_use]
    #[inline]
    pub fn transform(&self, item: u64) -> u64 {
        match self.stages {
            Stages::One => self.work.apply(item),
            Stages::Three => self.work.apply(self.work.apply(self.work.apply(item))),
        }
    }

    /// An empty checksum for the sink of this job.
    #[must_use]
    pub fn fold(&self) -> Fold {
        Fold::new(self.order)
    }
}
