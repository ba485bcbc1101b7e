//! White space in registers of 16 bytes, which every x86-64 has. The only unsafe code of the crate.

use super::BLOCK;
use std::arch::x86_64::*;

/// A bit for each byte that is white space of ASCII.
#[inline(always)]
pub fn spaces(block: &[u8; BLOCK]) -> u64 {
    let quarters = block.as_chunks::<16>().0.iter().rev();
    quarters.fold(0, |bits, quarter| bits << 16 | spaces_of_quarter(quarter))
}

#[inline(always)]
fn spaces_of_quarter(bytes: &[u8; 16]) -> u64 {
    // SAFETY: the reference is to 16 bytes, which need no alignment here, and every x86-64 has SSE2.
    unsafe {
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        let is_blank = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b' ' as i8));
        // 9 to 13 become 0 to 4, all others more.
        let from_tab = _mm_sub_epi8(bytes, _mm_set1_epi8(9));
        let is_control = _mm_cmpeq_epi8(_mm_min_epu8(from_tab, _mm_set1_epi8(4)), from_tab);
        _mm_movemask_epi8(_mm_or_si128(is_blank, is_control)) as u64
    }
}

/// Asks for the memory of a value, without waiting for it.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    // SAFETY: this changes nothing that a program can see, whatever the address; and every x86-64 has SSE.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) }
}
