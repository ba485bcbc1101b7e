//! The `olympipe-rs` crate.

use olympipe_rs::Pipeline;

use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// A `task` for each stage, with packets of up to 64 items between them as by default. A task of
/// several workers sends on what is done first, so ordered cases exist with one worker only.
pub(super) fn run(job: &Job, _: &Resources) -> Fold {
    let (work, workers) = (job.work, job.workers);
    let source = Pipeline::new(0..job.items);
    let transformed =
        (0..job.stages.count()).fold(source, |pipeline, _| pipeline.task(move |item| work.apply(item), workers));
    let mut fold = job.fold();
    transformed.for_each(|item| fold.push(item));
    fold
}
