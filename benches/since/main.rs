//! The same pipelines with two versions of the library, `old` and `new`, alternating. See `run`.

use std::hint::black_box;
use std::time::Instant;

/// A pipeline: what it is made of, blocks of eight steps of arithmetic an item, and items.
type Case = (&'static str, u32, u64);

/// With no block an item takes a nanosecond, with 7 some 60, with 70 a microsecond.
const CASES: [Case; 11] = [
    ("ordered", 0, 20_000_000),
    ("unordered", 0, 20_000_000),
    ("try", 0, 20_000_000),
    ("fold", 0, 20_000_000),
    ("blocking", 0, 10_000_000),
    ("ordered", 7, 4_000_000),
    ("ordered", 70, 400_000),
    ("unordered", 70, 400_000),
    ("three", 70, 200_000),
    ("blocking", 70, 400_000),
    ("ordered", 700, 40_000),
];

fn step(x: u64) -> u64 {
    (x ^ (x >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn block(x: u64) -> u64 {
    (0..8).fold(x, |x, _| step(x))
}

#[inline(never)]
fn work(blocks: u32, item: u64) -> u64 {
    (0..blocks).fold(step(item.wrapping_add(1)), |x, _| block(x))
}

macro_rules! library {
    ($library:ident) => {
        mod $library {
            use super::work;
            use ::$library::prelude::*;
            use std::io;

            /// Runs a pipeline; gives a checksum of what came out.
            pub fn run((kind, _, items): super::Case, blocks: u32, pool: &rayon::ThreadPool) -> u64 {
                let mut sum = 0_u64;
                let source = Pipeline::extract(0..items).pool(pool);
                let apply = move |item| work(blocks, item);
                let fallible = move |item| match item {
                    u64::MAX => Err(io::Error::other("no such item")),
                    item => Ok(work(blocks, item)),
                };
                let plus = |sum: &mut u64, item: u64| *sum = sum.wrapping_add(item);
                if kind == "fold" {
                    return source.map(apply).fold(|| 0, plus, |sum, other| plus(sum, other)).run().unwrap().output;
                }
                if kind == "ordered" {
                    let fold = |item| sum = sum.wrapping_mul(31).wrapping_add(item);
                    source.map(apply).ordered().for_each(fold).run().unwrap();
                    return sum;
                }
                let add = |item| plus(&mut sum, item);
                match kind {
                    "three" => drop(source.map(apply).map(apply).map(apply).for_each(add).run().unwrap()),
                    "try" => drop(source.try_map(fallible).for_each(add).run().unwrap()),
                    "blocking" => drop(source.map_blocking(2, apply).for_each(add).run().unwrap()),
                    _ => drop(source.map(apply).for_each(add).run().unwrap()),
                }
                sum
            }
        }
    };
}

library!(old);
library!(new);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().unwrap_or_default();
    let rounds = arguments.next().map_or(5, |rounds| rounds.parse().expect("ROUNDS is a number"));
    for case in CASES.into_iter().filter(|(kind, ..)| kind.contains(&wanted)) {
        for workers in [1, 2] {
            compare(case, workers, rounds);
        }
    }
}

fn compare(case: Case, workers: usize, rounds: usize) {
    let (kind, blocks, items) = case;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().expect("a pool starts");
    let run_old = || timed(items, || old::run(case, black_box(blocks), &pool));
    let run_new = || timed(items, || new::run(case, black_box(blocks), &pool));
    let pairs: Vec<[f64; 2]> = (0..=rounds)
        .map(|round| {
            // Each goes first in every other round.
            let ((before, was), (now, is)) = if round % 2 == 0 {
                let old = run_old();
                (old, run_new())
            } else {
                let new = run_new();
                (run_old(), new)
            };
            assert_eq!(was, is, "{kind}: both give the same");
            [before, now]
        })
        .skip(1) // cold
        .collect();
    let [before, now] = [0, 1].map(|which| median(pairs.iter().map(|pair| pair[which])));
    let ratio = median(pairs.iter().map(|[before, now]| now / before));
    println!("{kind} {blocks} blocks, w{workers}\t{before}\t{now}\t{}", (ratio - 1.0) * 100.0);
}

/// Nanoseconds an item, and what came out.
fn timed(items: u64, run: impl FnOnce() -> u64) -> (f64, u64) {
    let start = Instant::now();
    let sum = run();
    (start.elapsed().as_secs_f64() * 1e9 / items as f64, sum)
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
