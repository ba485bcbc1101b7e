//! The contenders: gristmill, its peers, and what one would write by hand.
//!
//! Each is a function that does one [`Job`] and returns the checksum its sink folded. Where a
//! contender has stages, the three transforms of a `three` case are three stages with `workers`
//! threads each; the others run the three in a row in one worker, which is what one would write
//! with them and costs them less. Workers are the threads for the transform: the contenders made
//! of threads and channels have others for the source and the sink, the pools of rayon and fgumi
//! do all there is to do.

mod batch;
mod crossbeam_batch;
mod crossbeam_item;
mod fgumi;
mod gristmill;
mod olympipe;
mod pariter;
mod rayon_bridge;
mod rayon_vec;
mod reorder;
mod sequential;
mod tokio;

use std::fmt;

use crate::case::{Case, Order};
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// The name of the contender all results are checked against.
pub const SEQUENTIAL: &str = "sequential";

/// The name of the contender that holds everything in memory, the ceiling for the others.
pub const RAYON_VEC: &str = "rayon-vec";

/// One way to run a job.
#[derive(Clone, Copy)]
pub struct Contender {
    /// The name in the output.
    pub name: &'static str,
    /// Runs a job and returns what the sink folded.
    pub run: fn(&Job, &Resources) -> Fold,
    /// Whether it gets as many items as the others.
    pub pace: Pace,
}

/// Whether a contender gets as many items as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As many as the grain says.
    Full,
    /// At most 200000: it pays a microsecond for every item whatever the work is.
    Slow,
}

const SLOW_ITEMS: u64 = 200_000;

const fn full(name: &'static str, run: fn(&Job, &Resources) -> Fold) -> Contender {
    Contender { name, run, pace: Pace::Full }
}

const fn slow(name: &'static str, run: fn(&Job, &Resources) -> Fold) -> Contender {
    Contender { name, run, pace: Pace::Slow }
}

/// Every contender, in the order of the output.
pub const CONTENDERS: [Contender; 10] = [
    full("gristmill", gristmill::run),
    full(SEQUENTIAL, sequential::run),
    full(RAYON_VEC, rayon_vec::run),
    full("rayon-bridge", rayon_bridge::run),
    full("crossbeam-item", crossbeam_item::run),
    full("crossbeam-batch", crossbeam_batch::run),
    slow("pariter", pariter::run),
    full("olympipe", olympipe::run),
    full("fgumi", fgumi::run),
    slow("tokio", tokio::run),
];

/// What all contenders have to fold: the checksum of the plain loop.
#[must_use]
pub fn run_sequential(job: &Job, resources: &Resources) -> Fold {
    sequential::run(job, resources)
}

impl Contender {
    /// The contender of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        CONTENDERS.into_iter().find(|contender| contender.name == name)
    }

    /// The items a full run of `case` has.
    #[must_use]
    pub fn items(&self, case: &Case) -> u64 {
        match self.pace {
            Pace::Full => case.grain.items,
            Pace::Slow => case.grain.items.min(SLOW_ITEMS),
        }
    }

    /// Why this contender is left out of `case`, if it is.
    #[must_use]
    pub fn exclusion(&self, case: &Case) -> Option<&'static Exclusion> {
        EXCLUSIONS.iter().find(|exclusion| exclusion.contender == self.name && exclusion.covers(case))
    }
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Cases a contender cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The contender.
    pub contender: &'static str,
    /// The order of the cases.
    pub order: Order,
    /// The fewest workers of the cases.
    pub min_workers: usize,
    /// What it lacks.
    pub reason: &'static str,
}

/// Everything that is left out, with the reason.
pub const EXCLUSIONS: [Exclusion; 3] = [
    Exclusion {
        contender: "rayon-bridge",
        order: Order::Ordered,
        min_workers: 1,
        reason: "par_bridge does not keep the order of its iterator",
    },
    Exclusion {
        contender: "pariter",
        order: Order::Unordered,
        min_workers: 1,
        reason: "parallel_map always restores source order",
    },
    Exclusion {
        contender: "olympipe",
        order: Order::Ordered,
        min_workers: 2,
        reason: "a task keeps the order with a single worker only",
    },
];

impl Exclusion {
    fn covers(&self, case: &Case) -> bool {
        self.order == case.order && self.min_workers <= case.workers
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not in {} cases", self.contender, self.order)?;
        if self.min_workers > 1 {
            write!(f, " with {} or more workers", self.min_workers)?;
        }
        write!(f, ": {}", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;

    #[test]
    fn every_contender_does_every_case_it_is_not_left_out_of() {
        let calibration = case::calibrate();
        for case in Case::all() {
            let job = Job::new(&case, 300, &calibration);
            let resources = Resources::new(case.workers);
            let expected = sequential::run(&job, &resources);
            for contender in CONTENDERS.iter().filter(|c| c.exclusion(&case).is_none()) {
                let seen = (contender.run)(&job, &resources);
                assert_eq!(seen.check(expected), Ok(()), "{} at {case}", contender.name);
            }
        }
    }

    #[test]
    fn exclusions_name_contenders() {
        assert!(EXCLUSIONS.iter().all(|exclusion| Contender::named(exclusion.contender).is_some()));
    }

    #[test]
    fn jobs_of_no_items_and_of_one_end() {
        let calibration = case::calibrate();
        let cheap = Case::all().filter(|case| case.grain.ns == 0);
        for (case, items) in cheap.flat_map(|case| [(case, 0), (case, 1)]) {
            let job = Job::new(&case, items, &calibration);
            let resources = Resources::new(case.workers);
            let expected = sequential::run(&job, &resources);
            for contender in CONTENDERS.iter().filter(|c| c.exclusion(&case).is_none()) {
                let seen = (contender.run)(&job, &resources);
                assert_eq!(seen.check(expected), Ok(()), "{} at {case}", contender.name);
            }
        }
    }
}
