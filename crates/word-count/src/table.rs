//! Words and how often they occur: a hash table that one worker has for itself.
//!
//! A slot has 32 bytes, two to a cache line. A word of up to 16 bytes is in its slot; a longer one is in the arena, and
//! its slot has its hash. The highest bits of the hash say where a word belongs, and the slots after that are probed; so a
//! range of slots holds a range of hashes, which is what lets [ranges](Table::range) be merged one by one.

use crate::hash::{Seed, halves};
use crate::scan::prefetch;

/// Bytes of a word that is in its slot.
const SHORT: usize = 16;
const FIRST_SLOTS: usize = 1 << 12;
/// Slots at least for each word.
const SPARSE: usize = 2;

/// What is left of the first 16 bytes for a word of so many.
const MASKS: [[u64; 2]; SHORT + 1] = {
    let mut masks = [[0; 2]; SHORT + 1];
    let mut len = 1;
    while len <= SHORT {
        let mask = u128::MAX >> (128 - 8 * len);
        masks[len] = [mask as u64, (mask >> 64) as u64];
        len += 1;
    }
    masks
};

#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Slot {
    /// A short word and zeros; of a long one the first eight bytes and the hash.
    head: [u8; SHORT],
    /// The length of a short word; of a long one where it is in the arena, counted from `SHORT + 1`.
    tail: usize,
    /// Zero if the slot is empty.
    count: u64,
}

const EMPTY: Slot = Slot { head: [0; SHORT], tail: 0, count: 0 };

/// A short word on its way to its slot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sought {
    head: [u64; 2],
    len: usize,
    hash: u64,
}

/// The words that a worker has seen.
#[derive(Debug, Clone)]
pub struct Table {
    /// A power of two of them.
    slots: Vec<Slot>,
    /// High bits that all hashes of this table have in common, and that are not used.
    common: u32,
    /// How far what is left of a hash is shifted to become a slot.
    shift: u32,
    words: usize,
    seed: Seed,
    /// Long words, each with its length before it.
    arena: Vec<u8>,
}

impl Table {
    pub fn new() -> Self {
        Table::with_room(0, 0)
    }

