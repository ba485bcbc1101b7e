//! Compression under criterion: every contender on a small file.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill::Bytes;
use gristmill_benches::workloads::compress::{CONTENDERS, Job};
use gristmill_compress::Encoding;
use std::fmt::Write;
use std::fs;
use std::hint::black_box;

fn contenders(criterion: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("gristmill-bench-compress-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is a temporary folder");
    let mut text = String::new();
    for line in 0..100_000u64 {
        writeln!(text, "{line}: {:x}", line.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).expect("a string takes all");
    }
    let (input, output) = (folder.join("input"), folder.join("output"));
    fs::write(&input, &text).expect("the disk has room");
    for encoding in [Encoding::zstd(), Encoding::gzip()] {
        let encoding = encoding.level(1).block(Bytes::kib(128));
        let job = Job { encoding, input: input.clone(), output: output.clone() };
        let mut group = criterion.benchmark_group(format!("compress {}", encoding.format()));
        group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
        for (name, compress) in CONTENDERS {
            group.bench_function(name, |bencher| {
                bencher.iter(|| compress(black_box(&job)).expect("the disk has room"));
            });
        }
        group.finish();
    }
    fs::remove_dir_all(folder).expect("it is there");
}

criterion_group!(benches, contenders);
criterion_main!(benches);
