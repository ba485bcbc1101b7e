//! One large file as many tasks.
//!
//! BLAKE3 is a tree of chunks. A piece whose length is a power of two and that begins at a multiple of it is a subtree,
//! so pieces can be hashed apart, in any order and by anybody. Each gives a chaining value of 32 bytes. Whoever is done
//! last joins them, from neighbour to neighbour:
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

use crate::algorithm::Digest;
use crate::error::{FileError, Problem};
use crate::files::Found;
use crate::read::{self, Buffer, Origin, Stamp};
use blake3::Hasher;
use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A piece takes 2 ms: short enough that all workers end together, long enough that handing it over costs nothing.
const LEAST_PIECE: u64 = 8 << 20;
/// A file of terabytes gets larger pieces, so that its chaining values stay below 1 MiB.
const MOST_PIECES: u64 = 1 << 15;

/// A file that several workers hash at once.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) found: Found,
    origin: Origin,
    piece: u64,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// Opened by the first worker that has a piece.
    file: Option<Arc<File>>,
    values: Vec<ChainingValue>,
    left: usize,
    problem: Option<Problem>,
}

impl Split {
    /// How many bytes a piece of a file of this size has, if it should be split at all.
    pub(crate) fn piece_for(len: u64) -> Option<u64> {
        let piece = len.div_ceil(MOST_PIECES).next_power_of_two().max(LEAST_PIECE);
        (len > piece).then_some(piece)
    }

    pub(crate) fn new(found: Found, origin: Origin, piece: u64) -> Self {
        debug_assert!(piece.is_power_of_two() && found.stamp.len > piece);
        let pieces = found.stamp.len.div_ceil(piece) as usize;
        let progress = Progress { file: None, values: vec![[0; 32]; pieces], left: pieces, problem: None };
        Split { found, origin, piece, progress: Mutex::new(progress) }
    }

    pub(crate) fn pieces(&self) -> usize {
        self.found.stamp.len.div_ceil(self.piece) as usize
    }

    /// How long a piece is: all are of one length but the last.
    pub(crate) fn piece_bytes(&self, index: usize) -> u64 {
        self.piece.min(self.found.stamp.len - index as u64 * self.piece)
    }

    /// Nobody panics while holding the lock, and if so the numbers are still right.
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes one piece. The last one to be done gives the digest of the file, or the first problem of any piece.
    pub(crate) fn hash(&self, index: usize, buffer: &mut Buffer) -> Result<Option<Digest>, FileError> {
        let value = self.value(index, buffer);
        let mut progress = self.progress();
        match value {
            Ok(Some(value)) => progress.values[index] = value,
            Ok(None) => {}
            Err(problem) => {
                progress.problem.get_or_insert(problem);
            }
        }
        progress.left -= 1;
        if progress.left > 0 {
            return Ok(None);
        }
        let file = progress.file.take();
        let problem = progress.problem.take().or_else(|| file.and_then(|file| self.found.check(&file).err()));
        match problem {
            Some(problem) => Err(FileError::new(self.found.path.clone(), self.found.place, problem)),
            None => Ok(Some(root(&mut progress.values).into())),
        }
    }

    /// The chaining value of a piece; `None` if another piece has failed already.
    fn value(&self, index: usize, buffer: &mut Buffer) -> Result<Option<ChainingValue>, Problem> {
        let Some(file) = self.file()? else { return Ok(None) };
        let (offset, len) = (index as u64 * self.piece, self.piece_bytes(index));
        let mut hasher = Hasher::new();
        hasher.set_input_offset(offset);
        let take = |block: &[u8]| {
            hasher.update(block);
        };
        match read::each_block(&file, self.origin, offset, len, len, buffer, take) {
            Ok(seen) if seen == len => Ok(Some(hasher.finalize_non_root())),
            Ok(_) => Err(Problem::Changed),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Problem::Changed),
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self) -> Result<Option<Arc<File>>, Problem> {
        let mut progress = self.progress();
        if progress.problem.is_some() {
            return Ok(None);
        }
        if let Some(file) = &progress.file {
            return Ok(Some(Arc::clone(file)));
        }
        let file = Arc::new(read::open(&self.found.path)?);
        progress.file = Some(Arc::clone(&file));
        Ok(Some(file))
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

impl Found {
    /// Whether the open file is still what was found when the walk came by.
    pub(crate) fn check(&self, file: &File) -> Result<(), Problem> {
        if Stamp::of(&file.metadata()?) == self.stamp { Ok(()) } else { Err(Problem::Changed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index * index % 251) as u8).collect()
    }

    /// Two 1 KiB chunks are the smallest piece that is more than one chunk, so that small inputs have many pieces.
    const PIECE: usize = 2048;

    #[test]
    fn joined_pieces_give_the_digest_of_the_whole() {
        for pieces in 2..40 {
            for last in [1, 1024, 1025, PIECE] {
                let bytes = bytes((pieces - 1) * PIECE + last);
                let mut values: Vec<ChainingValue> = bytes
                    .chunks(PIECE)
                    .enumerate()
                    .map(|(index, piece)| {
                        let mut hasher = Hasher::new();
                        hasher.set_input_offset((index * PIECE) as u64);
                        hasher.update(piece).finalize_non_root()
                    })
                    .collect();
                assert_eq!(root(&mut values), blake3::hash(&bytes), "{pieces} pieces, the last of {last}");
            }
        }
    }

    #[test]
    fn pieces_are_powers_of_two_and_not_too_many() {
        assert_eq!(Split::piece_for(0), None);
        assert_eq!(Split::piece_for(LEAST_PIECE), None);
        for len in [LEAST_PIECE + 1, 3 << 30, (1 << 38) + 1, 1 << 50, u64::MAX >> 2] {
            let piece = Split::piece_for(len).unwrap();
            assert!(piece.is_power_of_two() && len.div_ceil(piece) <= MOST_PIECES, "{len} bytes");
        }
    }
}
