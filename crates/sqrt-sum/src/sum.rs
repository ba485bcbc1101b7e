//! What has been added so far.

use crate::exact::Exact;
use crate::kernel::Kernel;
use crate::lanes::{BLOCK, Input};
use crate::span::MAX_INTEGER;
use std::ops::Range;

/// A sum of roots.
///
/// Sums of parts that begin at multiples of [`BLOCK`] merge to the same bits in whatever order: see the crate's page.
///
/// Roots are those of IEEE 754: that of -0 is zero, that of infinity is infinite, and negative numbers and those that
/// are none have no root. With one of these the value is not a number, and [`first_without_root`](Self::first_without_root)
/// says where it is.
///
/// # Examples
///
/// ```
/// use gristmill_sqrt_sum::{Kernel, RootSum};
///
/// let kernel = Kernel::detect();
/// let mut sum = RootSum::of_range(kernel, 0..4_096);
/// sum.merge(&RootSum::of_range(kernel, 4_096..10_000));
/// assert_eq!(sum, RootSum::of_range(kernel, 0..10_000));
/// assert_eq!(RootSum::of_range(kernel, 0..5).value(), 1.0 + 2f64.sqrt() + 3f64.sqrt() + 2.0);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootSum {
    finite: Exact,
    count: u64,
    is_infinite: bool,
    first_without_root: Option<u64>,
}

impl RootSum {
    /// The roots of the integers of a range; none if it is empty.
    ///
    /// # Panics
    ///
    /// When the range ends above [`MAX_INTEGER`].
    #[must_use]
    pub fn of_range(kernel: Kernel, range: Range<u64>) -> Self {
        assert!(range.is_empty() || range.end <= MAX_INTEGER, "{range:?} ends above {MAX_INTEGER}");
        let mut sum = RootSum { count: range.end.saturating_sub(range.start), ..RootSum::default() };
        for first in range.clone().step_by(BLOCK) {
            let len = (range.end - first).min(BLOCK as u64) as usize;
            sum.add_block(kernel.sum_block(Input::Integers(first as f64, len)));
        }
        sum
    }

    /// The roots of numbers that lie one after another as little-endian bytes. `first` is the index of the first one, for
    /// [`first_without_root`](Self::first_without_root).
    #[must_use]
    pub fn of_numbers(kernel: Kernel, first: u64, numbers: &[[u8; 8]]) -> Self {
        let mut sum = RootSum { count: numbers.len() as u64, ..RootSum::default() };
        for (index, block) in numbers.chunks(BLOCK).enumerate() {
            let total = kernel.sum_block(Input::Bytes(block));
            sum.add_block(total);
            if total.is_nan() && sum.first_without_root.is_none() {
                let place = block.iter().position(|bytes| f64::from_le_bytes(*bytes).sqrt().is_nan());
                sum.first_without_root = place.map(|place| first + (index * BLOCK + place) as u64);
            }
        }
        sum
    }

    fn add_block(&mut self, total: f64) {
        if total.is_finite() {
            self.finite.add(total);
        } else {
            self.is_infinite |= !total.is_nan();
        }
    }

    /// Adds what another one has.
    pub fn merge(&mut self, other: &RootSum) {
        self.finite.merge(&other.finite);
        self.count += other.count;
        self.is_infinite |= other.is_infinite;
        self.first_without_root = match (self.first_without_root, other.first_without_root) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        };
    }

    /// The sum.
    #[must_use]
    pub fn value(&self) -> f64 {
        match (self.first_without_root, self.is_infinite) {
            (Some(_), _) => f64::NAN,
            (None, true) => f64::INFINITY,
            (None, false) => self.finite.round(),
        }
    }

    /// How many roots are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The index of the first number that is negative or none, if there is one.
    #[must_use]
    pub fn first_without_root(&self) -> Option<u64> {
        self.first_without_root
    }
}
