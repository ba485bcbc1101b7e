//! Cutting a file that is in memory.

use gristmill::Chunk;
use memchr::memchr;

/// Whole lines of a file, and where they are in it.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Piece<'a> {
    /// The lines.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where in the file they begin.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// A whole file.
impl<'a> From<&'a [u8]> for Piece<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Piece { bytes, offset: 0 }
    }
}

impl<'a> From<&'a Chunk> for Piece<'a> {
    fn from(chunk: &'a Chunk) -> Self {
        Piece { bytes: chunk, offset: chunk.offset() }
    }
}

/// Cuts a file into pieces of about `target` bytes that end where lines end: a source.
///
/// Joining the pieces gives the file back. A piece is `target` bytes (at least one) and the rest of its last line. Nothing
/// but the cuts is looked at, where [`Chunks::lines`](gristmill::Chunks::lines) counts lines to number them: so the
/// bytes come to the worker that scans them straight from memory, and only once.
///
/// # Examples
///
/// ```
/// let pieces = gristmill_brc::pieces(b"a;1.0\nb;2.0\nc;3.0\n", 8);
/// assert_eq!(pieces.map(|piece| piece.bytes().len()).collect::<Vec<_>>(), [12, 6]);
/// ```
#[must_use]
pub fn pieces(bytes: &[u8], target: usize) -> Pieces<'_> {
    Pieces { rest: bytes, offset: 0, target: target.max(1) }
}

/// Returned by [`pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    rest: &'a [u8],
    offset: u64,
    target: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let aim = self.target.min(self.rest.len()) - 1;
        let end = memchr(b'\n', &self.rest[aim..]).map_or(self.rest.len(), |end| aim + end + 1);
        let (bytes, rest) = self.rest.split_at(end);
        let piece = Piece { bytes, offset: self.offset };
        self.rest = rest;
        self.offset += bytes.len() as u64;
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
        fn pieces_join_to_the_file_and_cut_no_line(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a')], 0..100),
            target in 0usize..40,
        ) {
            let pieces: Vec<Piece> = pieces(&text, target).collect();
            let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes().to_vec()).collect();
            prop_assert_eq!(&joined, &text);
            prop_assert!(pieces.len() <= super::pieces(&text, target).size_hint().1.unwrap());
            for pair in pieces.windows(2) {
                prop_assert!(pair[0].bytes().ends_with(b"\n"));
                prop_assert!(pair[0].bytes().len() >= target);
                prop_assert_eq!(pair[0].offset() + pair[0].bytes().len() as u64, pair[1].offset());
            }
        }
    }

    #[test]
    fn an_absurd_target_is_one_piece() {
        assert_eq!(pieces(b"a\nb\n", usize::MAX).count(), 1);
        assert_eq!(pieces(b"", usize::MAX).count(), 0);
    }
}
