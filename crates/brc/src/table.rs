//! Stations by name: a hash table that one worker has for itself.
//!
//! A slot is a cache line: the beginning of the name, the figures, and a pointer to the rest of the few names that are
//! longer. A name and its `;` that fit in 32 bytes are found by one comparison. Longer ones have the same 32 bytes in
//! front, without a `;` among them, so the two kinds cannot be mistaken for each other.
//!
//! Slots are probed one after another. The table is kept nearly empty, as every name that is not in its first place costs
//! a mispredicted branch a row.

use crate::row::LONGEST_NAME;
use crate::scan::{HEAD, Kernel};
use crate::stats::Stats;

/// Bytes of a name that are not in its slot.
const REST: usize = LONGEST_NAME - HEAD;
/// Slots at least for each station, while that is few bytes: then 1 in 64 is not in its first place.
const SPARSE: usize = 32;
/// The same when there are many stations, and a smaller table is quicker.
const DENSE: usize = 4;
/// Fewer slots than this are few.
const MANY_SLOTS: usize = 1 << 14;
const FIRST_SLOTS: usize = 1 << 10;

#[derive(Debug, Clone)]
#[repr(align(64))]
struct Slot {
    /// A name, `;` and zeros; or the first 32 bytes of a longer name. All zero if the slot is empty.
    head: [u8; HEAD],
    stats: Stats,
    rest: Option<Box<Rest>>,
}

/// What a long name has after its first 32 bytes.
#[derive(Debug, Clone)]
struct Rest {
    len: u8,
    bytes: [u8; REST],
}

impl Rest {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; REST];
        bytes[..text.len()].copy_from_slice(text);
        // `REST` fits in a byte.
        Rest { len: text.len() as u8, bytes }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Slot {
    const EMPTY: Slot = Slot { head: [0; HEAD], stats: Stats::NONE, rest: None };

    fn is_empty(&self) -> bool {
        self.stats.count == 0
    }

    fn name(&self) -> Vec<u8> {
        match &self.rest {
            Some(rest) => [&self.head[..], rest.as_bytes()].concat(),
            None => self.head.iter().copied().take_while(|byte| *byte != b';').collect(),
        }
    }
}

/// The stations that a worker has seen.
#[derive(Debug, Clone)]
pub struct Table {
    /// A power of two of them.
    slots: Vec<Slot>,
    stations: usize,
}

impl Table {
    pub fn new() -> Self {
        Table { slots: vec![Slot::EMPTY; FIRST_SLOTS], stations: 0 }
    }

    pub fn len(&self) -> usize {
        self.stations
    }

    /// The station whose name, with its `;`, is this head and no more.
    #[inline(always)]
    pub fn find_short<K: Kernel>(&mut self, kernel: K, head: K::Head) -> Option<&mut Stats> {
        let last = self.slots.len() - 1;
        let mut index = kernel.hash(head) as usize & last;
        while !kernel.is_same(head, &self.slots[index].head) {
            if self.slots[index].is_empty() {
                return None;
            }
            index = (index + 1) & last;
        }
        Some(&mut self.slots[index].stats)
    }

    /// The station whose name begins with this head, which has no `;` in it, and goes on like that.
    #[inline(always)]
    pub fn find_long<K: Kernel>(&mut self, kernel: K, head: K::Head, rest: &[u8]) -> Option<&mut Stats> {
        let index = self.place_of_long(kernel, head, rest);
        let slot = &mut self.slots[index];
        if slot.is_empty() { None } else { Some(&mut slot.stats) }
    }

    #[inline(always)]
    fn place_of_long<K: Kernel>(&self, kernel: K, head: K::Head, rest: &[u8]) -> usize {
        let last = self.slots.len() - 1;
        let mut index = hash_rest(kernel.hash(head), rest) as usize & last;
        loop {
            let slot = &self.slots[index];
            let is_rest = || slot.rest.as_ref().is_some_and(|other| other.as_bytes() == rest);
            if slot.is_empty() || kernel.is_same(head, &slot.head) && is_rest() {
                return index;
            }
            index = (index + 1) & last;
        }
    }

    /// The figures of a station, which is added if it is new. The name has been checked.
    pub fn find_or_add<K: Kernel>(&mut self, kernel: K, name: &[u8]) -> &mut Stats {
        let mut slot = self.place(kernel, name);
        if self.slots[slot].is_empty() && (self.stations + 1) * self.slots_each() > self.slots.len() {
            self.grow(kernel);
            slot = self.place(kernel, name);
        }
        let slot = &mut self.slots[slot];
        if slot.is_empty() {
            self.stations += 1;
            slot.head = head_of(name);
            slot.rest = name.get(HEAD..).map(|rest| Box::new(Rest::new(rest)));
        }
        &mut slot.stats
    }

    fn slots_each(&self) -> usize {
        if self.slots.len() < MANY_SLOTS { SPARSE } else { DENSE }
    }

    /// Where a name is, or the empty slot where it belongs.
    fn place<K: Kernel>(&self, kernel: K, name: &[u8]) -> usize {
        let head = kernel.load(&head_of(name));
        if let Some(rest) = name.get(HEAD..) {
            return self.place_of_long(kernel, head, rest);
        }
        let last = self.slots.len() - 1;
        let mut index = kernel.hash(head) as usize & last;
        while !self.slots[index].is_empty() && !kernel.is_same(head, &self.slots[index].head) {
            index = (index + 1) & last;
        }
        index
    }

    fn grow<K: Kernel>(&mut self, kernel: K) {
        let slots = vec![Slot::EMPTY; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old.into_iter().filter(|slot| !slot.is_empty()) {
            let place = self.place(kernel, &slot.name());
            self.slots[place] = slot;
        }
    }

    /// Names with their figures, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Vec<u8>, Stats)> {
        self.slots.iter().filter(|slot| !slot.is_empty()).map(|slot| (slot.name(), slot.stats))
    }
}

/// What a slot has of a name.
fn head_of(name: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    match name.first_chunk() {
        Some(first) => head = *first,
        None => {
            head[..name.len()].copy_from_slice(name);
            head[name.len()] = b';';
        }
    }
    head
}

/// Goes on hashing after the first 32 bytes.
#[inline(always)]
fn hash_rest(hash: u64, rest: &[u8]) -> u64 {
    let (words, tail) = rest.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| mix(hash ^ u64::from_le_bytes(*word)));
    let tail = tail.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(hash ^ tail ^ (rest.len() as u64) << 56)
}

/// Half of a product folded on the other: every bit of the result depends on every bit of the word.
#[inline(always)]
pub fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
    (product >> 64) as u64 ^ product as u64
}
