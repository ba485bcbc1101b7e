//! What a worker does: one file.

use crate::algorithm::{Algorithm, Digest, Stream};
use crate::error::{FileError, Problem};
use crate::read::{self, Buffer, Origin, Stamp};
use crate::{files, split};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A file to hash. Made by [`Files`](crate::Files).
///
/// A file that could not even be found is a task, too: hashing it fails. So every problem comes out at one stage, in
/// order.
#[derive(Debug)]
pub struct Task {
    pub(crate) path: PathBuf,
    pub(crate) place: u64,
    pub(crate) algorithm: Algorithm,
    pub(crate) origin: Origin,
    pub(crate) expected: Option<Digest>,
    pub(crate) sight: Sight,
}

/// What is known of a file before it is opened.
#[derive(Debug)]
pub(crate) enum Sight {
    /// The walk saw a regular file.
    File,
    /// Nothing: it is only a name in a list.
    Nothing,
    /// What the walk saw will not do.
    Lost(Problem),
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
    /// The file, or what should be one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does it.
    ///
    /// Reads with system calls, so it waits if the file is not in memory. A large file for BLAKE3 is shared with the
    /// threads of the rayon pool that this runs on.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is none, or has another size or time of modification at the end than at the
    /// beginning.
    pub fn hash(self, buffer: &mut Buffer) -> Result<Hashed, FileError> {
        let Task { path, place, algorithm, origin, expected, sight } = self;
        match digest(&path, sight, origin, algorithm, buffer) {
            Ok((digest, bytes)) => Ok(Hashed { path, place, bytes, algorithm, digest, expected }),
            Err(problem) => Err(FileError::new(path, place, problem)),
        }
    }
}

fn digest(
    path: &Path,
    sight: Sight,
    origin: Origin,
    algorithm: Algorithm,
    buffer: &mut Buffer,
) -> Result<(Digest, u64), Problem> {
    match sight {
        Sight::File => {}
        // Before it is opened, which may do something to a device.
        Sight::Nothing => files::check_kind(std::fs::metadata(path)?.file_type())?,
        Sight::Lost(problem) => return Err(problem),
    }
    let file = read::open(path)?;
    let metadata = file.metadata()?;
    files::check_kind(metadata.file_type())?;
    let before = Stamp::of(&metadata);
    let done = contents(&file, before.len, origin, algorithm, buffer);
    check(&file, before)?;
    done
}

/// Whether the file is still what it was.
fn check(file: &File, before: Stamp) -> Result<(), Problem> {
    if Stamp::of(&file.metadata()?) == before { Ok(()) } else { Err(Problem::Changed) }
}

fn contents(
    file: &File,
    len: u64,
    origin: Origin,
    algorithm: Algorithm,
    buffer: &mut Buffer,
) -> Result<(Digest, u64), Problem> {
    if let Some(bytes) = read::at_once(file, len, buffer)? {
        return Ok((algorithm.hash(bytes), len));
    }
    if algorithm.is_splittable() && split::is_worth_it(len) {
        return Ok((split::hash(file, len, origin, buffer)?.into(), len));
    }
    let mut stream = Stream::new(algorithm);
    match read::each_block(file, origin, 0, u64::MAX, len, buffer, |block| stream.update(block)) {
        Ok(seen) => Ok((stream.finish(), seen)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Problem::Changed),
        Err(error) => Err(error.into()),
    }
}

impl Hashed {
    /// Whether the digest is the one expected. True if none is.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.expected.is_none_or(|expected| expected == self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_file_that_changes_meanwhile_is_found_out() {
        let changes: [fn(&mut File); 3] = [
            |file| file.write_all(b"more").unwrap(),
            |file| file.set_len(1).unwrap(),
            // Of the same length.
            |file| file.set_modified(UNIX_EPOCH).unwrap(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"some bytes").unwrap();
            let before = Stamp::of(&file.metadata().unwrap());
            assert!(check(&file, before).is_ok());
            change(&mut file);
            assert!(matches!(check(&file, before), Err(Problem::Changed)), "change {index}");
        }
    }
}
