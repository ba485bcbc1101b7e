//! Items do not wait for company.

use crate::support::{in_a_quiet_moment, pool, slowness, within};
use gristmill::prelude::*;
use gristmill::{source, store};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A source that bursts, then trickles; the items are the moments at which they were made.
fn trickle() -> impl Iterator<Item = Instant> {
    (0..20_000 + 60).map(|item| {
        if item >= 20_000 {
            std::thread::sleep(between());
        }
        Instant::now()
    })
}

/// The time between two that trickle.
fn between() -> Duration {
    Duration::from_millis(2) * slowness()
}

/// How late the trickled items were stored, worst first.
fn lateness(stored: &[(Instant, Instant)]) -> Vec<Duration> {
    let mut late: Vec<Duration> = stored[20_000..].iter().map(|(made, stored)| *stored - *made).collect();
    late.sort_unstable();
    late.reverse();
    late
}

/// How late a run stores the trickled items, worst first.
fn run_trickle(waiting: bool) -> Vec<Duration> {
    let stored = Mutex::new(Vec::new());
    let pool = pool(2);
    let keep = store::from_fn(|made: Instant| {
        stored.lock().unwrap().push((made, Instant::now()));
        Ok::<(), String>(())
    });
    if waiting {
        Pipeline::extract(source::waiting(trickle())).pool(&pool).map(|made| made).ordered().store(keep).run()
    } else {
        Pipeline::extract(trickle()).pool(&pool).map(|made| made).ordered().store(keep).run()
    }
    .unwrap();
    lateness(&stored.into_inner().unwrap())
}

/// How long it takes to store twenty items, each of which is worked on until the one before is stored.
fn run_in_step() -> Duration {
    let (stored, told) = std::sync::mpsc::channel();
    let told = Mutex::new(told);
    let transform = |item| {
        if item > 0 {
            assert_eq!(told.lock().unwrap().recv(), Ok(item - 1), "what was before is stored");
            // So long that the store sleeps, with nothing left to flush.
            std::thread::sleep(Duration::from_millis(5));
        }
        item
    };
    let (pool, began) = (pool(1), Instant::now());
    let run = Pipeline::extract(0..20).pool(&pool).morsel_items(1).map(transform).ordered();
    run.store(store::from_fn(|item| stored.send(item))).run().unwrap();
    began.elapsed()
}

#[test]
fn a_store_with_a_thread_gets_an_item_while_the_only_worker_is_busy_with_the_next() {
    within("a store that is told late", || {
        in_a_quiet_moment(|| {
            // With a tick for each it takes less than 200 ms in all. A store that looks by itself does so every 50.
            let took = run_in_step();
            if took < Duration::from_millis(500) { Ok(()) } else { Err(format!("{took:?}")) }
        });
    });
}

/// How long it takes to store thirty pairs: the first of each is quick, the second is worked on until the first is stored.
fn run_in_pairs() -> Duration {
    let (stored, told) = std::sync::mpsc::channel();
    let (done, next) = std::sync::mpsc::channel();
    let told = Mutex::new(told);
    let pairs = (0..60u32).inspect(move |item| {
        if *item > 0 && item % 2 == 0 {
            next.recv().expect("the pair before is done");
            // So long that the store sleeps, with nothing left to flush.
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let transform = |item| {
        if item % 2 == 1 {
            let told = told.lock().unwrap();
            while told.recv().expect("the first is stored") != item - 1 {}
            // After the last nobody listens.
            let _ = done.send(());
        }
        item
    };
    let (pool, began) = (pool(1), Instant::now());
    let run = Pipeline::extract(source::waiting(pairs)).pool(&pool).morsel_items(1).map(transform).ordered();
    run.store(store::from_fn(|item| stored.send(item))).run().unwrap();
    began.elapsed()
}

#[test]
fn a_store_with_a_thread_is_told_of_a_quick_item_while_the_only_worker_is_busy_with_a_slow_one() {
    within("a store that is not told", || {
        in_a_quiet_moment(|| {
            // With a tick for each pair it takes less than 300 ms in all. A store that looks by itself does so every 50.
            let took = run_in_pairs();
            if took < Duration::from_millis(800) { Ok(()) } else { Err(format!("{took:?}")) }
        });
    });
}

#[test]
fn a_trickling_source_does_not_leave_items_waiting() {
    within("trickle", || {
        for waiting in [true, false] {
            in_a_quiet_moment(|| {
                let late = run_trickle(waiting);
                // An item that waited for its successor would be as late as that comes, one that waited for a morsel far
                // more. The worst few are left to the machine's own whims.
                if late[20] < between() { Ok(()) } else { Err(format!("waiting source {waiting}: {:?}", &late[..25])) }
            });
        }
    });
}

#[test]
fn a_batch_is_let_go_when_it_is_old() {
    within("old batches", || {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let (seen, batches) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                Pipeline::extract(source::channel(receiver))
                    .batch_within(1_000, Duration::from_millis(5))
                    .for_each(move |batch: Vec<u32>| seen.send(batch).unwrap())
                    .run()
                    .unwrap();
            });
            for item in 0..3 {
                sender.send(item).unwrap();
                let batch = batches.recv_timeout(Duration::from_secs(10)).expect("the batch was never let go");
                assert_eq!(batch, [item]);
            }
            drop(sender);
        });
    });
}

#[test]
fn old_batches_are_let_go_when_the_caller_is_the_only_thread_of_the_pool() {
    within("old batches on a pool of one", || {
        let batches = pool(1).install(|| {
            Pipeline::extract(0..40u64)
                .morsel_items(1)
                .inspect(|_| std::thread::sleep(Duration::from_millis(1)))
                .batch_within(1_000, Duration::from_millis(3))
                .count()
                .run()
                .unwrap()
                .output
        });
        // One by one or a few at a time, but not all at the end.
        assert!(batches > 3, "{batches} batches");
    });
}