    /// A table that need not grow for so many words, whose hashes have so many high bits in common.
    pub fn with_room(words: usize, common: u32) -> Self {
        let n_slots = words.saturating_mul(SPARSE).max(FIRST_SLOTS).next_power_of_two();
        let (shift, seed) = (u64::BITS - n_slots.ilog2(), Seed::get());
        Table { slots: vec![EMPTY; n_slots], common, shift, words: 0, seed, arena: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.words
    }

    /// Begins to look for the word that is there in the text: its slot is on the way to the cache. `None` if the word is
    /// long, or so near the end of the text that what is after it cannot be read.
    #[inline(always)]
    pub fn seek(&self, text: &[u8], start: usize, end: usize) -> Option<Sought> {
        let first = text.get(start..)?.first_chunk::<SHORT>()?;
        let len = end - start;
        let mask = MASKS.get(len)?;
        let [low, high] = halves(first);
        let head = [low & mask[0], high & mask[1]];
        let hash = self.seed.hash(head);
        prefetch(&self.slots[self.home(hash)]);
        Some(Sought { head, len, hash })
    }

    /// Counts a word that was looked for in this table.
    #[inline(always)]
    pub fn count(&mut self, sought: &Sought) {
        self.add_short(sought.head, sought.len, sought.hash, 1);
    }

    /// Counts a word so many times.
    #[inline(never)]
    pub fn add(&mut self, word: &[u8], count: u64) {
        if word.len() > SHORT {
            self.add_long(word, count);
        } else {
            let mut head = [0; SHORT];
            head[..word.len()].copy_from_slice(word);
            let head = halves(&head);
            self.add_short(head, word.len(), self.seed.hash(head), count);
        }
    }

    #[inline(always)]
    fn add_short(&mut self, head: [u64; 2], len: usize, hash: u64, count: u64) {
        let last = self.slots.len() - 1;
        let mut index = self.home(hash);
        loop {
            let slot = &mut self.slots[index];
            let [low, high] = halves(&slot.head);
            // One condition, as three would be three branches.
            if (low ^ head[0]) | (high ^ head[1]) | (slot.tail ^ len) as u64 == 0 {
                slot.count += count;
                return;
            }
            if slot.count == 0 {
                return self.insert(index, Slot { head: joined(head), tail: len, count });
            }
            index = (index + 1) & last;
        }
    }

    fn add_long(&mut self, word: &[u8], count: u64) {
        let hash = self.seed.hash_bytes(word);
        let head = joined([halves(first_of(word))[0], hash]);
        let last = self.slots.len() - 1;
        let mut index = self.home(hash);
        loop {
            let slot = &self.slots[index];
            if slot.count == 0 {
                let tail = self.arena.len() + SHORT + 1;
                self.arena.extend_from_slice(&word.len().to_ne_bytes());
                self.arena.extend_from_slice(word);
                return self.insert(index, Slot { head, tail, count });
            }
            if slot.head == head && slot.tail > SHORT && self.long_word(slot) == word {
                self.slots[index].count += count;
                return;
            }
            index = (index + 1) & last;
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, index: usize, slot: Slot) {
        self.slots[index] = slot;
        self.words += 1;
        if self.words * SPARSE > self.slots.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let slots = vec![EMPTY; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, slots);
        self.shift -= 1;
        let last = self.slots.len() - 1;
        for slot in old.into_iter().filter(|slot| slot.count > 0) {
            let mut index = self.home(self.hash(&slot));
            while self.slots[index].count > 0 {
                index = (index + 1) & last;
            }
            self.slots[index] = slot;
        }
    }

    fn hash(&self, slot: &Slot) -> u64 {
        let halves = halves(&slot.head);
        if slot.tail > SHORT { halves[1] } else { self.seed.hash(halves) }
    }

    /// The slot where a word belongs.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        ((hash << self.common) >> self.shift) as usize & (self.slots.len() - 1)
    }

    fn long_word(&self, slot: &Slot) -> &[u8] {
        let (len, rest) = self.arena[slot.tail - SHORT - 1..].split_at(size_of::<usize>());
        let len = len.first_chunk().map_or(0, |len| usize::from_ne_bytes(*len));
        &rest[..len]
    }

    fn word<'a>(&'a self, slot: &'a Slot) -> &'a [u8] {
        if slot.tail > SHORT { self.long_word(slot) } else { &slot.head[..slot.tail] }
    }

    /// Words with their counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.slots.iter().filter(|slot| slot.count > 0).map(|slot| (self.word(slot), slot.count))
    }

    /// The words of one of so many ranges of hashes; `parts` is a power of two, and at
    /// most [`MOST_PARTS`](Table::MOST_PARTS). The table must have no bits in common.
    pub fn range(&self, part: usize, parts: usize) -> impl Iterator<Item = (&[u8], u64)> {
        let last = self.slots.len() - 1;
        let width = self.slots.len() / parts;
        let (start, end) = (part * width, (part + 1) * width);
        // Words that belong to the end of the range may be after it, up to the first empty slot; those of the range
        // before it may be in it.
        let after = (end..end + self.slots.len()).map(move |index| &self.slots[index & last]);
        let slots = self.slots[start..end].iter().chain(after.take_while(|slot| slot.count > 0));
        let is_inside = move |slot: &&Slot| slot.count > 0 && (start..end).contains(&self.home(self.hash(slot)));
        slots.filter(is_inside).map(|slot| (self.word(slot), slot.count))
    }

    /// The ranges that a table can be cut in at most.
    pub const MOST_PARTS: usize = FIRST_SLOTS;
}

/// The first bytes of a long word.
fn first_of(word: &[u8]) -> &[u8; SHORT] {
    word.first_chunk().expect("a long word is longer than that")
}

fn joined([low, high]: [u64; 2]) -> [u8; SHORT] {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}
