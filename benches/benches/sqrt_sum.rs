//! Sums of roots under criterion: every kernel alone, and every contender on all cores.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::workloads::sqrt_sum::{CONTENDERS, Job};
use gristmill_sqrt_sum::{Kernel, RootSum};
use std::hint::black_box;

/// Few, as criterion iterates.
const INTEGERS: u64 = 4_000_000;

fn kernels(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sqrt-sum on one core");
    group.throughput(Throughput::Elements(INTEGERS)).sample_size(20);
    for kernel in Kernel::available() {
        group.bench_function(kernel.name(), |bencher| {
            bencher.iter(|| RootSum::of_range(kernel, black_box(1..INTEGERS + 1)));
        });
    }
    group.finish();
}

fn contenders(criterion: &mut Criterion) {
    let job = Job::Integers(Kernel::detect(), 1..INTEGERS + 1);
    let mut group = criterion.benchmark_group("sqrt-sum");
    group.throughput(Throughput::Elements(INTEGERS)).sample_size(20);
    for (name, add) in CONTENDERS {
        group.bench_function(name, |bencher| {
            bencher.iter(|| add(black_box(&job)).expect("integers have roots"));
        });
    }
    group.finish();
}

criterion_group!(benches, kernels, contenders);
criterion_main!(benches);
