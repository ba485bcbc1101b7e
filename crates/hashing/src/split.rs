//! One large file on all cores.
//!
//! BLAKE3 is a tree of chunks. A piece whose length is a power of two and that begins at a multiple of it is a subtree,
//! so pieces can be hashed apart, in any order and by anybody. Each gives a chaining value of 32 bytes. In the end these
//! are joined, from neighbour to neighbour:
//!
//! ```text
//! pieces   0   1   2   3   4        every level joins pairs; one left over moves up as it is,
//!           ╲ ╱     ╲ ╱    │        which is the tree of BLAKE3: on the left of each node the
//!            01      23    │        largest power of two that leaves something for the right
//!              ╲    ╱      │
//!               0123       4
//!                   ╲     ╱
//!                    root
//! ```
//!
//! The worker that has the file offers its pieces to the rayon pool that it runs on. Idle workers take some; while all
//! are busy with other files it does them itself. So a large file needs no place before the others.

use crate::error::Problem;
use crate::read::{self, Buffer, Origin};
use blake3::Hasher;
use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

/// A piece takes 2 ms: short enough that all workers end together, long enough that handing it over costs nothing.
const LEAST_PIECE: u64 = 8 << 20;
/// A file of terabytes gets larger pieces, so that its chaining values stay below 1 MiB.
const MOST_PIECES: u64 = 1 << 15;

/// How many bytes a piece of a file of this size has, if it should be split at all.
pub(crate) fn piece_for(len: u64) -> Option<u64> {
    let piece = len.div_ceil(MOST_PIECES).next_power_of_two().max(LEAST_PIECE);
    (len > piece).then_some(piece)
}

/// Hashes an open file of so many bytes in pieces. A piece that ends early means that the file has changed.
pub(crate) fn hash(
    file: &File,
    len: u64,
    piece: u64,
    origin: Origin,
    buffer: &Buffer,
) -> Result<blake3::Hash, Problem> {
    debug_assert!(piece.is_power_of_two() && len > piece);
    // At most as many as there are threads in the pool. Nobody panics while holding the lock.
    let buffers = Mutex::new(Vec::new());
    let pieces = (0..len.div_ceil(piece)).into_par_iter().map(|index| {
        let spare = buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = spare.unwrap_or_else(|| buffer.another());
        let offset = index * piece;
        let value = value(file, offset, piece.min(len - offset), origin, &mut buffer);
        buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        value
    });
    // The first problem keeps the pieces that have not been begun from being read.
    let mut values = pieces.collect::<Result<Vec<ChainingValue>, Problem>>()?;
    Ok(root(&mut values))
}

fn value(file: &File, offset: u64, len: u64, origin: Origin, buffer: &mut Buffer) -> Result<ChainingValue, Problem> {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    let take = |block: &[u8]| {
        hasher.update(block);
    };
    match read::each_block(file, origin, offset, len, len, buffer, take) {
        Ok(seen) if seen == len => Ok(hasher.finalize_non_root()),
        Ok(_) => Err(Problem::Changed),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Problem::Changed),
        Err(error) => Err(error.into()),
    }
}

/// Joins the chaining values of two or more pieces.
fn root(values: &mut Vec<ChainingValue>) -> blake3::Hash {
    while values.len() > 2 {
        let pairs = values.len() / 2;
        for pair in 0..pairs {
            values[pair] = hazmat::merge_subtrees_non_root(&values[2 * pair], &values[2 * pair + 1], Mode::Hash);
        }
        if values.len() % 2 == 1 {
            values[pairs] = values[2 * pairs];
        }
        values.truncate(values.len().div_ceil(2));
    }
    hazmat::merge_subtrees_root(&values[0], &values[1], Mode::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(len: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|index| (index * index % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    /// Two chunks of BLAKE3: the smallest piece with a tree of its own, so that small inputs have many pieces.
    const PIECE: usize = 2048;

    fn hash_in_pieces(file: &File, len: usize) -> Result<blake3::Hash, Problem> {
        hash(file, len as u64, PIECE as u64, Origin::Read, &Buffer::new())
    }

    #[test]
    fn joined_pieces_give_the_digest_of_the_whole() {
        for pieces in 2..40 {
            for last in [1, 1024, 1025, PIECE] {
                let (file, bytes) = file_of((pieces - 1) * PIECE + last);
                let digest = hash_in_pieces(&file, bytes.len()).unwrap();
                assert_eq!(digest, blake3::hash(&bytes), "{pieces} pieces, the last of {last}");
            }
        }
    }

    #[test]
    fn a_file_that_has_become_shorter_has_changed() {
        let (file, bytes) = file_of(5 * PIECE);
        for len in [5 * PIECE - 1, PIECE, 0] {
            file.set_len(len as u64).unwrap();
            assert!(matches!(hash_in_pieces(&file, bytes.len()), Err(Problem::Changed)), "{len} bytes left");
            let mapped = hash(&file, 24 << 20, 8 << 20, Origin::Mapped, &Buffer::new());
            assert!(matches!(mapped, Err(Problem::Changed)), "{len} bytes left, mapped");
        }
    }

    #[test]
    fn pieces_are_powers_of_two_and_not_too_many() {
        assert_eq!(piece_for(0), None);
        assert_eq!(piece_for(LEAST_PIECE), None);
        for len in [LEAST_PIECE + 1, 3 << 30, (1 << 38) + 1, 1 << 50, u64::MAX >> 2] {
            let piece = piece_for(len).unwrap();
            assert!(piece.is_power_of_two() && len.div_ceil(piece) <= MOST_PIECES, "{len} bytes");
        }
    }
}
