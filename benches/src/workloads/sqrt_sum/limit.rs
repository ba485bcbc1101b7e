//! How many roots the processor's own instruction can take.

use std::arch::x86_64::{_mm512_loadu_pd, _mm512_or_pd, _mm512_sqrt_pd, _mm512_storeu_pd};
use std::hint::black_box;

/// The processor has AVX-512.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// `None` if it has not.
    pub fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
        has.then_some(Avx512(()))
    }

    /// Takes so many roots by `vsqrtpd`, eight vectors at a time that do not wait for each other.
    pub fn take_roots(self, roots: u64) {
        // SAFETY: `detect` has found the instructions, and only it makes a value of this type.
        unsafe { take_roots(roots) }
    }
}

#[target_feature(enable = "avx512f,avx512dq")]
fn take_roots(roots: u64) {
    // Numbers like those of the job: some processors are faster at roots of small ones.
    let numbers: [[f64; 8]; 8] =
        std::array::from_fn(|row| std::array::from_fn(|lane| 123_456_789.0 + (8 * row + lane) as f64));
    // SAFETY: a row is eight numbers, and the load asks for no alignment.
    let numbers = black_box(numbers.map(|row| unsafe { _mm512_loadu_pd(row.as_ptr()) }));
    let mut seen = numbers;
    for _ in 0..roots / 64 {
        for (seen, number) in seen.iter_mut().zip(numbers) {
            *seen = _mm512_or_pd(*seen, _mm512_sqrt_pd(black_box(number)));
        }
    }
    let mut rest = [0.0; 8];
    for seen in seen {
        // SAFETY: it is eight numbers, and the store asks for no alignment.
        unsafe { _mm512_storeu_pd(rest.as_mut_ptr(), seen) };
        black_box(rest);
    }
}
