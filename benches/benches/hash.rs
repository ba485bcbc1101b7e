//! Checksums of a small tree and of one file: what the stages of `gristmill-hashing` cost, beside a plain loop.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill::Pipeline;
use gristmill_hashing::{Algorithm, Buffer, Files};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

/// Files below 64 KiB, and some that are hashed in pieces.
const SMALL: usize = 200;
const LARGE_BYTES: usize = 20 << 20;

fn make_tree() -> (PathBuf, u64) {
    let root = std::env::temp_dir().join(format!("gristmill-bench-hash-{}", std::process::id()));
    fs::create_dir_all(&root).expect("a temporary directory");
    let mut bytes = 0;
    for index in 0..SMALL + 2 {
        let len = if index < SMALL { 4_096 + index * 300 } else { LARGE_BYTES };
        fs::write(root.join(format!("{index:03}")), vec![index as u8; len]).expect("room for a small tree");
        bytes += len as u64;
    }
    (root, bytes)
}

fn plain_loop(root: &Path, algorithm: Algorithm) -> u64 {
    let hash = |entry: std::io::Result<fs::DirEntry>| {
        algorithm.hash(&fs::read(entry.expect("an entry").path()).expect("a file")).as_bytes()[0] as u64
    };
    fs::read_dir(root).expect("the tree").map(hash).sum()
}

fn gristmill(root: &Path, algorithm: Algorithm) -> u64 {
    let report = Pipeline::extract(Files::walk([root], algorithm))
        .try_map_init(|| Ok::<_, Infallible>(Buffer::new()), |buffer, task| task.hash(buffer))
        .count()
        .run();
    report.expect("nothing fails").output
}

fn trees(criterion: &mut Criterion) {
    let (root, bytes) = make_tree();
    for algorithm in Algorithm::ALL {
        let mut group = criterion.benchmark_group(format!("{} of a tree", algorithm.name()));
        group.throughput(Throughput::Bytes(bytes)).sample_size(20);
        group.bench_function("sequential", |bencher| bencher.iter(|| plain_loop(&root, algorithm)));
        group.bench_function("gristmill", |bencher| bencher.iter(|| gristmill(&root, algorithm)));
        group.finish();
    }
    fs::remove_dir_all(root).expect("the tree is ours");
}

criterion_group!(benches, trees);
criterion_main!(benches);
