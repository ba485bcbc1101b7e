//! Memory is bounded by bytes: what tests count themselves, not what the report says.

use crate::support::{assert_balanced, hash, pool, within};
use gristmill::prelude::*;
use gristmill::{source, store};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// Counts the bytes of the blobs that live.
#[derive(Debug, Default)]
struct Scales {
    now: AtomicUsize,
    peak: AtomicUsize,
}

#[derive(Debug)]
struct Blob {
    bytes: usize,
    scales: Arc<Scales>,
}

impl Blob {
    fn new(bytes: usize, scales: &Arc<Scales>) -> Self {
        let now = scales.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
        scales.peak.fetch_max(now, Ordering::SeqCst);
        Blob { bytes, scales: Arc::clone(scales) }
    }
}

impl Clone for Blob {
    fn clone(&self) -> Self {
        Blob::new(self.bytes, &self.scales)
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        self.scales.now.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

const BUDGET: usize = 100_000;

/// Sizes from one byte to ten times the budget, mostly small.
fn size(item: u64) -> usize {
    match hash(item) % 100 {
        0 => BUDGET * 10,
        1..=3 => BUDGET,
        4..=20 => BUDGET / 7,
        _ => 1 + (hash((item, "small")) % 500) as usize,
    }
}

fn stalling_store() -> impl Store<Blob> {
    let mut stored = 0;
    store::from_fn(move |blob: Blob| {
        stored += 1;
        if stored % 50 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(blob);
        Ok::<(), String>(())
    })
}

#[test]
fn a_stalled_store_does_not_let_memory_grow_beyond_the_budget() {
    within("stalled store", || {
        for threads in [1, 2, 8] {
            for ordered in [false, true] {
                for waiting in [false, true] {
                    let scales = Arc::new(Scales::default());
                    let pool = pool(threads);
                    let items = (0..2_000).map({
                        let scales = Arc::clone(&scales);
                        move |item| Blob::new(size(item), &scales)
                    });
                    macro_rules! finish {
                        ($pipeline:expr) => {{
                            let pipeline = $pipeline
                                .weigh_by(|blob| blob.bytes)
                                .pool(&pool)
                                .memory_budget(Bytes::new(BUDGET))
                                .map(|blob| blob)
                                .weigh_by(|blob| blob.bytes);
                            let pipeline = if ordered { pipeline.ordered() } else { pipeline };
                            pipeline.store(stalling_store()).run().unwrap()
                        }};
                    }
                    let report = if waiting {
                        finish!(Pipeline::extract(source::waiting(items)))
                    } else {
                        finish!(Pipeline::extract(items))
                    };
                    assert_balanced(&report);
                    let what = format!("{threads} threads, ordered {ordered}, waiting {waiting}");
                    assert_eq!(report.totals().stored, 2_000, "{what}");
                    // The budget, plus the one item that the source has made and that waits to be let in.
                    let one = BUDGET * 10;
                    assert!(scales.peak.load(Ordering::SeqCst) <= BUDGET.max(one) + one, "{what}: {scales:?}");
                    assert!(report.peak_bytes <= BUDGET.max(one), "{what}: {}", report.peak_bytes);
                }
            }
        }
    });
}

#[test]
fn without_giants_the_peak_stays_within_the_budget_and_one_item() {
    within("no giants", || {
        for threads in [1, 2, 8] {
            let scales = Arc::new(Scales::default());
            let pool = pool(threads);
            let report = Pipeline::extract((0..5_000u64).map({
                let scales = Arc::clone(&scales);
                move |item| Blob::new(size(item).min(BUDGET / 7), &scales)
            }))
            .weigh_by(|blob| blob.bytes)
            .pool(&pool)
            .memory_budget(Bytes::new(BUDGET))
            .store(stalling_store())
            .run();
            let report = report.unwrap();
            assert_balanced(&report);
            let peak = scales.peak.load(Ordering::SeqCst);
            assert!(peak <= BUDGET + BUDGET / 7, "{threads} threads: {peak}");
        }
    });
}

#[test]
fn growth_is_learned_so_that_the_peak_fits() {
    within("growth", || {
        for threads in [1, 2, 8] {
            let scales = Arc::new(Scales::default());
            let pool = pool(threads);
            let grown = Arc::clone(&scales);
            let report = Pipeline::extract(0..3_000u64)
                .pool(&pool)
                .memory_budget(Bytes::new(BUDGET))
                .map(move |_| Blob::new(2_000, &grown))
                .weigh_by(|blob| blob.bytes)
                .ordered()
                .store(stalling_store())
                .run()
                .unwrap();
            assert_balanced(&report);
            let peak = scales.peak.load(Ordering::SeqCst);
            assert!(peak <= BUDGET + 2_000, "{threads} threads: {peak}");
        }
    });
}

#[test]
fn open_batches_count_and_are_let_go_rather_than_hang() {
    within("batches larger than the budget", || {
        for waiting in [false, true] {
            for window in [1, 32] {
                let scales = Arc::new(Scales::default());
                let items = (0..1_000).map({
                    let scales = Arc::clone(&scales);
                    move |_| Blob::new(1_000, &scales)
                });
                macro_rules! finish {
                    ($pipeline:expr) => {
                        $pipeline
                            .weigh_by(|blob| blob.bytes)
                            .memory_budget(Bytes::new(20_000))
                            .window(window)
                            .batch(1_000_000)
                            .ordered()
                            .store(store::from_fn(|batch: Vec<Blob>| {
                                assert!(batch.len() <= 25);
                                Ok::<(), String>(())
                            }))
                            .run()
                            .unwrap()
                    };
                }
                let report = if waiting {
                    finish!(Pipeline::extract(source::waiting(items)))
                } else {
                    finish!(Pipeline::extract(items))
                };
                assert_balanced(&report);
                assert_eq!(report.totals().extracted, 1_000);
                let peak = scales.peak.load(Ordering::SeqCst);
                assert!(peak <= 20_000 + 1_000, "waiting {waiting}, window {window}: {peak}");
            }
        }
    });
}

#[test]
fn a_batch_may_need_more_items_than_the_window_holds() {
    within("batch beyond the window", || {
        let report =
            Pipeline::extract(0..10_000u64).window(1).morsel_items(3).ordered().batch(5_000).collect::<Vec<_>>().run();
        assert_eq!(report.unwrap().output.iter().map(Vec::len).collect::<Vec<_>>(), [5_000, 5_000]);
    });
}

#[test]
fn a_budget_that_cannot_be_kept_is_refused() {
    let error = Pipeline::extract(0..10u32)
        .map(|number| number.to_string())
        .named("print")
        .memory_budget(Bytes::mib(1))
        .count()
        .run()
        .unwrap_err();
    assert!(error.is_setting());
    let message = error.to_string();
    assert!(message.contains("memory_budget") && message.contains("print") && message.contains("String"), "{message}");
    let weighed = Pipeline::extract(0..10u32).map(|number| number.to_string()).weigh().memory_budget(Bytes::mib(1));
    assert_eq!(weighed.count().run().unwrap().output, 10);
}

#[test]
fn dead_letters_that_wait_for_their_store_are_charged() {
    within("heavy dead letters", || {
        let scales = Arc::new(Scales::default());
        let dead = store::from_fn(|_: DeadLetter<Blob, &str>| {
            std::thread::sleep(Duration::from_micros(300));
            Ok::<(), String>(())
        });
        let report = Pipeline::extract((0..500).map(|_| Blob::new(1_000, &scales)))
            .weigh_by(|blob: &Blob| blob.bytes)
            .memory_budget(Bytes::new(10_000))
            .try_map(|_| Err::<u64, _>("no"))
            .on_error(OnError::dead_letter(dead))
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert_eq!(report.totals().dead, 500);
        let peak = scales.peak.load(Ordering::SeqCst);
        // The budget, the copy that a failing worker makes before it is charged, and the item under way beside it.
        assert!(peak <= 10_000 + 2 * 1_000 * rayon::current_num_threads(), "{peak}");
    });
}

#[test]
fn items_that_come_of_nothing_are_foreseen() {
    within("items that come of nothing", || {
        let report = Pipeline::extract(std::iter::repeat_n((), 500))
            .map(|()| vec![0u8; 1 << 16])
            .weigh()
            .memory_budget(Bytes::kib(512))
            .ordered()
            .store(store::from_fn(|_| {
                std::thread::sleep(Duration::from_micros(100));
                Ok::<(), String>(())
            }))
            .run()
            .unwrap();
        assert!(report.peak_bytes <= (512 << 10) + (1 << 16) + 24, "{}", report.peak_bytes);
    });
}

#[test]
fn a_weigher_may_say_anything() {
    within("absurd weights", || {
        for weight in [0, 1, usize::MAX / 2, usize::MAX] {
            for budget in [1, 1 << 20, usize::MAX] {
                let report = Pipeline::extract(0..300u64)
                    .weigh_by(move |_| weight)
                    .memory_budget(Bytes::new(budget))
                    .map(|item| item)
                    .weigh_by(move |_| weight)
                    .batch(7)
                    .collect::<Vec<_>>()
                    .run()
                    .unwrap();
                assert_balanced(&report);
                assert_eq!(report.output.concat().len(), 300);
            }
        }
    });
}

#[test]
fn without_a_budget_a_source_on_a_thread_does_not_run_ahead() {
    within("a source that runs ahead", || {
        for seed in 0..10 {
            let (stored, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let items = (0..300usize).inspect(|pulled| {
                most.fetch_max(pulled - stored.load(Ordering::Relaxed), Ordering::Relaxed);
            });
            let pipeline = Pipeline::extract(source::waiting(items)).morsel_items(1).window(4).map(|item| item);
            let end = pipeline.for_each(|_| {
                stored.fetch_add(1, Ordering::Relaxed);
            });
            gristmill::testing::Simulation::new(seed).run(end).unwrap();
            // The window, the intake, and what is between: a few morsels of one item.
            let most = most.into_inner();
            assert!(most <= 30, "seed {seed}: {most} of 300 items ahead of the store");
        }
    });
}

#[test]
fn what_is_expected_to_grow_so_much_need_not_go_alone_first() {
    within("two first items that meet", || {
        for waits in [false, true] {
            let pool = pool(2);
            // Neither of the first two goes on before the other is there.
            let both = Barrier::new(2);
            let meet = |item: u64| {
                if item < 2 {
                    both.wait();
                }
                item
            };
            macro_rules! count {
                ($source:expr) => {{
                    let numbers = Pipeline::extract($source).map(meet).morsel_items(1).pool(&pool);
                    numbers.memory_budget(Bytes::kib(1)).expected_growth(1.0).count().run().unwrap().output
                }};
            }
            let count = if waits { count!(source::waiting(0..100)) } else { count!(0..100) };
            assert_eq!(count, 100);
        }
    });
}
