//! How many items make a morsel.
//!
//! A hand-over costs about a microsecond, whatever is handed over. A morsel should carry so much work that this does not
//! matter, and not so much that latency, memory or balance suffer: about 100 µs of the dearest segment's time, at most
//! what a core's cache holds, and less near a known end, so that all workers finish together.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What the dearest segment should spend on a morsel.
const TARGET_NANOS: f64 = 100_000.0;
/// A morsel near the end is not made cheaper than this.
const LEAST_NANOS: f64 = 4_000.0;
/// A buffer of a morsel stays below this many bytes.
const MOST_BYTES: usize = 128 << 10;
/// To wake a thread is nothing beside a morsel that takes so long.
const DEAR_NANOS: f64 = 250_000.0;
/// How much a morsel may grow from one to the next while the cost of an item is still being learned.
const RAMP: usize = 8;

/// The pace of a run: what an item costs in each segment.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Morsels of exactly so many items, if set.
    fixed: Option<usize>,
    costs: Mutex<Vec<Arc<Cost>>>,
    last: AtomicUsize,
    /// The morsel made last is dear.
    is_dear: AtomicBool,
}

/// What one item of the source costs in one segment, learned as it goes.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    recent: Mutex<(f64, f64)>,
    /// Nanoseconds per item, times 1024.
    nanos: AtomicU64,
}

impl Cost {
    /// Adds what a morsel of `items` took. Older morsels count half as much with each new one, and larger ones count
    /// more, so the first, cold, small ones are soon forgotten.
    pub(crate) fn learn(&self, nanos: u64, items: u64) {
        if items == 0 {
            return;
        }
        let mut recent = self.recent.lock();
        recent.0 = recent.0 / 2.0 + nanos as f64;
        recent.1 = recent.1 / 2.0 + items as f64;
        self.nanos.store((recent.0 / recent.1 * 1024.0) as u64, Relaxed);
    }

    /// How many items take one of `threads` threads `nanos`; one while nothing is known.
    pub(crate) fn share(&self, nanos: u64, threads: usize) -> usize {
        let cost = self.nanos.load(Relaxed) * threads as u64;
        (nanos * 1024).checked_div(cost).unwrap_or(1).max(1) as usize
    }
}

impl Pace {
    pub(crate) fn new(fixed: Option<usize>) -> Self {
        Pace { fixed, ..Pace::default() }
    }

    /// Adds a segment.
    pub(crate) fn cost(&self) -> Arc<Cost> {
        let cost = Arc::new(Cost::default());
        self.costs.lock().push(Arc::clone(&cost));
        cost
    }

    /// How many items of `item_bytes` bytes the next morsel should have, when `remaining` are still to come and
    /// `workers` share them.
    pub(crate) fn want(&self, item_bytes: usize, remaining: Option<usize>, workers: usize) -> usize {
        let nanos = self.costs.lock().iter().map(|cost| cost.nanos.load(Relaxed)).max().unwrap_or(0);
        let cost = (nanos as f64 / 1024.0).max(0.05);
        self.is_dear.store(cost * self.last() as f64 >= DEAR_NANOS, Relaxed);
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let most = (MOST_BYTES / item_bytes.max(1)).max(1);
        // Until anything is known, the next item may cost as much as all before it: one at a time.
        let ramp = if nanos == 0 { 1 } else { self.last.load(Relaxed).saturating_mul(RAMP).max(1) };
        let want = ((TARGET_NANOS / cost) as usize).clamp(1, most.min(ramp));
        self.last.store(want, Relaxed);
        match remaining {
            Some(remaining) => {
                let least = ((LEAST_NANOS / cost) as usize).max(1);
                want.min((remaining / (2 * workers.max(1))).max(least))
            }
            None => want,
        }
    }

    /// Whether a morsel takes so long that a thread may well be woken for it.
    pub(crate) fn is_dear(&self) -> bool {
        self.is_dear.load(Relaxed)
    }

    /// The size of the morsel made last.
    pub(crate) fn last(&self) -> usize {
        self.fixed.unwrap_or_else(|| self.last.load(Relaxed)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(nanos_per_item: u64) -> Pace {
        let pace = Pace::new(None);
        let cost = pace.cost();
        for _ in 0..20 {
            let items = pace.want(8, None, 2) as u64;
            cost.learn(nanos_per_item * items, items);
        }
        pace
    }

    #[test]
    fn morsels_grow_with_cheapness_up_to_the_cache() {
        assert_eq!(settled(1_000_000).want(8, None, 2), 1);
        assert_eq!(settled(1_000).want(8, None, 2), 100);
        assert_eq!(settled(1).want(8, None, 2), MOST_BYTES / 8);
        assert_eq!(settled(1).want(1 << 20, None, 2), 1);
    }

    #[test]
    fn morsels_shrink_towards_a_known_end() {
        let pace = settled(10_000);
        assert_eq!(pace.want(8, Some(1_000), 2), 10);
        assert_eq!(pace.want(8, Some(8), 2), 2);
        assert_eq!(pace.want(8, Some(1), 2), 1);
        assert_eq!(pace.want(8, Some(48), 8), 3, "two for each thread");
    }

    #[test]
    fn a_share_takes_each_thread_as_long_as_it_should() {
        let cost = Cost::default();
        assert_eq!(cost.share(20_000, 2), 1, "nothing is known");
        cost.learn(1_000, 0);
        assert_eq!(cost.share(20_000, 2), 1, "of no items nothing is learned");
        cost.learn(5_000, 10);
        assert_eq!([1, 2, 4, 1_000].map(|threads| cost.share(20_000, threads)), [40, 20, 10, 1]);
    }

    #[test]
    fn the_size_made_last_is_known_and_a_fixed_one_always() {
        let pace = settled(1_000);
        assert_eq!((pace.want(8, None, 2), pace.last()), (100, 100));
        assert_eq!(Pace::new(None).last(), 1);
        let fixed = Pace::new(Some(7));
        assert_eq!((fixed.last(), fixed.want(8, Some(1), 2)), (7, 7));
    }

    #[test]
    fn a_morsel_is_dear_if_it_takes_much_longer_than_it_should() {
        let dear = |pace: Pace| {
            pace.want(8, None, 2);
            pace.is_dear()
        };
        assert!(!dear(Pace::new(None)), "nothing is known");
        assert_eq!([100, 100_000, 240_000, 260_000].map(|nanos| dear(settled(nanos))), [false, false, false, true]);
        let fixed = Pace::new(Some(1_000));
        fixed.cost().learn(260_000, 1_000);
        assert!(dear(fixed));
    }

    #[test]
    fn the_first_morsels_ramp_up() {
        let pace = Pace::new(None);
        let cost = pace.cost();
        assert_eq!([0; 4].map(|_| pace.want(8, None, 2)), [1, 1, 1, 1], "nothing is known yet");
        cost.learn(10, 1);
        assert_eq!([0; 4].map(|_| pace.want(8, None, 2)), [8, 64, 512, 4096]);
    }
}
