//! The `pariter` crate.

use pariter::IteratorExt;

use crate::case::Stages;
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// An iterator with a `parallel_map` for each stage, which always restores source order. Channels
/// hold what they do by default: two items a worker.
pub(super) fn run(job: &Job, _: &Resources) -> Fold {
    match job.stages {
        Stages::One => sink(job, stage(job, 0..job.items)),
        Stages::Three => sink(job, stage(job, stage(job, stage(job, 0..job.items)))),
    }
}

fn stage(job: &Job, items: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    let (work, workers) = (job.work, job.workers);
    items.parallel_map_custom(move |map| map.threads(workers), move |item| work.apply(item))
}

fn sink(job: &Job, items: impl Iterator<Item = u64>) -> Fold {
    let mut fold = job.fold();
    fold.extend(items);
    fold
}
