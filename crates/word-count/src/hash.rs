//! Hashes of words.
//!
//! One product of 64 by 64 bits for a word of up to 16 bytes, its halves folded, as in wyhash. The seed is drawn anew in
//! every process, so that nobody can write a text all of whose words fall in one place. Tables of one process share it:
//! merging them relies on equal words having equal hashes.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

static SEED: LazyLock<Seed> = LazyLock::new(|| {
    let random = RandomState::new();
    Seed([random.hash_one(0), random.hash_one(1)])
});

/// Where hashes begin.
#[derive(Debug, Clone, Copy)]
pub struct Seed([u64; 2]);

impl Seed {
    /// That of the process.
    pub fn get() -> Self {
        *SEED
    }

    #[inline(always)]
    pub fn hash(self, [first, second]: [u64; 2]) -> u64 {
        let product = u128::from(first ^ self.0[0]) * u128::from(second ^ self.0[1]);
        (product >> 64) as u64 ^ product as u64
    }

    /// The hash of a word of any length.
    pub fn hash_bytes(self, word: &[u8]) -> u64 {
        let (pairs, tail) = word.as_chunks::<16>();
        let hash = pairs.iter().fold(word.len() as u64, |hash, pair| {
            let [first, second] = halves(pair);
            self.hash([first ^ hash, second])
        });
        let mut last = [0; 16];
        last[..tail.len()].copy_from_slice(tail);
        let [first, second] = halves(&last);
        self.hash([first ^ hash, second ^ hash.rotate_left(32)])
    }
}

/// Two words of eight bytes.
#[inline(always)]
pub fn halves(bytes: &[u8; 16]) -> [u64; 2] {
    let word = u128::from_le_bytes(*bytes);
    [word as u64, (word >> 64) as u64]
}
