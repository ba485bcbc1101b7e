//! Counting words in small, under criterion.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::data::make;
use gristmill_benches::data::words::Text;
use gristmill_benches::workloads::words::{self, Mode};

const BYTES: u64 = 8 << 20;

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("words.txt");
    let text = Text { bytes: BYTES, vocabulary: 20_000, seed: 1 };
    make(&path, |out| text.write(out)).expect("the input is made");
    for mode in [Mode::Ascii, Mode::Unicode] {
        let mut group = criterion.benchmark_group(format!("words {mode:?}"));
        group.throughput(Throughput::Bytes(BYTES)).sample_size(10);
        group.bench_function("gristmill", |bencher| bencher.iter(|| words::gristmill(&path, mode).expect("counts")));
        group.bench_function("sequential", |bencher| bencher.iter(|| words::sequential(&path, mode).expect("counts")));
        group.bench_function("threads", |bencher| bencher.iter(|| words::threads(&path, mode).expect("counts")));
        group.bench_function("rayon", |bencher| bencher.iter(|| words::rayon(&path, mode).expect("counts")));
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
