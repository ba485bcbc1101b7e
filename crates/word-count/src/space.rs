//! White space: where text is cut.

use gristmill::chunk::{BadRecord, Splitter};

/// Whether a byte is white space of ASCII: a blank, or one of tab, line feed, vertical tab, form feed, carriage return.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// Cuts files after white space of ASCII, so that no word is cut. Lines may be as long as they like.
///
/// # Examples
///
/// ```
/// use gristmill::chunk::Splitter;
/// use gristmill_word_count::Spaces;
///
/// assert_eq!(Spaces.last(b"one two three", 9), Ok(Some(8)));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Spaces;

impl Splitter for Spaces {
    fn first(&self, bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
        Ok(bytes.iter().position(|byte| is_space(*byte)).map(|at| at + 1))
    }

    fn last(&self, bytes: &[u8], limit: usize) -> Result<Option<usize>, BadRecord> {
        let limit = limit.min(bytes.len());
        match bytes[..limit].iter().rposition(|byte| is_space(*byte)) {
            Some(at) => Ok(Some(at + 1)),
            None => Ok(self.first(&bytes[limit..])?.map(|len| limit + len)),
        }
    }
}
