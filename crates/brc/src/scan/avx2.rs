//! Heads in a register of 32 bytes and tails in three, hashed with the instructions for AES. The only unsafe code of the
//! crate.

use super::{BODY, HEAD, Kernel, LONG_WINDOW, NECK, first};
use crate::table::Table;
use std::arch::x86_64::*;
use std::num::NonZeroUsize;

/// Proof that the machine has AVX2, AES and both sets of BMI: only [`detect`](Avx2::detect) makes one.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

/// How far ahead rows with long names are asked for: some ten of them.
const AHEAD: usize = 1024;

/// One more ones than a window has bytes, then as many zeros as it has: see [`masks`].
const MASKS: [u8; 2 * LONG_WINDOW + 1] = {
    let mut masks = [0; 2 * LONG_WINDOW + 1];
    let mut index = 0;
    while index <= LONG_WINDOW {
        masks[index] = 0xff;
        index += 1;
    }
    masks
};

/// Where the [`MASKS`] begin that leave so many bytes of a window, and the `;`.
#[inline(always)]
fn masks(len: usize) -> &'static [u8; LONG_WINDOW] {
    let Some(masks) = MASKS[LONG_WINDOW - len..].first_chunk() else { unreachable!("as many follow in any case") };
    masks
}

/// A tail in registers.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    neck: u64,
    body: [__m256i; 2],
}

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

    /// A bit for each byte that is one.
    #[inline(always)]
    fn semicolons(self, bytes: __m256i) -> u32 {
        // SAFETY: as in `scan`.
        unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b';' as i8))) as u32 }
    }

    /// What is where the tail of a name would be.
    #[inline(always)]
    fn load_long(self, bytes: &[u8; LONG_WINDOW]) -> Tail {
        self.load_tail(first(&bytes[HEAD..]), first(&bytes[HEAD + NECK..]))
    }
}

impl Kernel for Avx2 {
    type Head = __m256i;
    type Tail = Tail;

    #[inline(always)]
    fn cut(self, bytes: &[u8; HEAD]) -> (__m256i, usize) {
        let loaded = self.load(bytes);
        let len = self.semicolons(loaded).trailing_zeros() as usize;
        // SAFETY: as in `scan`.
        (unsafe { _mm256_and_si256(loaded, self.load(first(masks(len)))) }, len)
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

    #[inline(always)]
    fn cut_long(self, bytes: &[u8; LONG_WINDOW]) -> (__m256i, Tail, usize) {
        let found = |at: usize| u128::from(self.semicolons(self.load(first(&bytes[at..]))));
        let found = found(HEAD) | found(2 * HEAD) << 32 | found(3 * HEAD) << 64;
        // All 128 bytes are left if there is none.
        let len = (HEAD + found.trailing_zeros() as usize).min(LONG_WINDOW);
        let (name, masks) = (self.load_long(bytes), self.load_long(masks(len)));
        // SAFETY: as in `scan`.
        let body =
            unsafe { [_mm256_and_si256(name.body[0], masks.body[0]), _mm256_and_si256(name.body[1], masks.body[1])] };
        (self.load(first(bytes)), Tail { neck: name.neck & masks.neck, body }, len)
    }

    #[inline(always)]
    fn load_tail(self, neck: &[u8; NECK], body: &[u8; BODY]) -> Tail {
        Tail { neck: u64::from_le_bytes(*neck), body: [self.load(first(body)), self.load(first(&body[HEAD..]))] }
    }

    #[inline(always)]
    fn is_same_tail(self, tail: Tail, other: Tail) -> bool {
        // SAFETY: as in `scan`.
        let is_same = unsafe {
            let differ = [_mm256_xor_si256(tail.body[0], other.body[0]), _mm256_xor_si256(tail.body[1], other.body[1])];
            let differ = _mm256_or_si256(differ[0], differ[1]);
            _mm256_testz_si256(differ, differ) != 0
        };
        is_same & (tail.neck == other.neck)
    }

    /// Parts side by side, then what has become of them.
    #[inline(always)]
    fn hash_long(self, head: __m256i, tail: Tail) -> u64 {
        // SAFETY: as in `scan`.
        unsafe {
            // Not by a closure: that would not be compiled for this machine.
            let [low, high] = tail.body;
            let head = _mm_aesenc_si128(_mm256_castsi256_si128(head), _mm256_extracti128_si256::<1>(head));
            let low = _mm_aesenc_si128(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
            let high = _mm_aesenc_si128(_mm256_castsi256_si128(high), _mm256_extracti128_si256::<1>(high));
            let neck = _mm_aesenc_si128(_mm_cvtsi64_si128(tail.neck as i64), head);
            let mixed = _mm_aesenc_si128(neck, _mm_aesenc_si128(low, high));
            let key = _mm_set_epi64x(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
            _mm_cvtsi128_si64(_mm_aesenc_si128(_mm_aesenc_si128(mixed, key), key)) as u64
        }
    }

    #[inline(always)]
    fn gather(self, word: u64, bits: u64) -> u64 {
        // SAFETY: as in `scan`.
        unsafe { _pext_u64(word, bits) }
    }

    #[inline(always)]
    fn announce(self, bytes: &[u8], at: usize) {
        // SAFETY: as in `scan`. It may point anywhere: nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(at + AHEAD).cast()) }
    }

    fn long_row(self, bytes: &[u8], at: usize, table: &mut Table) -> Option<NonZeroUsize> {
        #[target_feature(enable = "avx2,aes,bmi1,bmi2")]
        fn long_row(kernel: Avx2, bytes: &[u8], at: usize, table: &mut Table) -> Option<NonZeroUsize> {
            crate::scan::long_row(kernel, bytes, at, table)
        }
        // SAFETY: as in `scan`.
        unsafe { long_row(self, bytes, at, table) }
    }
}
