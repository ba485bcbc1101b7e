//! Finding words: where white space begins and ends, 64 bytes at a time.
//!
//! The edges of a window are written to a buffer first, and the words between them are looked up in a second loop. Each
//! loop then runs long and the same way, which a processor foresees; looping over the few words of each 64 bytes it would
//! not.
//!
//! In a large text most words are in no cache. So words are looked up in batches: first the slots of all are asked for,
//! then they are visited, and the waiting is done for many at a time.

#[cfg(not(target_arch = "x86_64"))]
mod portable;
#[cfg(all(test, target_arch = "x86_64"))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(target_arch = "x86_64"))]
pub use portable::{prefetch, spaces};
#[cfg(target_arch = "x86_64")]
pub use sse2::{prefetch, spaces};

use crate::table::{Sought, Table};

/// Bytes that are looked at together.
const BLOCK: usize = 64;
/// Blocks whose edges are found before their words are looked up.
const BLOCKS: usize = 64;
const WINDOW: usize = BLOCK * BLOCKS;
/// Words whose slots are asked for together.
const BATCH: usize = 32;

/// Counts the words of a text; what the text begins and ends with are the borders of words.
pub fn count(text: &[u8], table: &mut Table) {
    let mut edges = [0u16; WINDOW + BLOCK];
    // Where the word begins that the window before has not ended.
    let mut open = None;
    for (index, window) in text.chunks(WINDOW).enumerate() {
        let base = index * WINDOW;
        let n_edges = find_edges(window, open.is_some(), &mut edges);
        let mut rest = &edges[..n_edges];
        if let (Some(start), Some((end, after))) = (open, rest.split_first()) {
            table.add(&text[start..base + usize::from(*end)], 1);
            open = None;
            rest = after;
        }
        let (words, last) = rest.as_chunks::<2>();
        for words in words.chunks(BATCH) {
            count_batch(text, base, words, table);
        }
        if let [start] = last {
            open = Some(base + usize::from(*start));
        }
    }
    if let Some(start) = open {
        table.add(&text[start..], 1);
    }
}

/// Counts words given by where they begin and end after `base`.
#[inline(always)]
fn count_batch(text: &[u8], base: usize, words: &[[u16; 2]], table: &mut Table) {
    let mut batch = [Sought::default(); BATCH];
    let mut n_sought = 0;
    for [start, end] in words {
        let (start, end) = (base + usize::from(*start), base + usize::from(*end));
        match table.seek(text, start, end) {
            Some(sought) => {
                batch[n_sought % BATCH] = sought;
                n_sought += 1;
            }
            None => table.add(&text[start..end], 1),
        }
    }
    for sought in &batch[..n_sought] {
        table.count(sought);
    }
}

/// Writes where words begin and end in a window, in turns; how many of them there are. First comes an end if a word is
/// open.
fn find_edges(window: &[u8], is_open: bool, edges: &mut [u16; WINDOW + BLOCK]) -> usize {
    let mut n_edges = 0;
    // Whether the byte before the block is in a word, in the lowest bit.
    let mut before = u64::from(is_open);
    let (blocks, tail) = window.as_chunks::<BLOCK>();
    let mut padded = [b' '; BLOCK];
    padded[..tail.len()].copy_from_slice(tail);
    for (index, block) in blocks.iter().enumerate() {
        let words = !spaces(block);
        n_edges = push(edges, n_edges, index * BLOCK, words ^ (words << 1 | before));
        before = words >> (BLOCK - 1);
    }
    if !tail.is_empty() {
        let words = !spaces(&padded);
        // White space that is not in the text ends no word: there may be no more text, but then its end does.
        let inside = !(u64::MAX << tail.len());
        n_edges = push(edges, n_edges, blocks.len() * BLOCK, (words ^ (words << 1 | before)) & inside);
    }
    n_edges
}

/// Appends the places of the bits that are set.
#[inline(always)]
fn push(edges: &mut [u16; WINDOW + BLOCK], n_edges: usize, base: usize, mut bits: u64) -> usize {
    let Some(room) = edges[n_edges..].first_chunk_mut::<BLOCK>() else {
        unreachable!("a block has room after all others")
    };
    let n_bits = bits.count_ones() as usize;
    // Sixteen at a time, needed or not: what is too much is overwritten.
    for sixteen in room.as_chunks_mut::<16>().0 {
        for edge in sixteen {
            *edge = (base + bits.trailing_zeros() as usize) as u16;
            bits &= bits.wrapping_sub(1);
        }
        if bits == 0 {
            break;
        }
    }
    n_edges + n_bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::is_space;
    use proptest::prelude::*;

    fn expected(block: &[u8; BLOCK]) -> u64 {
        block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is_space(*byte)))
    }

    #[test]
    fn every_byte_is_told_from_white_space() {
        for byte in 0..=255u8 {
            for place in 0..BLOCK {
                for rest in [b'x', b' ', 0xff, 0] {
                    let mut block = [rest; BLOCK];
                    block[place] = byte;
                    assert_eq!(spaces(&block), expected(&block), "{byte} at {place} in {rest}");
                    assert_eq!(portable::spaces(&block), expected(&block), "{byte} at {place} in {rest}");
                }
            }
        }
    }

    fn words(text: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let mut table = Table::new();
        count(text, &mut table);
        let mut words: Vec<_> = table.iter().map(|(word, count)| (word.to_vec(), count)).collect();
        words.sort();
        words
    }

    fn check(text: &[u8]) {
        let mut expected = std::collections::BTreeMap::new();
        for word in text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()) {
            *expected.entry(word.to_vec()).or_insert(0) += 1;
        }
        assert_eq!(words(text), expected.into_iter().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn words_are_those_between_white_space(
            text in proptest::collection::vec(prop_oneof![3 => Just(b'a'), 1 => Just(b' '), 1 => any::<u8>()], 0..700),
        ) {
            check(&text);
        }
    }

    #[test]
    fn words_may_lie_across_blocks_and_windows() {
        for len in [1, 15, 16, 17, 63, 64, 65, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW] {
            for before in [0, 1, 63, 64, WINDOW - 1, WINDOW] {
                for after in [0, 1, 2, WINDOW] {
                    let text = [vec![b' '; before], vec![b'w'; len], vec![b'\n'; after]].concat();
                    check(&text);
                    check(&[&text[..], b"x y"].concat());
                }
            }
        }
        check(&b"a ".repeat(2 * WINDOW));
    }
}
