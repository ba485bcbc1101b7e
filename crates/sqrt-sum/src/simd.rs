//! The kernels for x86-64. Beside the call that maps a file, the only unsafe code of the crate.
//!
//! A value of [`Avx2`] or [`Avx512`] is proof that the processor has the instructions: only `detect` makes one.
//!
//! # Roots by Newton's method
//!
//! Let `u` be 2⁻⁵³ and `x` a number in `TINY..inf`. Then `bracketed` finds the correctly rounded root, or says that it does not
//! know:
//!
//! 1. `y ≈ 1/√x`, off by less than 2⁻¹⁴ of it: what `vrsqrt14pd` promises.
//! 2. `e = 1 - x·y²`, at most 2⁻¹²·⁹⁹; as `1/√x = y/√(1 - e)`, and `1/√(1 - e) = 1 + e/2 + 3e²/8 + 5e³/16 + …`, the factor
//!    `1 + e/2 + 3e²/8` is off by less than 2⁻⁴⁰·⁶. The roundings add less than `4 u`. So `z = y·(1 + e/2 + 3e²/8)` is
//!    `1/√x`, and `g = x·y·(1 + e/2 + 3e²/8)` is `√x`, both to within 2⁻⁴⁰·⁵.
//! 3. `d = x - g²`, with one rounding. It is normal or zero, or loses less than 2⁻¹⁰⁷⁴, as `x` is not tiny: off by
//!    less than 2⁻⁴⁹ of itself, unless it is so small that nothing depends on it (below).
//! 4. `√x = g + (x - g²)/(√x + g)`. So `√x - g` is `d·z/2` but for a factor within `1 ± 2⁻³⁹·⁸` of one: 2⁻⁴⁰·⁵ of `z`, half
//!    of that of `(√x + g)/2`, and roundings.
//! 5. Hence `√x` lies between `g + d·z/2·(1 - 2⁻³⁹)` and `g + d·z/2·(1 + 2⁻³⁹)`. One fused multiplication and addition
//!    each rounds them as exact numbers. Rounding never changes the order of two numbers, so if both come out the same,
//!    that is the correctly rounded root. If `d` is zero, `g` is the root.
//!
//! They differ only if a border between two roundings is between them: a piece of 2⁻³⁹·⁵⁻³⁸ of the root, where borders are
//! at least 2⁻⁵³ apart. So in less than one of 2²⁴ roots. Then, and if `x` is not in the range (zero, infinite,
//! negative, not a number: the comparisons fail), `vsqrtpd` takes the roots of the whole group.

use crate::lanes::{self, Input, LANES, Lanes};
use std::arch::x86_64::*;

/// Below it, `x - g²` might lose bits to underflow.
const TINY: f64 = f64::from_bits((1023 - 900) << 52);

/// Vectors of a group of eight that Newton's method has; `vsqrtpd` has the others. What keeps both units busy.
const NEWTON: usize = 5;

/// The processor has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }

    pub(crate) fn add_groups(self, sums: &mut Lanes, input: Input<'_>) {
        // SAFETY: `detect` has found AVX2, and only it makes a value of this type.
        unsafe { add_groups_avx2(sums, input) }
    }
}

/// The loop for any processor, compiled for this one.
#[target_feature(enable = "avx2")]
fn add_groups_avx2(sums: &mut Lanes, input: Input<'_>) {
    lanes::add_groups(sums, input);
}

/// The processor has the foundation of AVX-512.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }

    pub(crate) fn add_groups(self, sums: &mut Lanes, input: Input<'_>) {
        // SAFETY: `detect` has found AVX-512, and only it makes a value of this type.
        unsafe { add_groups_avx512::<0>(sums, input) }
    }

    pub(crate) fn add_groups_newton(self, sums: &mut Lanes, input: Input<'_>) {
        // SAFETY: as above.
        unsafe { add_groups_avx512::<NEWTON>(sums, input) }
    }
}

/// Eight vectors of eight numbers, one for each lane.
type Group = [__m512d; LANES / 8];

