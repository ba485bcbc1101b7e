//! Numbers that look random and follow from a seed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a good mix of the bits of a counter.
#[inline]
pub(crate) fn mix(counter: u64) -> u64 {
    let mut bits = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// A stream of numbers: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// A number below `end`, which is not zero; so slightly uneven that nobody sees it.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

/// The same for several who draw at once: each gets a number of its own.
#[derive(Debug)]
pub(crate) struct Draws(AtomicU64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Draws(AtomicU64::new(seed))
    }

    /// A number from zero to `most`.
    pub(crate) fn up_to(&self, most: u64) -> u64 {
        let drawn = mix(self.0.fetch_add(1, Relaxed));
        ((u128::from(drawn) * (u128::from(most) + 1)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_splitmix64_of_the_paper() {
        // What the reference implementation gives from the seed 0 on.
        let numbers = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
        assert_eq!([0, 1, 2].map(mix), numbers);
        let mut random = Random::new(u64::MAX);
        assert_eq!([0; 3].map(|_| random.next()), numbers);
    }

    #[test]
    fn every_number_below_the_end_comes_about_as_often() {
        let (mut random, mut counts) = (Random::new(3), [0u32; 5]);
        (0..10_000).for_each(|_| counts[random.below(5)] += 1);
        // 2,000 each, with a standard deviation of 40.
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn chances_are_as_said() {
        let mut random = Random::new(1);
        let often = (0..10_000).filter(|_| random.chance(0.3)).count();
        assert!((2_700..3_300).contains(&often), "{often}");
        assert!(!random.chance(0.0) && random.chance(1.0));
        assert!((0..1_000).map(|_| random.below(3)).all(|number| number < 3));
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_both_ends() {
        let draws = Draws::new(7);
        let drawn: Vec<u64> = (0..1_000).map(|_| draws.up_to(9)).collect();
        assert!((0..=9).all(|number| drawn.contains(&number)));
        assert!(drawn.iter().all(|number| *number <= 9));
        assert!((0..1_000).any(|_| draws.up_to(u64::MAX) > u64::MAX / 2));
    }
}
