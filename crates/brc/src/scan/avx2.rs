//! Heads in a register of 32 bytes, hashed with the instructions for AES. The only unsafe code of the crate.

use super::{HEAD, Kernel};
use crate::table::Table;
use std::arch::x86_64::*;

/// Proof that the machine has AVX2, AES and both sets of BMI: only [`detect`](Avx2::detect) makes one.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

/// From 33 ones to 32 zeros. The 32 bytes before the last `33 - n` ones leave `n` bytes of a head.
const MASKS: [u8; 2 * HEAD + 1] = {
    let mut masks = [0; 2 * HEAD + 1];
    let mut index = 0;
    while index <= HEAD {
        masks[index] = 0xff;
        index += 1;
    }
    masks
};

impl Avx2 {
    pub fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        has_all.then_some(Avx2(()))
    }

    pub fn scan(self, bytes: &[u8], table: &mut Table) -> bool {
        #[target_feature(enable = "avx2,aes,bmi1,bmi2")]
        fn scan(kernel: Avx2, bytes: &[u8], table: &mut Table) -> bool {
            crate::scan::scan(kernel, bytes, table)
        }
        // SAFETY: an `Avx2` exists only where `detect` has found all of these.
        unsafe { scan(self, bytes, table) }
    }
}

impl Kernel for Avx2 {
    type Head = __m256i;

    #[inline(always)]
    fn cut(self, bytes: &[u8; HEAD]) -> (__m256i, usize) {
        let loaded = self.load(bytes);
        // SAFETY: as in `scan`.
        let found = unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(loaded, _mm256_set1_epi8(b';' as i8))) } as u32;
        let len = found.trailing_zeros() as usize;
        let Some(mask) = MASKS[HEAD - len..].first_chunk() else { unreachable!("32 bytes follow in any case") };
        // SAFETY: as in `scan`.
        (unsafe { _mm256_and_si256(loaded, self.load(mask)) }, len)
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; HEAD]) -> __m256i {
        // SAFETY: the reference is to 32 bytes, which need no alignment here; for the instruction as in `scan`.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn is_same(self, head: __m256i, other: &[u8; HEAD]) -> bool {
        // SAFETY: as in `scan`.
        unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(head, self.load(other))) == -1 }
    }

    /// Three rounds of AES: after the first each byte stands for five, after the third for all.
    #[inline(always)]
    fn hash(self, head: __m256i) -> u64 {
        // SAFETY: as in `scan`.
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(head), _mm256_extracti128_si256::<1>(head));
            let key = _mm_set_epi64x(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
            let mixed = _mm_aesenc_si128(_mm_aesenc_si128(_mm_aesenc_si128(low, high), key), key);
            _mm_cvtsi128_si64(mixed) as u64
        }
    }

    fn long_row(self, bytes: &[u8], at: usize, table: &mut Table) -> Option<usize> {
        #[target_feature(enable = "avx2,aes,bmi1,bmi2")]
        fn long_row(kernel: Avx2, bytes: &[u8], at: usize, table: &mut Table) -> Option<usize> {
            crate::scan::long_row(kernel, bytes, at, table)
        }
        // SAFETY: as in `scan`.
        unsafe { long_row(self, bytes, at, table) }
    }
}
