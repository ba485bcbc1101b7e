//! One large file on all cores.
//!
//! BLAKE3 is a tree of chunks. A piece whose length is a power of two and that begins at a multiple of it is a subtree,
//! so pieces can be hashed apart, in any order and by anybody. Each gives a chaining value of 32 bytes. In the end these
//! are joined, from the root of the tree down to the pieces:
//!
//! ```text
//! pieces   0       1   2  3 4 5      large ones first, small ones towards the end, so that all who work on a
//!           ╲     ╱    │   ╲╱ ╱      file end at about the same time
//!            ╲   ╱      ╲  34╱       on the left of each node is the largest power of two that leaves
//!             01         ╲ ╱         something for the right, so no piece is on both sides
//!               ╲        2345
//!                ╲       ╱
//!                   root
//! ```
//!
//! The worker that has the file takes one piece after another, and asks each other thread of the rayon pool that it runs on
//! for help. Idle ones take pieces from the same list; while all are busy with other files it does them itself. So a large
//! file needs no place before the others.

use crate::error::Problem;
use crate::read::{self, Buffer, Origin};
use blake3::Hasher;
use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use rayon::Scope;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A piece takes 0.2 ms: so long may one thread wait for another at the end.
const LEAST_PIECE: u64 = 1 << 20;
/// A piece takes 2 ms: handing it over costs nothing, and no map of a window is larger.
const LARGE_PIECE: u64 = read::WINDOW as u64;
/// A file of terabytes gets larger pieces, so that its chaining values take a few MiB at most.
const MOST_PIECES: u64 = 1 << 15;

/// Whether a file of this size should be split at all.
pub(crate) fn is_worth_it(len: u64) -> bool {
    len > LARGE_PIECE
}

/// Hashes an open file of so many bytes in pieces. A piece that ends early means that the file has changed.
pub(crate) fn hash(file: &File, len: u64, origin: Origin, buffer: &Buffer) -> Result<blake3::Hash, Problem> {
    let pieces = pieces(len, LEAST_PIECE, LARGE_PIECE, rayon::current_num_threads() as u64);
    hash_pieces(file, &pieces, origin, buffer)
}

/// Cuts a file for so many threads. Every piece but the last is a power of two and begins at a multiple of it.
fn pieces(len: u64, least: u64, large: u64, threads: u64) -> Vec<Range<u64>> {
    let large = len.div_ceil(MOST_PIECES).next_power_of_two().max(large);
    let (mut pieces, mut start) = (Vec::new(), 0);
    while start < len {
        // Half of an equal share of the rest, or less. They never grow, so what begins a piece is a multiple of it.
        let share = ((len - start) / (2 * threads)).clamp(least, large);
        let end = len.min(start + (1 << share.ilog2()));
        pieces.push(start..end);
        start = end;
    }
    pieces
}

fn hash_pieces(file: &File, pieces: &[Range<u64>], origin: Origin, buffer: &Buffer) -> Result<blake3::Hash, Problem> {
    let spare = Mutex::new(Vec::new());
    let work = Work { file, pieces, origin, buffer, spare, next: AtomicUsize::new(0), done: Mutex::default() };
    rayon::in_place_scope(|scope| {
        for _ in 1..rayon::current_num_threads().min(pieces.len()) {
            scope.spawn(|scope| work.help(scope));
        }
        while work.step() {}
    });
    let Done { mut values, problem } = work.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(problem) = problem {
        return Err(problem);
    }
    values.sort_unstable_by_key(|(index, _)| *index);
    let values: Vec<ChainingValue> = values.into_iter().map(|(_, value)| value).collect();
    Ok(join(pieces, &values, hazmat::merge_subtrees_root))
}

/// A file that several threads work on.
struct Work<'a> {
    file: &'a File,
    pieces: &'a [Range<u64>],
    origin: Origin,
    buffer: &'a Buffer,
    /// At most as many as there are threads in the pool.
    spare: Mutex<Vec<Buffer>>,
    /// The piece that nobody has taken yet.
    next: AtomicUsize,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    values: Vec<(usize, ChainingValue)>,
    problem: Option<Problem>,
}