#[target_feature(enable = "avx512f")]
fn add_groups_avx512<const NEWTON: usize>(sums: &mut Lanes, input: Input<'_>) {
    let (rows, _) = sums.as_chunks_mut::<8>();
    let mut totals: Group = [_mm512_setzero_pd(); LANES / 8];
    match input {
        Input::Integers(first, len) => {
            let count = _mm512_set_pd(7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0);
            for group in 0..len / LANES {
                let first = _mm512_add_pd(_mm512_set1_pd(first + (group * LANES) as f64), count);
                let mut numbers: Group = [first; LANES / 8];
                for (index, numbers) in numbers.iter_mut().enumerate() {
                    *numbers = _mm512_add_pd(first, _mm512_set1_pd((8 * index) as f64));
                }
                add_group::<NEWTON>(&mut totals, numbers);
            }
        }
        Input::Bytes(bytes) => {
            for group in bytes.as_chunks::<LANES>().0 {
                let mut numbers: Group = [_mm512_setzero_pd(); LANES / 8];
                for (numbers, row) in numbers.iter_mut().zip(group.as_chunks::<8>().0) {
                    // SAFETY: a row is 64 bytes, and the load asks for no alignment.
                    *numbers = unsafe { _mm512_loadu_pd(row.as_ptr().cast()) };
                }
                add_group::<NEWTON>(&mut totals, numbers);
            }
        }
    }
    for (row, total) in rows.iter_mut().zip(totals) {
        // SAFETY: a row is eight numbers, and the store asks for no alignment.
        unsafe { _mm512_storeu_pd(row.as_mut_ptr(), total) };
    }
}

/// Adds a root to each lane: `vsqrtpd` takes those of the last vectors, Newton's method those of the first ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_group<const NEWTON: usize>(totals: &mut Group, numbers: Group) {
    let mut roots = numbers;
    let mut sure: __mmask8 = 0xff;
    for root in &mut roots[..NEWTON] {
        *root = bracketed(*root, &mut sure);
    }
    for root in &mut roots[NEWTON..] {
        *root = _mm512_sqrt_pd(*root);
    }
    if NEWTON > 0 && sure != 0xff {
        roots = all_by_hardware(numbers);
    }
    for (total, root) in totals.iter_mut().zip(roots) {
        *total = _mm512_add_pd(*total, root);
    }
}

#[cold]
#[target_feature(enable = "avx512f")]
fn all_by_hardware(mut numbers: Group) -> Group {
    for number in &mut numbers {
        *number = _mm512_sqrt_pd(*number);
    }
    numbers
}

/// Correctly rounded roots as the module explains, where `sure` keeps its bit.
#[inline]
#[target_feature(enable = "avx512f")]
fn bracketed(x: __m512d, sure: &mut __mmask8) -> __m512d {
    const WIDTH: f64 = 1.0 / (1u64 << 39) as f64;
    let set = |value: f64| _mm512_set1_pd(value);
    let y = _mm512_rsqrt14_pd(x);
    let xy = _mm512_mul_pd(x, y);
    let e = _mm512_fnmadd_pd(xy, y, set(1.0));
    let growth = _mm512_mul_pd(e, _mm512_fmadd_pd(e, set(0.375), set(0.5)));
    let g = _mm512_fmadd_pd(xy, growth, xy);
    let z = _mm512_fmadd_pd(y, growth, y);
    let d = _mm512_fnmadd_pd(g, g, x);
    let low = _mm512_fmadd_pd(d, _mm512_mul_pd(z, set(0.5 * (1.0 - WIDTH))), g);
    let high = _mm512_fmadd_pd(d, _mm512_mul_pd(z, set(0.5 * (1.0 + WIDTH))), g);
    *sure = _mm512_mask_cmp_pd_mask::<_CMP_GE_OQ>(*sure, x, set(TINY));
    *sure = _mm512_mask_cmp_pd_mask::<_CMP_EQ_OQ>(*sure, low, high);
    low
}
