//! A log-linear histogram of durations, after Gil Tene's HdrHistogram.
//!
//! Each power of two is cut into 32 equal parts, so a value is known to about 3 %. Recording is one relaxed atomic
//! addition; reading merges nothing and stops nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SUB_BITS: u32 = 5;
const SUB: usize = 1 << SUB_BITS;
/// Values above 2⁴⁴ ns, about five hours, share the last bucket.
const TOP_BIT: u32 = 44;
const BUCKETS: usize = (TOP_BIT - SUB_BITS + 2) as usize * SUB;

#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts `items` that took `nanos` each.
    pub(crate) fn record(&self, nanos: u64, items: u64) {
        self.buckets[bucket_of(nanos)].fetch_add(items, Ordering::Relaxed);
    }

    /// The durations below which the given shares (ascending, each in `0.0..=1.0`) of the items stayed; zero when
    /// nothing was recorded.
    pub(crate) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [Duration; N] {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        shares.map(|share| {
            let rank = ((total as f64 * share).ceil() as u64).max(1);
            let mut below = 0;
            let reached = counts.iter().position(|count| {
                below += count;
                below >= rank
            });
            reached.map_or(Duration::ZERO, |bucket| Duration::from_nanos(middle_of(bucket)))
        })
    }
}

fn bucket_of(nanos: u64) -> usize {
    if nanos < SUB as u64 {
        return nanos as usize;
    }
    let top = 63 - nanos.leading_zeros();
    if top > TOP_BIT {
        return BUCKETS - 1;
    }
    let group = (top - SUB_BITS + 1) as usize;
    let within = (nanos >> (top - SUB_BITS)) as usize - SUB;
    group * SUB + within
}

fn middle_of(bucket: usize) -> u64 {
    if bucket < SUB {
        return bucket as u64;
    }
    let shift = (bucket / SUB - 1) as u32;
    let low = ((SUB + bucket % SUB) as u64) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lands_in_a_bucket_within_four_per_cent() {
        let mut value = 1u64;
        while value < 1 << 44 {
            for nanos in [value, value + value / 3, value * 2 - 1] {
                let middle = middle_of(bucket_of(nanos)) as f64;
                let off = (middle - nanos as f64).abs() / nanos as f64;
                assert!(off <= 0.04, "{nanos} ns became {middle}");
            }
            value *= 2;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn small_values_are_exact_and_others_are_told_as_the_middle_of_their_bucket() {
        assert!((0..64).all(|nanos| middle_of(bucket_of(nanos)) == nanos));
        // From 64 on two share a bucket, from 128 on four.
        assert_eq!([64, 65, 66, 127].map(|nanos| middle_of(bucket_of(nanos))), [65, 65, 67, 127]);
        assert_eq!([128, 131, 132].map(|nanos| middle_of(bucket_of(nanos))), [130, 130, 134]);
        assert_eq!((bucket_of((2 << TOP_BIT) - 1), bucket_of(2 << TOP_BIT)), (BUCKETS - 1, BUCKETS - 1));
        assert_eq!(bucket_of(1 << TOP_BIT), BUCKETS - SUB);
    }

    #[test]
    fn quantiles_of_a_ramp_are_its_ranks() {
        let histogram = Histogram::new();
        (1..=10_000u64).for_each(|micros| histogram.record(micros * 1_000, 1));
        let [p50, p99] = histogram.quantiles([0.5, 0.99]).map(|quantile| quantile.as_micros() as f64);
        assert!((p50 / 5_000.0 - 1.0).abs() < 0.04 && (p99 / 9_900.0 - 1.0).abs() < 0.04, "{p50} {p99}");
        assert_eq!(Histogram::new().quantiles([0.5]), [Duration::ZERO]);
    }
}
