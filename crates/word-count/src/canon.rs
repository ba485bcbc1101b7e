//! From what lies between white space of ASCII to words.

use crate::space::is_space;
use crate::table::Table;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Bytes between white space of ASCII, valid UTF-8 or not.
    Ascii,
    /// Characters between white space of Unicode ([`char::is_whitespace`]). What is not UTF-8 becomes U+FFFD, as
    /// [`String::from_utf8_lossy`] has it.
    Unicode,
}

/// What becomes of capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They stay: `The` is not `the`.
    Kept,
    /// They become small: letters of ASCII only, or in [`Words::Unicode`] each character by itself
    /// ([`char::to_lowercase`], so `Σ` is `σ` also at the end of a word).
    Lowered,
}

/// Whether raw words are words already.
pub fn is_raw(words: Words, case: Case) -> bool {
    words == Words::Ascii && case == Case::Kept
}

/// The table of the words that a table of raw ones stands for.
pub fn canonical(raw: &Table, words: Words, case: Case) -> Table {
    let mut table = Table::with_room(raw.len(), 0);
    let mut scratch = String::new();
    let mut bytes = Vec::new();
    for (word, count) in raw.iter() {
        if words == Words::Unicode && !word.is_ascii() {
            add_unicode(word, count, case, &mut table, &mut scratch);
            continue;
        }
        bytes.clear();
        bytes.extend_from_slice(word);
        if case == Case::Lowered {
            bytes.make_ascii_lowercase();
        }
        // No space of Unicode is among the other bytes of ASCII.
        debug_assert!(!bytes.iter().any(|byte| is_space(*byte)));
        table.add(&bytes, count);
    }
    table
}

fn add_unicode(raw: &[u8], count: u64, case: Case, table: &mut Table, scratch: &mut String) {
    for word in String::from_utf8_lossy(raw).split_whitespace() {
        match case {
            Case::Kept => table.add(word.as_bytes(), count),
            Case::Lowered => {
                scratch.clear();
                scratch.extend(word.chars().flat_map(char::to_lowercase));
                table.add(scratch.as_bytes(), count);
            }
        }
    }
}
