//! What is known of one station.

use crate::tenths::Tenths;

/// The figures of one station. Temperatures are whole tenths of a degree, so sums are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub(crate) sum: i64,
    pub(crate) count: u64,
    pub(crate) min: i32,
    pub(crate) max: i32,
}

impl Stats {
    /// Those of a station without rows, which exists only until its first one.
    pub(crate) const NONE: Stats = Stats { sum: 0, count: 0, min: i32::MAX, max: i32::MIN };

    #[inline(always)]
    pub(crate) fn add(&mut self, tenths: i32) {
        self.sum += i64::from(tenths);
        self.count += 1;
        self.min = self.min.min(tenths);
        self.max = self.max.max(tenths);
    }

    pub(crate) fn merge(&mut self, other: &Stats) {
        self.sum += other.sum;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many rows it has: at least one.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lowest temperature.
    #[must_use]
    pub fn min(&self) -> Tenths {
        Tenths::new(i64::from(self.min))
    }

    /// The highest temperature.
    #[must_use]
    pub fn max(&self) -> Tenths {
        Tenths::new(i64::from(self.max))
    }

    /// The mean, rounded to a tenth as the challenge wants it: what lies in the middle of two tenths goes up, towards
    /// positive infinity. Computed from the exact sum.
    #[must_use]
    pub fn mean(&self) -> Tenths {
        let (sum, count) = (i128::from(self.sum), i128::from(self.count.max(1)));
        let rounded = (2 * sum + count).div_euclid(2 * count);
        // Between the lowest and the highest, so it fits.
        Tenths::new(i64::try_from(rounded).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(tenths: &[i32]) -> String {
        let mut stats = Stats::NONE;
        tenths.iter().for_each(|tenths| stats.add(*tenths));
        stats.mean().to_string()
    }

    #[test]
    fn the_middle_of_two_tenths_goes_up() {
        assert_eq!(mean(&[1, 2]), "0.2");
        assert_eq!(mean(&[-1, -2]), "-0.1");
        assert_eq!(mean(&[-1, 0]), "0.0");
        assert_eq!(mean(&[0, 1]), "0.1");
        assert_eq!(mean(&[-1, -1, 0]), "-0.1");
        assert_eq!(mean(&[999, 999, -999]), "33.3");
        assert_eq!(mean(&[-999]), "-99.9");
    }

    #[test]
    fn merging_adds_up() {
        let (mut left, mut right) = (Stats::NONE, Stats::NONE);
        [5, -7].iter().for_each(|tenths| left.add(*tenths));
        [30].iter().for_each(|tenths| right.add(*tenths));
        left.merge(&right);
        assert_eq!(left, Stats { sum: 28, count: 3, min: -7, max: 30 });
    }
}
