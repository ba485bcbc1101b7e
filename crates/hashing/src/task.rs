//! What a worker does: a file, or a piece of one.

use crate::algorithm::{Algorithm, Digest, Stream};
use crate::error::{FileError, Problem};
use crate::files::Found;
use crate::read::{self, Buffer, Origin};
use crate::split::Split;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something to hash: a whole file, or a piece of a large one. Made by [`Files`](crate::Files).
///
/// A file that could not even be found is a task, too: hashing it fails. So every problem comes out at one stage, in
/// order.
#[derive(Debug)]
pub struct Task {
    work: Work,
    algorithm: Algorithm,
    expected: Option<Digest>,
}

#[derive(Debug)]
enum Work {
    Lost(FileError),
    Whole(Found, Origin),
    Piece(Arc<Split>, usize),
}

/// A file and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// The file.
    pub path: PathBuf,
    /// Where in the order of the walk or the list it is, counted from zero.
    pub place: u64,
    /// How many bytes were hashed.
    pub bytes: u64,
    /// With which function.
    pub algorithm: Algorithm,
    /// What came out.
    pub digest: Digest,
    /// What should have come out, if the file is from a list to be checked.
    pub expected: Option<Digest>,
}

impl Task {
    pub(crate) fn lost(error: FileError, algorithm: Algorithm) -> Self {
        Task { work: Work::Lost(error), algorithm, expected: None }
    }

    pub(crate) fn whole(found: Found, origin: Origin, algorithm: Algorithm, expected: Option<Digest>) -> Self {
        Task { work: Work::Whole(found, origin), algorithm, expected }
    }

    pub(crate) fn piece(split: Arc<Split>, index: usize, expected: Option<Digest>) -> Self {
        Task { work: Work::Piece(split, index), algorithm: Algorithm::Blake3, expected }
    }

    /// The file, or what should be one.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.work {
            Work::Lost(error) => error.path(),
            Work::Whole(found, _) => &found.path,
            Work::Piece(split, _) => &split.found.path,
        }
    }

    /// How many bytes there should be to hash: of the piece, not of the file it is from.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.work {
            Work::Lost(_) => 0,
            Work::Whole(found, _) => found.stamp.len,
            Work::Piece(split, index) => split.piece_bytes(*index),
        }
    }

    /// Does it. `None` if other pieces of the file are still to come: the one that is done last gives the digest.
    ///
    /// Reads with system calls, so it waits if the file is not in memory.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no file, or has another size or time of modification afterwards. Of a file in pieces
    /// there is one error, the first.
    pub fn hash(self, buffer: &mut Buffer) -> Result<Option<Hashed>, FileError> {
        let Task { work, algorithm, expected } = self;
        match work {
            Work::Lost(error) => Err(error),
            Work::Whole(found, origin) => match whole(&found, origin, algorithm, buffer) {
                Ok((digest, bytes)) => {
                    Ok(Some(Hashed { path: found.path, place: found.place, bytes, algorithm, digest, expected }))
                }
                Err(problem) => Err(FileError::new(found.path, found.place, problem)),
            },
            Work::Piece(split, index) => Ok(split.hash(index, buffer)?.map(|digest| {
                let Found { path, place, stamp } = split.found.clone();
                Hashed { path, place, bytes: stamp.len, algorithm, digest, expected }
            })),
        }
    }
}

fn whole(found: &Found, origin: Origin, algorithm: Algorithm, buffer: &mut Buffer) -> Result<(Digest, u64), Problem> {
    let file = read::open(&found.path)?;
    let done = contents(&file, found.stamp.len, origin, algorithm, buffer);
    found.check(&file)?;
    match done {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Problem::Changed),
        done => Ok(done?),
    }
}

fn contents(
    file: &File,
    len: u64,
    origin: Origin,
    algorithm: Algorithm,
    buffer: &mut Buffer,
) -> io::Result<(Digest, u64)> {
    if let Some(bytes) = read::at_once(file, len, buffer)? {
        return Ok((algorithm.hash(bytes), len));
    }
    let mut stream = Stream::new(algorithm);
    let seen = read::each_block(file, origin, 0, u64::MAX, len, buffer, |block| stream.update(block))?;
    Ok((stream.finish(), seen))
}

impl Hashed {
    /// Whether the digest is the one expected. True if none is.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.expected.is_none_or(|expected| expected == self.digest)
    }
}
