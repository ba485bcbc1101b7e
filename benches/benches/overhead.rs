//! What an item costs, under criterion: a few cases and contenders of `compare`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::case::{self, Case};
use gristmill_benches::contenders::Contender;
use gristmill_benches::job::Job;
use gristmill_benches::resources::Resources;

/// Cases and the items one iteration has: fewer than in `compare`, as criterion iterates.
const CASES: [(&str, u64); 2] = [("0ns ordered w2", 100_000), ("1us ordered w2", 10_000)];

const CONTENDERS: [&str; 4] = ["gristmill", "sequential", "rayon-vec", "crossbeam-batch"];

fn overhead(criterion: &mut Criterion) {
    let calibration = case::calibrate();
    for (name, items) in CASES {
        let case = Case::named(name).expect("the case exists");
        bench_case(criterion, &case, &Job::new(&case, items, &calibration));
    }
}

fn bench_case(criterion: &mut Criterion, case: &Case, job: &Job) {
    let resources = Resources::new(job.workers);
    let mut group = criterion.benchmark_group(case.to_string());
    group.throughput(Throughput::Elements(job.items)).sample_size(20);
    for contender in CONTENDERS.into_iter().filter_map(Contender::named) {
        group.bench_function(contender.name, |bencher| {
            bencher.iter(|| (contender.run)(black_box(job), &resources));
        });
    }
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
