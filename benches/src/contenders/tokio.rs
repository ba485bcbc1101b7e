//! The `tokio` crate's blocking threads behind a `futures` stream.

use futures::future::ready;
use futures::stream::{self, Stream, StreamExt};

use crate::case::Order;
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// Items under way at once for each worker.
const IN_FLIGHT_PER_WORKER: usize = 64;

/// One `spawn_blocking` an item, on at most `workers` threads; the stream puts the results in
/// order, or hands them on as they come.
pub(super) fn run(job: &Job, resources: &Resources) -> Fold {
    let in_flight = IN_FLIGHT_PER_WORKER * job.workers;
    resources.runtime().block_on(async {
        let transform = *job;
        let tasks = stream::iter(0..job.items)
            .map(move |item| tokio::task::spawn_blocking(move || transform.transform(item)))
            .map(async |task| task.await.expect("the transform does not panic"));
        match job.order {
            Order::Ordered => sink(job, tasks.buffered(in_flight)).await,
            Order::Unordered => sink(job, tasks.buffer_unordered(in_flight)).await,
        }
    })
}

async fn sink(job: &Job, items: impl Stream<Item = u64>) -> Fold {
    let mut fold = job.fold();
    items
        .for_each(|item| {
            fold.push(item);
            ready(())
        })
        .await;
    fold
}
