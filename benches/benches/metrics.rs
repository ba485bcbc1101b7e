//! What always-on metrics cost: all that the engine measures and counts for one morsel.
//!
//! A morsel carries about 100 µs of work, so one per cent of a run is about 1 µs a morsel. The second group is that work:
//! a morsel of 16,384 integers through a pipeline that does nothing to them, the shortest there is.

use criterion::{Criterion, criterion_group, criterion_main};
use gristmill::MorselBookkeeping;
use gristmill::prelude::*;
use std::hint::black_box;

/// Integers in a morsel of the cheapest items.
const MORSEL: u64 = 16_384;

fn bookkeeping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics of one morsel");
    for fused in [1, 3] {
        let books = MorselBookkeeping::new(fused);
        group.bench_function(format!("{fused} fused"), |bencher| bencher.iter(|| books.record(black_box(MORSEL))));
    }
    group.finish();
}

fn work(criterion: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread can be had");
    criterion.bench_function("64 morsels of trivial items", |bencher| {
        bencher.iter(|| {
            let mut sum = 0u64;
            let items = Pipeline::extract(0..64 * MORSEL).pool(&pool).map(black_box).ordered();
            items.for_each(|item| sum = sum.wrapping_add(item)).run().expect("nothing fails");
            sum
        });
    });
}

criterion_group!(benches, bookkeeping, work);
criterion_main!(benches);
