//! Items as lines of a file: where dead letters go, and rows.
//!
//! | store | makes | with a [checkpoint](gristmill::Pipeline::checkpoint) |
//! | --- | --- | --- |
//! | [`LinesFile`] | a file that grows under its name | each line at least once, but a run cannot go on, as the file is there |
//! | [`WholeLines`] | a file that appears under its name when it is whole | each line exactly once; it appears when the source has ended |
//!
//! # `LinesFile`
//!
//! The file is made when the first line comes, so a run without dead letters leaves none behind. Lines are buffered:
//! they are handed to the system when the store is flushed, and are on the disk when it is finished.
//! A run that was aborted keeps what was written: it says what was wrong.

mod whole;

pub use whole::WholeLines;

use gristmill::{Outcome, Store};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file of lines, one an item, written as a closure says: a store.
///
/// A line end inside a line is written as `\n` or `\r` in letters, so that an item is always one line.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill_connect::lines::LinesFile;
/// use std::io::Write;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("rejected.tsv");
/// let rejected = LinesFile::create(&path, |letter: &DeadLetter<&str, _>, line: &mut Vec<u8>| {
///     write!(line, "{}\t{}", letter.item.unwrap_or("?"), letter.cause)
/// })?;
/// Pipeline::extract(["1", "x", "3"].into_iter())
///     .try_map(str::parse::<u32>)
///     .on_error(OnError::dead_letter(rejected))
///     .count()
///     .run()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "x\tinvalid digit found in string\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LinesFile<F> {
    path: PathBuf,
    target: Target,
    format: F,
    line: Vec<u8>,
}

#[derive(Debug)]
enum Target {
    /// Nothing has come yet. A regular file is made, and must be new; a device is only opened.
    Unopened {
        makes_file: bool,
    },
    Open {
        file: BufWriter<File>,
        syncs: bool,
    },
    Finished,
}

impl<F> fmt::Debug for LinesFile<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinesFile").field("path", &self.path).field("target", &self.target).finish_non_exhaustive()
    }
}

impl<F> LinesFile<F> {
    /// Will make a file of what `format` writes of each item. A device or a pipe, which is there already, is written to.
    ///
    /// # Errors
    ///
    /// When the path is a file or a directory, or is in a directory that is not there. Nothing is made yet: that the
    /// file may not be written comes out with the first line.
    pub fn create<T>(path: impl Into<PathBuf>, format: F) -> Result<Self, LinesError>
    where
        F: FnMut(&T, &mut Vec<u8>) -> io::Result<()>,
    {
        let path = path.into();
        match makes_file(&path) {
            Ok(makes_file) => Ok(LinesFile { path, target: Target::Unopened { makes_file }, format, line: Vec::new() }),
            Err(source) => Err(LinesError { path, action: "create", source }),
        }
    }

    fn error(&self, action: &'static str) -> impl FnOnce(io::Error) -> LinesError {
        let path = self.path.clone();
        move |source| LinesError { path, action, source }
    }

    fn open(&mut self) -> Result<&mut BufWriter<File>, LinesError> {
        if let Target::Unopened { makes_file } = self.target {
            let file = OpenOptions::new().write(true).create_new(makes_file).open(&self.path);
            let file = file.map_err(self.error("create"))?;
            self.target = Target::Open { file: BufWriter::new(file), syncs: makes_file };
        }
        match &mut self.target {
            Target::Open { file, .. } => Ok(file),
            _ => {
                let source = io::Error::other("it is finished");
                Err(LinesError { path: self.path.clone(), action: "write to", source })
            }
        }
    }

    fn write_out(&mut self) -> Result<(), LinesError> {
        match &mut self.target {
            Target::Open { file, .. } => file.flush().map_err(self.error("write to")),
            _ => Ok(()),
        }
    }
}

/// Whether there is nothing at the path yet; an error if what is there should not be written to.
fn makes_file(path: &Path) -> io::Result<bool> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.map_or(Ok(()), |parent| parent.metadata().map(drop))?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

impl<T, F> Store<T> for LinesFile<F>
where
    F: FnMut(&T, &mut Vec<u8>) -> io::Result<()> + Send,
{
    type Error = LinesError;

    fn store(&mut self, item: T) -> Result<(), LinesError> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        (self.format)(&item, &mut line).map_err(self.error("write a line for"))?;
        let written = write_line(self.open()?, &line);
        self.line = line;
        written.map(drop).map_err(self.error("write to"))
    }

    fn flush(&mut self) -> Result<(), LinesError> {
        self.write_out()
    }

    fn finish(&mut self, _: Outcome) -> Result<(), LinesError> {
        self.write_out()?;
        let target = std::mem::replace(&mut self.target, Target::Finished);
        match target {
            Target::Open { file, syncs: true } => file.get_ref().sync_all().map_err(self.error("sync")),
            _ => Ok(()),
        }
    }
}

/// Writes one line, and says how many bytes that were.
fn write_line(file: &mut impl Write, line: &[u8]) -> io::Result<u64> {
    let mut written = line.len() as u64 + 1;
    for part in line.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        match part {
            [text @ .., end @ (b'\n' | b'\r')] => {
                file.write_all(text)?;
                file.write_all(if *end == b'\n' { b"\\n" } else { b"\\r" })?;
                written += 1;
            }
            text => file.write_all(text)?,
        }
    }
    file.write_all(b"\n").map(|()| written)
}

/// A file of lines could not be made or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{}`", path.display())]
pub struct LinesError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

impl LinesError {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(item: &&str, line: &mut Vec<u8>) -> io::Result<()> {
        line.write_all(item.as_bytes())
    }

    #[test]
    fn an_item_is_one_line_whatever_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut file = LinesFile::create(&path, text).unwrap();
        for item in ["one", "two\nlines\r\n", ""] {
            file.store(item).unwrap();
        }
        Store::<&str>::finish(&mut file, Outcome::Completed).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\\nlines\\r\\n\n\n");
        assert!(file.store("late").unwrap_err().to_string().contains("could not write to"));
    }

    #[test]
    fn no_line_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut file = LinesFile::create(&path, text).unwrap();
        Store::<&str>::finish(&mut file, Outcome::Completed).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut file = LinesFile::create(&path, text).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(file.store("x").is_err(), "it came between");
        let error = LinesFile::create(&path, text).unwrap_err();
        assert_eq!(error.to_string(), format!("could not create `{}`", path.display()));
        assert!(LinesFile::create(folder.path(), text).is_err());
        assert!(LinesFile::create(folder.path().join("no/such/place"), text).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_when_finished_at_the_latest() {
        let mut file = LinesFile::create("/dev/full", text).unwrap();
        file.store("x").unwrap();
        let error = Store::<&str>::finish(&mut file, Outcome::Completed).unwrap_err();
        assert_eq!(error.to_string(), "could not write to `/dev/full`");
    }
}
