//! Stations by name: a hash table that one worker has for itself.
//!
//! A slot is a cache line: the first 32 bytes of the name, the figures, and eight more bytes of longer names. What is left
//! of these is in a cache line of its own, whose place is that of the slot, so both are on their way at once. A name and its
//! `;` that fit in 32 bytes are found by one comparison. Longer ones have no `;` in their first 32 bytes, so the two kinds
//! cannot be mistaken for each other.
//!
//! Slots are probed one after another. The table is kept nearly empty, as every name that is not in its first place costs
//! a mispredicted branch a row.

use crate::scan::{BODY, HEAD, Kernel, NECK, first};
use crate::stats::Stats;

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
    /// What a long name has after its first 32 bytes: up to `;`, then zeros.
    neck: [u8; NECK],
}

/// What is after that.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Body([u8; BODY]);

impl Body {
    const EMPTY: Body = Body([0; BODY]);
}

impl Slot {
    const EMPTY: Slot = Slot { head: [0; HEAD], stats: Stats::NONE, neck: [0; NECK] };

    fn is_empty(&self) -> bool {
        self.stats.count == 0
    }

    fn name(&self, body: &Body) -> Vec<u8> {
        self.head.iter().chain(&self.neck).chain(&body.0).copied().take_while(|byte| *byte != b';').collect()
    }
}

/// The stations that a worker has seen.
#[derive(Debug, Clone)]
pub struct Table {
    /// A power of two of them.
    slots: Vec<Slot>,
    /// One for each slot; none as long as no name is longer than a head.
    bodies: Vec<Body>,
    stations: usize,
}

impl Table {
    pub fn new() -> Self {
        Table { slots: vec![Slot::EMPTY; FIRST_SLOTS], bodies: Vec::new(), stations: 0 }
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

    /// The station whose name begins with this head, which has no `;` in it, and ends with this tail.
    #[inline(always)]
    pub fn find_long<K: Kernel>(&mut self, kernel: K, head: K::Head, tail: K::Tail) -> Option<&mut Stats> {
        let index = self.place_of_long(kernel, head, tail);
        let slot = &mut self.slots[index];
        if slot.is_empty() { None } else { Some(&mut slot.stats) }
    }

    #[inline(always)]
    fn place_of_long<K: Kernel>(&self, kernel: K, head: K::Head, tail: K::Tail) -> usize {
        let last = self.slots.len() - 1;
        let mut index = kernel.hash_long(head, tail) as usize & last;
        loop {
            let (slot, body) = (&self.slots[index], self.bodies.get(index).unwrap_or(&Body::EMPTY));
            let has_tail = kernel.is_same_tail(tail, kernel.load_tail(&slot.neck, &body.0));
            if kernel.is_same(head, &slot.head) & has_tail || slot.is_empty() {
                return index;
            }
            index = (index + 1) & last;
        }
    }

    /// The figures of a station, which is added if it is new. The name has been checked.
    pub fn find_or_add<K: Kernel>(&mut self, kernel: K, name: &[u8]) -> &mut Stats {
        let mut index = self.place(kernel, name);
        if self.slots[index].is_empty() {
            if (self.stations + 1) * self.slots_each() > self.slots.len() {
                self.grow(kernel);
                index = self.place(kernel, name);
            }
            self.stations += 1;
            self.put(index, name, Stats::NONE);
        }
        &mut self.slots[index].stats
    }

    fn slots_each(&self) -> usize {
        if self.slots.len() < MANY_SLOTS { SPARSE } else { DENSE }
    }

    /// Where a name is, or the empty slot where it belongs.
    fn place<K: Kernel>(&self, kernel: K, name: &[u8]) -> usize {
        let (head, neck, body) = cut(name);
        let head = kernel.load(&head);
        if name.len() >= HEAD {
            return self.place_of_long(kernel, head, kernel.load_tail(&neck, &body));
        }
        let last = self.slots.len() - 1;
        let mut index = kernel.hash(head) as usize & last;
        while !self.slots[index].is_empty() && !kernel.is_same(head, &self.slots[index].head) {
            index = (index + 1) & last;
        }
        index
    }

    /// Fills an empty slot.
    fn put(&mut self, index: usize, name: &[u8], stats: Stats) {
        let (head, neck, body) = cut(name);
        self.slots[index] = Slot { head, stats, neck };
        if name.len() >= HEAD {
            self.bodies.resize(self.slots.len(), Body::EMPTY);
            self.bodies[index] = Body(body);
        }
    }

    fn grow<K: Kernel>(&mut self, kernel: K) {
        let twice =
            Table { slots: vec![Slot::EMPTY; self.slots.len() * 2], bodies: Vec::new(), stations: self.stations };
        let old = std::mem::replace(self, twice);
        for (name, stats) in old.iter() {
            self.put(self.place(kernel, &name), &name, stats);
        }
    }

    /// Names with their figures, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Vec<u8>, Stats)> {
        let bodies = self.bodies.iter().chain(std::iter::repeat(&Body::EMPTY));
        let slots = self.slots.iter().zip(bodies).filter(|(slot, _)| !slot.is_empty());
        slots.map(|(slot, body)| (slot.name(body), slot.stats))
    }
}

/// What the table has of a name: its bytes, then `;` and zeros. There is always room for the `;` of a name that is checked.
fn cut(name: &[u8]) -> ([u8; HEAD], [u8; NECK], [u8; BODY]) {
    let mut bytes = [0; HEAD + NECK + BODY];
    bytes[..name.len()].copy_from_slice(name);
    bytes[name.len()] = b';';
    let (head, tail) = bytes.split_at(HEAD);
    let (neck, body) = tail.split_at(NECK);
    (*first(head), *first(neck), *first(body))
}

/// Half of a product folded on the other: every bit of the result depends on every bit of the word.
#[inline(always)]
pub fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
    (product >> 64) as u64 ^ product as u64
}
