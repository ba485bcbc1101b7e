//! Pieces of work.

use crate::lanes::BLOCK;
use std::iter::FusedIterator;
use std::ops::Range;

/// Numbers in a span: about a tenth of a millisecond of work, and a multiple of [`BLOCK`].
pub const SPAN: u64 = 64 * BLOCK as u64;

/// Where ranges of integers end at the latest: up to here every integer is a number of 64 bits.
pub const MAX_INTEGER: u64 = 1 << 53;

/// Cuts a range into spans, the last of which may be shorter: a source.
pub fn spans(range: Range<u64>) -> Spans {
    Spans { rest: range, step: SPAN }
}

/// Returned by [`spans`].
#[derive(Debug, Clone)]
pub struct Spans {
    rest: Range<u64>,
    step: u64,
}

impl Spans {
    /// Sets the size of the spans, in blocks; zero is taken for one.
    #[must_use]
    pub fn blocks(mut self, blocks: u32) -> Self {
        self.step = u64::from(blocks.max(1)) * BLOCK as u64;
        self
    }
}

impl Iterator for Spans {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.rest.start;
        self.rest.start = start.saturating_add(self.step).min(self.rest.end);
        Some(start..self.rest.start)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.end.saturating_sub(self.rest.start).div_ceil(self.step);
        let left = usize::try_from(left);
        (left.unwrap_or(usize::MAX), left.ok())
    }
}

impl FusedIterator for Spans {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_cover_the_range(start in 0u64..1 << 40, len in 0u64..1 << 24, blocks in 0u32..9) {
            let all = spans(start..start + len).blocks(blocks);
            prop_assert_eq!(all.size_hint(), (all.clone().count(), Some(all.clone().count())));
            let mut at = start;
            for span in all {
                prop_assert_eq!((span.start, (at - start) % BLOCK as u64), (at, 0));
                at = span.end;
            }
            prop_assert_eq!(at, start + len);
        }
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges)]
    fn absurd_ranges_end() {
        assert_eq!(spans(9..3).next(), None);
        assert_eq!(spans(u64::MAX - 5..u64::MAX).last(), Some(u64::MAX - 5..u64::MAX));
        assert!(spans(0..u64::MAX).size_hint().0 > 1 << 40);
    }
}
