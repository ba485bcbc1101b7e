//! A row that is none.

use std::fmt;

/// A line that is not `station;temperature`, with its place.
///
/// It ends the count: [`Tally::finish`](crate::Tally::finish) returns the first one of the file, whatever the number of
/// workers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} in the line at byte {offset}: `{text}`")]
pub struct BadRow {
    pub(crate) offset: u64,
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// The most characters of a line that an error shows.
const SHOWN: usize = 120;

impl BadRow {
    pub(crate) fn new(offset: u64, reason: Reason, line: &[u8]) -> Self {
        // A character has four bytes at most.
        let line = String::from_utf8_lossy(&line[..line.len().min(4 * SHOWN)]);
        let mut text: String = line.chars().take(SHOWN).collect();
        if text.len() < line.len() {
            text.push('…');
        }
        BadRow { offset, reason, text }
    }

    /// Where in the file the line begins, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong with it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There is no `;` in it.
    NoSemicolon,
    /// There is nothing before the `;`.
    NoName,
    /// The name has more than 100 bytes.
    LongName,
    /// The name is not UTF-8.
    NotUtf8,
    /// What follows the `;` is not a number from -99.9 to 99.9 with one decimal.
    Number,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NoSemicolon => "no `;`",
            Reason::NoName => "no name",
            Reason::LongName => "a name of more than 100 bytes",
            Reason::NotUtf8 => "a name that is not UTF-8",
            Reason::Number => "not a number from -99.9 to 99.9 with one decimal",
        })
    }
}
