//! gristmill itself.

use gristmill::prelude::*;

use crate::case::{Order, Stages};
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// A pipeline with a `map` for each stage on a pool of `workers` threads.
pub(super) fn run(job: &Job, resources: &Resources) -> Fold {
    let mut fold = job.fold();
    let work = job.work;
    let source = Pipeline::extract(0..job.items).pool(resources.pool());
    let one = source.map(move |item| work.apply(item));
    match (job.stages, job.order) {
        (Stages::One, Order::Ordered) => {
            one.ordered().for_each(|item| fold.push(item)).run().expect("nothing fails");
        }
        (Stages::One, Order::Unordered) => {
            one.unordered().for_each(|item| fold.push(item)).run().expect("nothing fails");
        }
        (Stages::Three, Order::Ordered) => {
            one.map(move |item| work.apply(item))
                .map(move |item| work.apply(item))
                .ordered()
                .for_each(|item| fold.push(item))
                .run()
                .expect("nothing fails");
        }
        (Stages::Three, Order::Unordered) => {
            one.map(move |item| work.apply(item))
                .map(move |item| work.apply(item))
                .unordered()
                .for_each(|item| fold.push(item))
                .run()
                .expect("nothing fails");
        }
    }
    fold
}
