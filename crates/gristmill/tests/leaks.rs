//! Runs leave no thread and no memory behind. Alone in its process, so that only its own threads are counted.

#![allow(missing_docs)]

use gristmill::prelude::*;
use gristmill::{source, store};

/// A number from `/proc/self/status`.
fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn short_run(round: u64) {
    let result = Pipeline::extract(source::waiting(0..50u64))
        .try_map_blocking(2, move |item| if item == 40 && round % 3 == 0 { Err("no") } else { Ok(item) })
        .batch(7)
        .store(store::from_fn(|_| Ok::<(), String>(())))
        .run();
    assert_eq!(result.is_err(), round % 3 == 0);
}

fn dropped_iterator(round: u64) {
    let taken = (round * 7_919 % 3_000) as usize;
    let pipeline = Pipeline::extract(0u64..).map(|item| item + 1).map_blocking(2, |item| item * 2);
    let pipeline = if round % 2 == 0 { pipeline.ordered() } else { pipeline };
    let got: Vec<u64> = pipeline.into_iter().take(taken).map(Result::unwrap).collect();
    assert_eq!(got.len(), taken);
}

#[test]
fn threads_and_memory_do_not_pile_up_over_many_runs() {
    (0..300).for_each(short_run);
    (0..50).for_each(dropped_iterator);
    let (threads, kib) = (status("Threads:"), status("VmRSS:"));
    (0..2_000).for_each(short_run);
    (0..300).for_each(dropped_iterator);
    assert_eq!(status("Threads:"), threads, "a thread was left behind");
    let grown = status("VmRSS:").saturating_sub(kib);
    assert!(grown < 2_048, "memory grew by {grown} KiB over 2,300 runs");
}
