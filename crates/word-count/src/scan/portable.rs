//! White space in words of eight bytes.

use super::BLOCK;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x80 * ONES;

/// A bit for each byte that is white space of ASCII.
pub fn spaces(block: &[u8; BLOCK]) -> u64 {
    let words = block.as_chunks::<8>().0.iter().rev();
    words.fold(0, |bits, word| bits << 8 | spaces_of_word(u64::from_le_bytes(*word)))
}

fn spaces_of_word(word: u64) -> u64 {
    // Bytes without their high bit, so that no sum reaches the next one; those that had it are left out in the end.
    let low = word & !HIGHS;
    let is_blank = !((low ^ (b' ' as u64 * ONES)) + 0x7f * ONES);
    let is_control = (low + (0x80 - 9) * ONES) & !(low + (0x80 - 14) * ONES);
    let found = (is_blank | is_control) & !word & HIGHS;
    // Brings the eight high bits together in the highest byte.
    (found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Asks for the memory of a value, where there is a way to do so in plain Rust: nowhere.
#[cfg(not(target_arch = "x86_64"))]
pub fn prefetch<T>(_: &T) {}
