//! Threads and bounded channels by hand, one item a message.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::reorder::Reorder;
use crate::case::Order;
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// Messages each of the two channels holds.
const CAPACITY: usize = 1024;

/// An item and its place in the source.
type Message = (u64, u64);

/// One source thread, `workers` worker threads, the sink on the caller's thread.
pub(super) fn run(job: &Job, _: &Resources) -> Fold {
    let (source, todo) = bounded(CAPACITY);
    let (done, results) = bounded(CAPACITY);
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
    for item in 0..job.items {
        if source.send((item, item)).is_err() {
            return;
        }
    }
}

fn work(job: &Job, todo: &Receiver<Message>, done: &Sender<Message>) {
    for (index, item) in todo {
        if done.send((index, job.transform(item))).is_err() {
            return;
        }
    }
}

fn sink(job: &Job, results: &Receiver<Message>) -> Fold {
    let mut fold = job.fold();
    let mut reorder = Reorder::new();
    for (index, item) in results {
        match job.order {
            Order::Ordered => reorder.push(index, item, |item| fold.push(item)),
            Order::Unordered => fold.push(item),
        }
    }
    fold
}
