//! What goes wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

/// A file, or what was taken for one, has no digest.
///
/// # Examples
///
/// ```
/// use gristmill_hashing::{Algorithm, Buffer, Files};
///
/// let mut files = Files::walk(["no/such/file"], Algorithm::Blake3);
/// let error = files.next().unwrap().hash(&mut Buffer::new()).unwrap_err();
/// assert!(error.to_string().starts_with("no/such/file: "));
/// assert!(error.is_missing());
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    path: PathBuf,
    place: u64,
    problem: Problem,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Io(io::Error),
    #[error("not a file but {0}")]
    NotAFile(&'static str),
    #[error("a symbolic link that leads back to `{}`", .0.display())]
    Loop(PathBuf),
    #[error("it changed while it was read")]
    Changed,
}

impl FileError {
    pub(crate) fn new(path: impl Into<PathBuf>, place: u64, problem: impl Into<Problem>) -> Self {
        FileError { path: path.into(), place, problem: problem.into() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where in the order of the walk or the list it is, counted from zero.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Whether there is nothing of that name, or no longer.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(&self.problem, Problem::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether somebody wrote to the file, or truncated it, while it was read.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!(self.problem, Problem::Changed)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Io(error)
    }
}
