//! Something to compress, for those who have nothing at hand.

use std::fmt::Write;
use std::io::Cursor;

/// Made-up lines of a log, always the same ones.
pub fn log(lines: u32) -> Cursor<String> {
    const WORDS: [&str; 8] = ["grain", "flour", "stone", "wheel", "water", "sack", "sieve", "miller"];
    let mut text = String::new();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for line in 0..lines {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = |shift: u32| WORDS[(state >> shift) as usize % WORDS.len()];
        let (verb, noun, micros) = (word(20), word(30), state >> 50);
        // A string takes everything.
        let _ = writeln!(text, "{line:08} {verb} {noun} took {micros} us");
    }
    Cursor::new(text)
}
