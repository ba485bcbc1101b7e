//! Where compressed blocks go.

use crate::error::CompressError;
use gristmill::{Outcome, Store};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Writes blocks one after another: a store. What it had written when a run failed stays written.
#[derive(Debug)]
pub struct BlockWriter<W> {
    writer: W,
    written: u64,
}

impl<W: Write> BlockWriter<W> {
    /// Writes to a pipe, a buffer or a file that is open.
    pub fn new(writer: W) -> Self {
        BlockWriter { writer, written: 0 }
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        self.writer.write_all(block)?;
        self.written += block.len() as u64;
        Ok(())
    }
}

impl<W: Write + Send> Store<Vec<u8>> for BlockWriter<W> {
    type Error = CompressError;

    fn store(&mut self, block: Vec<u8>) -> Result<(), CompressError> {
        self.write(&block).map_err(|source| CompressError::Write { source })
    }

    fn flush(&mut self) -> Result<(), CompressError> {
        self.writer.flush().map_err(|source| CompressError::Write { source })
    }
}

/// What to do if a file is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Fail, and leave it as it is.
    Refuse,
    /// Put the new one in its place, when that is whole.
    Replace,
}

/// A file of compressed blocks: a store.
///
/// Blocks go to a temporary file beside the place, which gets its name when the run has completed; until then an old file
/// of that name is untouched. If the run fails the temporary file is removed. A program that is killed leaves it
/// behind; its name begins with `.gristmill-`.
///
/// The operating system is not asked to put it on the disk at once, no more than `gzip` or `zstd` do.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    existing: Existing,
    /// `None` when it has its name, or is removed.
    writer: Option<BlockWriter<NamedTempFile>>,
    written: u64,
}

impl OutputFile {
    /// Makes the temporary file.
    ///
    /// # Errors
    ///
    /// When it cannot be made, the path is that of a directory, a device or a pipe, or there is a file that is to stay.
    pub fn create(path: impl AsRef<Path>, existing: Existing) -> Result<Self, CompressError> {
        let path = path.as_ref().to_owned();
        let failed = |source: io::Error| CompressError::File { path: path.clone(), action: "create", source };
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        // Renaming would replace a device or a pipe by a file.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = temporary().tempfile_in(folder).map_err(failed)?;
        Ok(OutputFile { path, existing, writer: Some(BlockWriter::new(file)), written: 0 })
    }

    /// How many bytes were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    fn publish(&mut self, writer: BlockWriter<NamedTempFile>) -> Result<(), CompressError> {
        let named = match self.existing {
            Existing::Refuse => writer.writer.persist_noclobber(&self.path),
            Existing::Replace => writer.writer.persist(&self.path),
        };
        let failed = |source| CompressError::File { path: self.path.clone(), action: "put in its place", source };
        named.map(drop).map_err(|error| failed(error.error))
    }
}

/// A file that is readable for those whom the user lets read his files, unlike other temporary ones.
fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".gristmill-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

impl Store<Vec<u8>> for OutputFile {
    type Error = CompressError;

    fn store(&mut self, block: Vec<u8>) -> Result<(), CompressError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let failed = |source| CompressError::File { path: self.path.clone(), action: "write", source };
        writer.write(&block).map_err(failed)?;
        self.written = writer.written();
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), CompressError> {
        match (self.writer.take(), outcome) {
            (Some(writer), Outcome::Completed) => self.publish(writer),
            // Dropping it removes the file.
            _ => Ok(()),
        }
    }
}
