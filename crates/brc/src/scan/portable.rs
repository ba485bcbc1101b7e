//! Heads as four words, for every machine.

use super::{HEAD, Kernel};
use crate::table::{Table, mix};

const SEMICOLONS: u64 = u64::from_ne_bytes([b';'; 8]);
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Needs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Portable {
    pub fn scan(self, bytes: &[u8], table: &mut Table) -> bool {
        super::scan(self, bytes, table)
    }
}

impl Kernel for Portable {
    type Head = [u64; HEAD / 8];

    #[inline(always)]
    fn cut(self, bytes: &[u8; HEAD]) -> (Self::Head, usize) {
        let words = self.load(bytes);
        let mut head = [0; HEAD / 8];
        for (index, word) in words.into_iter().enumerate() {
            // The lowest high bit that is set is at the first `;`: a borrow can only make mistakes above it.
            let other = word ^ SEMICOLONS;
            let found = other.wrapping_sub(ONES) & !other & HIGHS;
            if found != 0 {
                // Up to the high bit of that byte, and with it.
                head[index] = word & (found ^ (found - 1));
                return (head, index * 8 + found.trailing_zeros() as usize / 8);
            }
            head[index] = word;
        }
        (head, HEAD)
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; HEAD]) -> Self::Head {
        let (words, _) = bytes.as_chunks::<8>();
        std::array::from_fn(|index| u64::from_le_bytes(words[index]))
    }

    #[inline(always)]
    fn is_same(self, head: Self::Head, other: &[u8; HEAD]) -> bool {
        head == self.load(other)
    }

    #[inline(always)]
    fn hash(self, head: Self::Head) -> u64 {
        let [first, second, third, fourth] = head;
        mix(mix(mix(first) ^ second) ^ third ^ fourth.rotate_left(32))
    }

    fn long_row(self, bytes: &[u8], at: usize, table: &mut Table) -> Option<usize> {
        super::long_row(self, bytes, at, table)
    }
}
