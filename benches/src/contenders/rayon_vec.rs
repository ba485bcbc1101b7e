//! Everything in memory: the ceiling for contenders that stream.

use rayon::prelude::*;

use crate::case::Order;
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// Collects the source, transforms it in parallel, then folds: serially if order matters, in
/// parallel if it does not. The three maps of a three-stage case would fuse into the one here.
pub(super) fn run(job: &Job, resources: &Resources) -> Fold {
    let source: Vec<u64> = (0..job.items).collect();
    match job.order {
        Order::Ordered => ordered(job, &source, resources),
        Order::Unordered => unordered(job, &source, resources),
    }
}

fn ordered(job: &Job, source: &[u64], resources: &Resources) -> Fold {
    let transform = || source.par_iter().map(|&item| job.transform(item)).collect::<Vec<_>>();
    let mut fold = job.fold();
    fold.extend(resources.pool().install(transform));
    fold
}

fn unordered(job: &Job, source: &[u64], resources: &Resources) -> Fold {
    resources.pool().install(|| {
        source.par_iter().map(|&item| job.transform(item)).fold(|| job.fold(), push).reduce(|| job.fold(), Fold::merge)
    })
}

fn push(mut fold: Fold, item: u64) -> Fold {
    fold.push(item);
    fold
}