impl Work<'_> {
    /// Does a piece, and comes back for another one when the thread has looked at what else there is.
    fn help<'scope>(&'scope self, scope: &Scope<'scope>) {
        if self.step() {
            scope.spawn(|scope| self.help(scope));
        }
    }

    /// Does a piece, if there is one.
    fn step(&self) -> bool {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(piece) = self.pieces.get(index) else { return false };
        // Nobody panics while holding a lock.
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = spare.unwrap_or_else(|| self.buffer.another());
        let value = value(self.file, piece.start, piece.end - piece.start, self.origin, &mut buffer);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match value {
            Ok(value) => done.values.push((index, value)),
            Err(problem) => {
                done.problem.get_or_insert(problem);
                // What has not been begun is not read any more.
                self.next.store(self.pieces.len(), Ordering::Relaxed);
            }
        }
        true
    }
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

/// Joins the chaining values of two or more pieces that lie side by side.
fn join<T>(
    pieces: &[Range<u64>],
    values: &[ChainingValue],
    merge: fn(&ChainingValue, &ChainingValue, Mode<'_>) -> T,
) -> T {
    let side = |pieces: &[Range<u64>], values: &[ChainingValue]| match values {
        [value] => *value,
        _ => join(pieces, values, hazmat::merge_subtrees_non_root),
    };
    let (start, end) = (pieces[0].start, pieces[pieces.len() - 1].end);
    let middle = start + hazmat::left_subtree_len(end - start);
    let left = pieces.partition_point(|piece| piece.start < middle);
    let ((left, right), (left_values, right_values)) = (pieces.split_at(left), values.split_at(left));
    merge(&side(left, left_values), &side(right, right_values), Mode::Hash)
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

    fn hash_in_pieces(file: &File, len: usize, threads: u64) -> Result<blake3::Hash, Problem> {
        let pieces = pieces(len as u64, PIECE as u64, 4 * PIECE as u64, threads);
        hash_pieces(file, &pieces, Origin::Read, &Buffer::new())
    }

    #[test]
    fn joined_pieces_give_the_digest_of_the_whole() {
        for count in 2..40 {
            for last in [1, 1024, 1025, PIECE] {
                let (file, bytes) = file_of((count - 1) * PIECE + last);
                for threads in [1, 2, 16] {
                    let digest = hash_in_pieces(&file, bytes.len(), threads).unwrap();
                    assert_eq!(digest, blake3::hash(&bytes), "{} bytes for {threads} threads", bytes.len());
                }
            }
        }
    }

    #[test]
    fn a_file_that_has_become_shorter_has_changed() {
        let (file, bytes) = file_of(5 * PIECE);
        for len in [5 * PIECE - 1, PIECE, 0] {
            file.set_len(len as u64).unwrap();
            assert!(matches!(hash_in_pieces(&file, bytes.len(), 2), Err(Problem::Changed)), "{len} bytes left");
            let mapped = hash(&file, 24 << 20, Origin::Mapped, &Buffer::new());
            assert!(matches!(mapped, Err(Problem::Changed)), "{len} bytes left, mapped");
        }
    }

    #[test]
    fn pieces_are_subtrees_and_not_too_many() {
        let lengths = [LARGE_PIECE + 1, 64 << 20, (3 << 30) + 7, (1 << 38) + 1, 1 << 50, u64::MAX >> 2];
        for (len, threads) in lengths.into_iter().flat_map(|len| [1, 2, 7, 1_024].map(|threads| (len, threads))) {
            let pieces = pieces(len, LEAST_PIECE, LARGE_PIECE, threads);
            let what = format!("{} pieces of {len} bytes for {threads} threads", pieces.len());
            // The small ones towards the end are on top: two for each thread, and size, and power of two.
            assert!((2..MOST_PIECES + 100 * threads).contains(&(pieces.len() as u64)), "{what}");
            assert_eq!((pieces[0].start, pieces[pieces.len() - 1].end), (0, len), "{what}");
            for pair in pieces.windows(2) {
                let size = pair[0].end - pair[0].start;
                assert!(size.is_power_of_two() && pair[0].start % size == 0, "{what}");
                assert!(pair[0].end == pair[1].start && pair[1].end - pair[1].start <= size, "{what}");
            }
        }
    }
}
