//! The One Billion Row Challenge in small, under criterion.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::data::brc::{CITIES, Measurements};
use gristmill_benches::data::make;
use gristmill_benches::workloads::brc;

const ROWS: u64 = 1_000_000;

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("measurements.txt");
    let measurements = Measurements { rows: ROWS, stations: CITIES, seed: 1 };
    make(&path, |out| measurements.write(out)).expect("the input is made");
    let mut group = criterion.benchmark_group("brc");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    group.bench_function("gristmill", |bencher| bencher.iter(|| brc::gristmill(&path).expect("an answer")));
    group.bench_function("sequential", |bencher| bencher.iter(|| brc::sequential(&path).expect("an answer")));
    group.bench_function("threads", |bencher| bencher.iter(|| brc::threads(&path).expect("an answer")));
    group.bench_function("rayon", |bencher| bencher.iter(|| brc::rayon(&path).expect("an answer")));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
