//! A serial iterator bridged into rayon.

use rayon::prelude::*;

use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// Workers take items from the iterator under a lock and fold what they take; `par_bridge` cannot
/// keep the order, so there are no ordered cases.
pub(super) fn run(job: &Job, resources: &Resources) -> Fold {
    resources.pool().install(|| {
        (0..job.items)
            .par_bridge()
            .map(|item| job.transform(item))
            .fold(|| job.fold(), push)
            .reduce(|| job.fold(), Fold::merge)
    })
}

fn push(mut fold: Fold, item: u64) -> Fold {
    fold.push(item);
    fold
}
