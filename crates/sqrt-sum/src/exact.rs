//! Sums without rounding.

/// Bit 0 of the first word weighs two to minus this. The smallest root is 2⁻⁵³⁷, and its last bit is 2⁻⁵⁸⁹.
const POINT: u32 = 640;
/// The largest root is below 2⁵¹²; 2⁶⁴ of them in blocks are below 2⁵⁷⁶.
const WORDS: usize = 20;

/// A sum of sums of roots in fixed point. Addition is exact, so order and grouping do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exact([u64; WORDS]);

impl Default for Exact {
    fn default() -> Self {
        Exact([0; WORDS])
    }
}

impl Exact {
    /// Adds a number that is zero or between the smallest root and 2⁵⁷⁶.
    pub(crate) fn add(&mut self, number: f64) {
        const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
        if number == 0.0 {
            return;
        }
        let bits = number.to_bits();
        let fraction = bits & ((1 << FRACTION_BITS) - 1) | 1 << FRACTION_BITS;
        // The exponent is biased by 1,023.
        let place = (bits >> FRACTION_BITS) as u32 + POINT - 1_023 - FRACTION_BITS;
        let (word, shift) = ((place / 64) as usize, place % 64);
        let wide = u128::from(fraction) << shift;
        let carry = self.add_word(word, wide as u64);
        let carry = self.add_words(word + 1, (wide >> 64) as u64, carry);
        debug_assert!(!carry, "the sum is too large");
    }

    fn add_word(&mut self, word: usize, bits: u64) -> bool {
        let (sum, carry) = self.0[word].overflowing_add(bits);
        self.0[word] = sum;
        carry
    }

    fn add_words(&mut self, mut word: usize, bits: u64, carry: bool) -> bool {
        // The upper part of a shifted fraction is below 2⁵³, so the carry fits.
        let mut carry = self.add_word(word, bits + u64::from(carry));
        while carry && word + 1 < WORDS {
            word += 1;
            carry = self.add_word(word, 1);
        }
        carry
    }

    pub(crate) fn merge(&mut self, other: &Exact) {
        let mut carry = false;
        for (word, bits) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = word.overflowing_add(bits);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, first || second);
        }
        debug_assert!(!carry, "the sum is too large");
    }

    /// The nearest `f64`; the even one of two.
    pub(crate) fn round(&self) -> f64 {
        let Some(top) = self.0.iter().rposition(|word| *word != 0) else { return 0.0 };
        let next = if top > 0 { self.0[top - 1] } else { 0 };
        let zeros = self.0[top].leading_zeros();
        let wide = (u128::from(self.0[top]) << 64 | u128::from(next)) << zeros;
        let below = self.0[..top.saturating_sub(1)].iter().any(|word| *word != 0);
        // The highest 64 bits, the last of which stands for all that are cut off: `as` rounds 64 to 53 as it should.
        let high = (wide >> 64) as u64 | u64::from(below || wide as u64 != 0);
        let exponent = 64 * top as i32 - zeros as i32 - POINT as i32;
        high as f64 * 2f64.powi(exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(numbers: &[f64]) -> Exact {
        let mut sum = Exact::default();
        numbers.iter().for_each(|number| sum.add(*number));
        sum
    }

    fn root() -> impl Strategy<Value = f64> {
        (0..f64::INFINITY.to_bits()).prop_map(|bits| f64::from_bits(bits).sqrt())
    }

    proptest! {
        #[test]
        fn one_number_comes_back(number in root()) {
            prop_assert_eq!(sum(&[number]).round(), number);
        }

        #[test]
        fn two_numbers_are_rounded_as_the_processor_does(left in root(), right in root(), near in 0.1..10.0) {
            prop_assert_eq!(sum(&[left, right]).round(), left + right);
            let right = left * near;
            prop_assert_eq!(sum(&[left, right]).round(), left + right);
        }

        #[test]
        fn order_and_grouping_do_not_matter(numbers in proptest::collection::vec(root(), 0..40), at in 0usize..40) {
            let at = at.min(numbers.len());
            let mut merged = sum(&numbers[at..]);
            merged.merge(&sum(&numbers[..at]));
            prop_assert_eq!(&merged, &sum(&numbers));
        }

        #[test]
        fn integers_are_added_exactly(numbers in proptest::collection::vec(0u64..1 << 53, 0..50)) {
            let floats: Vec<f64> = numbers.iter().map(|number| *number as f64).collect();
            let expected: u128 = numbers.iter().map(|number| u128::from(*number)).sum();
            prop_assert_eq!(sum(&floats).round(), expected as f64);
        }
    }

    #[test]
    fn carries_go_through_many_words() {
        let (large, small) = (2f64.powi(512), 2f64.powi(-537));
        let mut total = sum(&[large]);
        total.merge(&sum(&[small]));
        assert_eq!(total.round(), large);
        for word in 1..WORDS - 2 {
            let mut total = Exact::default();
            total.0[..word].fill(u64::MAX);
            total.merge(&Exact(std::array::from_fn(|index| u64::from(index == 0))));
            assert_eq!(total.round(), 2f64.powi(64 * word as i32 - POINT as i32));
        }
    }

    #[test]
    fn halves_go_to_the_even_one() {
        let one = 2f64.powi(60);
        let half = 2f64.powi(60 - 53);
        assert_eq!(sum(&[one, half]).round(), one);
        assert_eq!(sum(&[one, half, 2f64.powi(-500)]).round(), one.next_up());
        assert_eq!(sum(&[one.next_up(), half]).round(), one.next_up().next_up());
        assert_eq!(Exact::default().round(), 0.0);
    }
}
