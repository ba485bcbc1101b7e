//! Threads and bounded channels by hand, a batch of items a message.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::batch::batches;
use super::reorder::Reorder;
use crate::case::Order;
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// Batches each of the two channels holds for each worker.
const BATCHES_PER_WORKER: usize = 8;

/// A batch and its place in the source.
type Message = (u64, Vec<u64>);

/// One source thread, `workers` worker threads that transform batches in place, the sink on the
/// caller's thread.
pub(super) fn run(job: &Job, _: &Resources) -> Fold {
    let capacity = BATCHES_PER_WORKER * job.workers;
    let (source, todo) = bounded(capacity);
    let (done, results) = bounded(capacity);
    thread::scope(|scope| {
        scope.spawn(move || read(job, &source));
        for _ in 0..job.workers {
            let (todo, done) = (todo.clone(), done.clone());
            scope.spawn(move || work(job, &todo, &done));
        }
        drop((todo, done));
        sink(job, &results)
    })
}

fn read(job: &Job, source: &Sender<Message>) {
    for message in (0..).zip(batches(job.items)) {
        if source.send(message).is_err() {
            return;
        }
    }
}

fn work(job: &Job, todo: &Receiver<Message>, done: &Sender<Message>) {
    for (index, mut batch) in todo {
        for item in &mut batch {
            *item = job.transform(*item);
        }
        if done.send((index, batch)).is_err() {
            return;
        }
    }
}

fn sink(job: &Job, results: &Receiver<Message>) -> Fold {
    let mut fold = job.fold();
    let mut reorder = Reorder::new();
    for (index, batch) in results {
        match job.order {
            Order::Ordered => reorder.push(index, batch, |batch| fold.extend(batch)),
            Order::Unordered => fold.extend(batch),
        }
    }
    fold
}
