//! Arithmetic of a known cost.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// One step: a xorshift and a multiplication, each waiting for the one before.
#[inline]
fn step(x: u64) -> u64 {
    (x ^ (x >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Eight steps without a branch among them. A loop of single steps is long enough to be
/// mispredicted at its end or not by chance, which makes short items half as long or twice.
#[inline]
fn block(x: u64) -> u64 {
    step(step(step(step(step(step(step(step(x))))))))
}

/// What the arithmetic takes on this computer.
#[derive(Clone, Debug)]
pub struct Calibration {
    blocks: BTreeMap<u32, u32>,
}

impl Calibration {
    /// Finds how many blocks of steps make items of these lengths.
    #[must_use]
    pub fn measure(lengths_ns: impl IntoIterator<Item = u32>) -> Self {
        let blocks = lengths_ns.into_iter().map(|ns| (ns, find_blocks(ns)));
        Self { blocks: blocks.collect() }
    }

    /// How many blocks of steps make an item of `ns` nanoseconds, none for a single step.
    ///
    /// # Panics
    ///
    /// If that length is not among those measured.
    #[must_use]
    pub fn blocks(&self, ns: u32) -> u32 {
        self.blocks[&ns]
    }
}

/// Searches for the number of blocks that takes `ns` nanoseconds in a loop over items, where a
/// processor starts on the next item before the last one is done.
fn find_blocks(ns: u32) -> u32 {
    if ns == 0 {
        return 0;
    }
    let guess = ns.div_ceil(10);
    (0..4).fold(guess, |blocks, _| scaled(blocks, f64::from(ns) / ns_in_loop(blocks)))
}

/// Nanoseconds an item of so many blocks takes in a loop over items.
fn ns_in_loop(blocks: u32) -> f64 {
    let work = Work::new(blocks, Spread::Even);
    let items = (100_000 / blocks).max(10);
    let source = || 0..black_box(u64::from(items));
    let sum = || source().fold(0, |sum, item| work.apply(item).wrapping_add(sum));
    fastest(10, sum) / f64::from(items)
}

/// `count` times `factor`, rounded; at least one.
fn scaled(count: u32, factor: f64) -> u32 {
    // The cast saturates, and the longest item is some ten thousand blocks.
    ((f64::from(count) * factor).round() as u32).max(1)
}

/// Nanoseconds the fastest of some calls of `f` takes.
fn fastest(trials: u32, f: impl Fn() -> u64) -> f64 {
    let best = (0..trials).map(|_| time(&f)).min().unwrap_or_default();
    best.as_secs_f64() * 1e9
}

/// The time `f` takes.
fn time(f: impl Fn() -> u64) -> Duration {
    let start = Instant::now();
    black_box(f());
    start.elapsed()
}

/// How the cost is spread over the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Every item costs the same.
    Even,
    /// One item in a hundred, picked by a hash of the item, costs a hundred times the others.
    Tail,
}

/// A pure transform of an integer that costs a set number of blocks of steps, or a single step.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    blocks: u32,
    spread: Spread,
}

impl Work {
    const TAIL: u32 = 100;

    /// Work of that many blocks of steps an item, or of a single step if there are none.
    #[must_use]
    pub fn new(blocks: u32, spread: Spread) -> Self {
        // A constant here would be one in the loops of the contenders, too.
        Self { blocks: black_box(blocks), spread }
    }

    /// Transforms one item.
    ///
    /// Never inlined: were it, the compiler would vectorize the cheap work in the loops of some
    /// contenders and not of others, and they would no longer do the same work.
    #[must_use]
    #[inline(never)]
    pub fn apply(self, item: u64) -> u64 {
        (0..self.blocks_for(item)).fold(step(item.wrapping_add(1)), |x, _| block(x))
    }

    #[inline]
    fn blocks_for(self, item: u64) -> u32 {
        match self.spread {
            Spread::Even => self.blocks,
            Spread::Tail if is_heavy(item) => self.blocks * Self::TAIL,
            Spread::Tail => self.blocks,
        }
    }
}

/// Whether `item` is one of the hundredth that is heavy, without a period in it.
fn is_heavy(item: u64) -> bool {
    (step(step(item.wrapping_add(1))) >> 32).is_multiple_of(u64::from(Work::TAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_items_are_more_blocks() {
        let calibration = Calibration::measure([0, 100, 10_000]);
        assert_eq!(calibration.blocks(0), 0);
        assert!((1..calibration.blocks(10_000)).contains(&calibration.blocks(100)));
    }

    #[test]
    fn about_one_item_in_a_hundred_is_heavy() {
        let heavy = (0..100_000).filter(|&item| is_heavy(item)).count();
        assert!((900..1100).contains(&heavy), "{heavy} of 100000 are heavy");
    }

    #[test]
    fn equal_items_give_equal_results_and_others_do_not() {
        let work = Work::new(3, Spread::Tail);
        assert_eq!(work.apply(7), work.apply(7));
        assert_ne!(work.apply(7), work.apply(8));
    }
}
