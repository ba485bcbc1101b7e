//! Scaling a small clip, under criterion.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::contest::Failure;
use gristmill_benches::workloads::frames::{Checksum, Job, gristmill, rayon, sequential, threads};

const FRAMES: u64 = 60;

fn frames(criterion: &mut Criterion) {
    let folder = std::env::temp_dir().join("gristmill-bench-frames");
    let job = Job::prepare(&folder, 320, 180, FRAMES).expect("the clip is made");
    let entrants: [(&str, fn(&Job) -> Result<Checksum, Failure>); 4] =
        [("sequential", sequential), ("threads", threads), ("rayon", rayon), ("gristmill", gristmill)];
    let expected = sequential(&job).expect("the clip is read");
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Elements(FRAMES)).sample_size(10);
    for (name, run) in entrants {
        assert_eq!(run(&job).expect("the clip is read"), expected, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| run(&job)));
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
