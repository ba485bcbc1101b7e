//! The plain loop.

use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// Reads, transforms and folds in one thread.
pub(super) fn run(job: &Job, _: &Resources) -> Fold {
    let mut fold = job.fold();
    for item in 0..job.items {
        fold.push(job.transform(item));
    }
    fold
}
