//! Cutting a file that is in memory.

/// Whether a byte is white space of ASCII: a blank, or one of tab, line feed, vertical tab, form feed, carriage return.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// Cuts text into pieces of about `target` bytes that end with white space: a source.
///
/// Joining the pieces gives the text back. A piece is `target` bytes (at least one) and the rest of its last word, with
/// the white space after it.
///
/// # Examples
///
/// ```
/// let pieces = gristmill_word_count::pieces(b"one two three", 2);
/// assert_eq!(pieces.collect::<Vec<_>>(), [&b"one "[..], b"two ", b"three"]);
/// ```
#[must_use]
pub fn pieces(text: &[u8], target: usize) -> Pieces<'_> {
    Pieces { rest: text, target: target.max(1) }
}

/// Returned by [`pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    rest: &'a [u8],
    target: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let aim = self.target.min(self.rest.len()) - 1;
        let end = self.rest[aim..].iter().position(|byte| is_space(*byte));
        let (piece, rest) = self.rest.split_at(end.map_or(self.rest.len(), |end| aim + end + 1));
        self.rest = rest;
        Some(piece)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(!self.rest.is_empty()), Some(self.rest.len().div_ceil(self.target)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_join_to_the_text_and_cut_no_word(text in "[a\n ]{0,100}", target in 0usize..40) {
            let pieces: Vec<&[u8]> = pieces(text.as_bytes(), target).collect();
            prop_assert_eq!(pieces.concat(), text.as_bytes());
            prop_assert!(pieces.len() <= super::pieces(text.as_bytes(), target).size_hint().1.unwrap());
            for piece in pieces.iter().rev().skip(1) {
                prop_assert!(is_space(piece[piece.len() - 1]) && piece.len() >= target);
            }
        }
    }

    #[test]
    fn an_absurd_target_is_one_piece() {
        assert_eq!(pieces(b"a b", usize::MAX).count(), 1);
        assert_eq!(pieces(b"", usize::MAX).count(), 0);
    }
}
