//! The serial sink: a checksum of what arrived.

use std::fmt;

use crate::case::Order;

/// A checksum of the items a sink has seen.
///
/// The sum says whether they were the right items. The hash, kept for ordered cases only, is a
/// polynomial in them, so it also says whether they came in source order: swapping two unequal
/// items changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    order: Order,
    count: u64,
    sum: u64,
    hash: u64,
}

impl Fold {
    /// A checksum of nothing.
    #[must_use]
    pub fn new(order: Order) -> Self {
        Self { order, count: 0, sum: 0, hash: 0 }
    }

    /// Adds one item.
    #[inline]
    pub fn push(&mut self, item: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(item);
        if self.order == Order::Ordered {
            self.hash = self.hash.wrapping_mul(31).wrapping_add(item);
        }
    }

    /// Adds the items of two unordered checksums up.
    ///
    /// # Panics
    ///
    /// If one of them is ordered: which items came first is not known.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        assert!(
            self.order == Order::Unordered && other.order == Order::Unordered,
            "ordered checksums cannot be merged"
        );
        Self { count: self.count + other.count, sum: self.sum.wrapping_add(other.sum), ..self }
    }

    /// Whether this is the checksum of what should have arrived.
    ///
    /// # Errors
    ///
    /// How it differs.
    pub fn check(self, expected: Self) -> Result<(), Mismatch> {
        if self.count != expected.count {
            Err(Mismatch::Count { seen: self.count, expected: expected.count })
        } else if self.sum != expected.sum {
            Err(Mismatch::Items)
        } else if self.hash != expected.hash {
            Err(Mismatch::Order)
        } else {
            Ok(())
        }
    }
}

impl Extend<u64> for Fold {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

/// How a checksum differs from the one of the sequential loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Too few or too many items arrived.
    Count {
        /// Items that arrived.
        seen: u64,
        /// Items that should have.
        expected: u64,
    },
    /// As many items as there should be, but not the same.
    Items,
    /// The right items, but not in source order.
    Order,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { seen, expected } => write!(f, "{seen} items arrived, not {expected}"),
            Self::Items => f.write_str("other items arrived"),
            Self::Order => f.write_str("the items did not arrive in source order"),
        }
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(order: Order, items: &[u64]) -> Fold {
        let mut fold = Fold::new(order);
        fold.extend(items.iter().copied());
        fold
    }

    #[test]
    fn every_difference_is_told_apart() {
        let expected = fold(Order::Ordered, &[1, 2, 3]);
        let check = |items: &[u64]| fold(Order::Ordered, items).check(expected);
        assert_eq!(check(&[1, 2, 3]), Ok(()));
        assert_eq!(check(&[1, 2]), Err(Mismatch::Count { seen: 2, expected: 3 }));
        assert_eq!(check(&[1, 2, 4]), Err(Mismatch::Items));
        assert_eq!(check(&[2, 1, 3]), Err(Mismatch::Order));
    }

    #[test]
    fn order_does_not_matter_where_it_is_not_asked_for() {
        let expected = fold(Order::Unordered, &[1, 2, 3]);
        assert_eq!(fold(Order::Unordered, &[3, 1, 2]).check(expected), Ok(()));
        let merged = fold(Order::Unordered, &[3]).merge(fold(Order::Unordered, &[2, 1]));
        assert_eq!(merged.check(expected), Ok(()));
    }
}
