//! Thumbnails of photographs in memory: what one costs, and what the stages add to a plain loop.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill::Pipeline;
use gristmill_benches::data::photos::generated;
use gristmill_image_resize::{Format, Options, Resizer, Size};
use std::hint::black_box;

const PHOTOS: u64 = 8;

fn one(criterion: &mut Criterion) {
    let photo = generated(Size::new(1_632, 1_224), 1).expect("a photograph");
    let mut group = criterion.benchmark_group("thumbnail of 2 megapixels");
    group.throughput(Throughput::Elements(1_632 * 1_224)).sample_size(20);
    for format in Format::ALL {
        let mut resizer = Resizer::new(&Options::new(256).format(format)).expect("options that can be");
        group.bench_function(format!("as {format}"), |bencher| {
            bencher.iter(|| black_box(resizer.resize(&photo).expect("a photograph").bytes.len()));
        });
    }
    group.finish();
}

fn several(criterion: &mut Criterion) {
    let photos: Vec<Vec<u8>> =
        (0..PHOTOS).map(|seed| generated(Size::new(800, 600), seed).expect("a photograph")).collect();
    let options = Options::new(256);
    let mut group = criterion.benchmark_group("thumbnails of 8 photographs");
    group.throughput(Throughput::Elements(PHOTOS)).sample_size(20);
    group.bench_function("sequential", |bencher| {
        let mut resizer = Resizer::new(&options).expect("options that can be");
        bencher.iter(|| {
            let sizes = photos.iter().map(|photo| resizer.resize(photo).expect("a photograph").bytes.len());
            sizes.sum::<usize>()
        });
    });
    group.bench_function("gristmill", |bencher| {
        bencher.iter(|| {
            let run = Pipeline::extract(photos.iter())
                .try_map_init(
                    || Resizer::new(&options),
                    |resizer, photo: &Vec<u8>| resizer.resize(photo).map(|thumbnail| thumbnail.bytes.len()),
                )
                .fold(|| 0, |sum, bytes| *sum += bytes, |sum: &mut usize, more| *sum += more)
                .run();
            run.expect("nothing fails").output
        });
    });
    group.finish();
}

criterion_group!(benches, one, several);
criterion_main!(benches);
