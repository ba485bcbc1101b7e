//! Heads as four words and tails as nine, for every machine.

use super::{BODY, HEAD, Kernel, LONG_WINDOW, NECK};
use crate::number;
use crate::table::{Table, mix};
use std::num::NonZeroUsize;

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
    type Tail = [u64; (NECK + BODY) / 8];

    #[inline(always)]
    fn cut(self, bytes: &[u8; HEAD]) -> (Self::Head, usize) {
        cut(self.load(bytes))
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; HEAD]) -> Self::Head {
        words(bytes)
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

    #[inline(always)]
    fn cut_long(self, bytes: &[u8; LONG_WINDOW]) -> (Self::Head, Self::Tail, usize) {
        let (head, rest) = bytes.split_at(HEAD);
        let (tail, tail_len) = cut(words(rest));
        (words(head), tail, HEAD + tail_len)
    }

    #[inline(always)]
    fn load_tail(self, neck: &[u8; NECK], body: &[u8; BODY]) -> Self::Tail {
        let ([neck], body): ([u64; 1], [u64; BODY / 8]) = (words(neck), words(body));
        std::array::from_fn(|index| if index == 0 { neck } else { body[index - 1] })
    }

    #[inline(always)]
    fn is_same_tail(self, tail: Self::Tail, other: Self::Tail) -> bool {
        tail == other
    }

    #[inline(always)]
    fn hash_long(self, head: Self::Head, tail: Self::Tail) -> u64 {
        // What is zero behind the name need not be mixed in. Eight zeros inside one end it, too: that only makes a collision.
        let words = tail.into_iter().take_while(|word| *word != 0);
        words.fold(self.hash(head), |hash, word| mix(hash ^ word))
    }

    #[inline(always)]
    fn gather(self, word: u64, bits: u64) -> u64 {
        number::gather(word, bits)
    }

    #[inline(always)]
    fn announce(self, _: &[u8], _: usize) {}

    fn long_row(self, bytes: &[u8], at: usize, table: &mut Table) -> Option<NonZeroUsize> {
        super::long_row(self, bytes, at, table)
    }
}

/// The bytes up to the first `;` and with it, then zeros; and how many are before it.
#[inline(always)]
fn cut<const WORDS: usize>(words: [u64; WORDS]) -> ([u64; WORDS], usize) {
    let mut cut = [0; WORDS];
    for (index, word) in words.into_iter().enumerate() {
        // The lowest high bit that is set is at the first `;`: a borrow can only make mistakes above it.
        let other = word ^ SEMICOLONS;
        let found = other.wrapping_sub(ONES) & !other & HIGHS;
        if found != 0 {
            // Up to the high bit of that byte, and with it.
            cut[index] = word & (found ^ (found - 1));
            return (cut, index * 8 + found.trailing_zeros() as usize / 8);
        }
        cut[index] = word;
    }
    (cut, WORDS * 8)
}

/// So many words of a slice that has them.
#[inline(always)]
fn words<const WORDS: usize>(bytes: &[u8]) -> [u64; WORDS] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|index| u64::from_le_bytes(words[index]))
}
