//! Which instructions take the roots.

use crate::lanes::{self, Input, Lanes};
use std::fmt;

/// The instructions that roots are taken with. All give the same bits.
///
/// | name | roots of | by |
/// | --- | --- | --- |
/// | `portable` | any processor | what the compiler makes of `sqrt` |
/// | `avx2` | four numbers at once | `vsqrtpd` |
/// | `avx512` | eight at once | `vsqrtpd` |
/// | `avx512-newton` | eight at once | `vrsqrt14pd` and two steps, beside `vsqrtpd` |
///
/// `vsqrtpd` keeps one unit of the processor busy for long while those that multiply idle. The last kernel lets both
/// work: some roots come from that unit, the others from an estimate that is made exact by multiplications. Each is
/// bracketed between two numbers, and if they do not round to the same one (once in millions of roots), `vsqrtpd`
/// decides. So its roots, too, are correctly rounded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(crate::simd::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(crate::simd::Avx512),
    #[cfg(target_arch = "x86_64")]
    Newton(crate::simd::Avx512),
}

impl Kernel {
    /// The fastest one that this processor has the instructions for.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Kernel(Level::Portable))
    }

    /// All that this processor can run, the fastest last.
    pub fn available() -> impl Iterator<Item = Kernel> {
        let portable = std::iter::once(Level::Portable);
        #[cfg(target_arch = "x86_64")]
        let all = {
            let (avx2, avx512) = (crate::simd::Avx2::detect(), crate::simd::Avx512::detect());
            portable.chain(avx2.map(Level::Avx2)).chain(avx512.map(Level::Avx512)).chain(avx512.map(Level::Newton))
        };
        #[cfg(not(target_arch = "x86_64"))]
        let all = portable;
        all.map(Kernel)
    }

    /// The one of this name, if this processor can run it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::available().find(|kernel| kernel.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Newton(_) => "avx512-newton",
        }
    }

    /// The sum of the roots of one block.
    pub(crate) fn sum_block(self, input: Input<'_>) -> f64 {
        let mut sums = [0.0; lanes::LANES];
        self.add_groups(&mut sums, input);
        lanes::add_rest(&mut sums, input);
        lanes::join(sums)
    }

    /// Adds the roots of whole groups to their lanes.
    fn add_groups(self, sums: &mut Lanes, input: Input<'_>) {
        match self.0 {
            Level::Portable => lanes::add_groups(sums, input),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(avx2) => avx2.add_groups(sums, input),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(avx512) => avx512.add_groups(sums, input),
            #[cfg(target_arch = "x86_64")]
            Level::Newton(avx512) => avx512.add_groups_newton(sums, input),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name())
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::LANES;
    use proptest::prelude::*;

    /// Roots of 64 numbers: each is alone in its lane.
    fn roots(kernel: Kernel, numbers: &[f64; LANES]) -> Lanes {
        let bytes = numbers.map(f64::to_le_bytes);
        let mut sums = [0.0; LANES];
        kernel.add_groups(&mut sums, Input::Bytes(&bytes));
        sums
    }

    fn check(numbers: &[f64]) {
        for group in numbers.chunks(LANES) {
            let group = std::array::from_fn(|index| group[index % group.len()]);
            for kernel in Kernel::available() {
                for (number, root) in group.iter().zip(roots(kernel, &group)) {
                    let expected = number.sqrt();
                    let same = root == expected || root.is_nan() && expected.is_nan();
                    assert!(same, "{kernel}: the root of {number:e} is {root:e}, not {expected:e}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn roots_are_correctly_rounded(bits in proptest::collection::vec(any::<u64>(), 64)) {
            let numbers: Vec<f64> = bits.iter().map(|bits| f64::from_bits(*bits)).collect();
            check(&numbers);
            // Without a sign, so that one number does not send the whole group to the slow path.
            check(&numbers.iter().map(|number| number.abs().clamp(1e-250, f64::MAX)).collect::<Vec<_>>());
        }

        #[test]
        fn integers_are_numbers_too(first in 0u64..(1 << 53) - 4_096, len in 0usize..4_096) {
            let bytes: Vec<[u8; 8]> = (first..).take(len).map(|integer| (integer as f64).to_le_bytes()).collect();
            let portable = Kernel(Level::Portable).sum_block(Input::Bytes(&bytes));
            for kernel in Kernel::available() {
                prop_assert_eq!(kernel.sum_block(Input::Bytes(&bytes)).to_bits(), portable.to_bits());
                prop_assert_eq!(kernel.sum_block(Input::Integers(first as f64, len)).to_bits(), portable.to_bits());
            }
        }
    }

    #[test]
    fn odd_numbers_have_the_roots_of_the_standard() {
        let mut numbers =
            vec![0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE];
        numbers.extend([5e-324, 1e-320, 1e-300, 1e-271, 1.183e-271, 1e-270, 1.0, 2.0, 4.0]);
        numbers.extend([0.25f64, 1.0, 4.0].iter().flat_map(|number| [number.next_up(), number.next_down()]));
        for number in &numbers {
            check(&[*number]);
            check(&[1.5, *number]);
        }
        check(&(0..2_100).map(|exponent| 2f64.powi(exponent - 1_074) * 1.5).collect::<Vec<_>>());
        check(&(1..5_000u32).map(|root| f64::from(root) * f64::from(root)).collect::<Vec<_>>());
    }

    /// A number whose square is this one modulo two to `bits`; the number must be one more than a multiple of eight.
    fn root_modulo(square: u128, bits: u32) -> u128 {
        (3..bits).fold(1, |root, bit| {
            let wrong = (root * root).wrapping_sub(square) >> bit & 1;
            root + (wrong << (bit - 1))
        })
    }

    /// Roots closer to the middle between two numbers than any estimate can tell.
    #[test]
    fn the_hardest_roots_are_correctly_rounded() {
        let mut hard = Vec::new();
        for distance in (-4_000i128..4_000).map(|step| step * 8 + 1) {
            for bits in [54, 55] {
                let root = root_modulo(distance as u128, bits);
                let half = 1 << (bits - 1);
                let roots = [root, (1 << bits) - root, root ^ half, ((1 << bits) - root) ^ half];
                for middle in roots {
                    // 54 bits, the last of which is set: the middle between two numbers of 53.
                    let scaled = (middle * middle).wrapping_sub(distance as u128) >> bits;
                    if middle >> 53 == 1 && scaled >> 53 == 0 {
                        assert_eq!((scaled << bits).wrapping_add(distance as u128), middle * middle);
                        hard.push(scaled as f64 * if bits == 55 { 2.0 } else { 1.0 });
                    }
                }
            }
        }
        assert!(hard.len() > 10_000, "{} are too few", hard.len());
        check(&hard);
    }

    /// Half a minute in release: `cargo test --release -p gristmill-sqrt-sum -- --ignored`.
    #[test]
    #[ignore = "takes half a minute in release"]
    fn every_integer_of_32_bits_has_its_root() {
        for kernel in Kernel::available().filter(|kernel| kernel.0 != Level::Portable) {
            for first in (0..1u64 << 32).step_by(LANES) {
                let (mut sums, mut expected) = ([0.0; LANES], [0.0; LANES]);
                kernel.add_groups(&mut sums, Input::Integers(first as f64, LANES));
                lanes::add_groups(&mut expected, Input::Integers(first as f64, LANES));
                assert!(sums == expected, "{kernel}: {first}");
            }
        }
    }
}
