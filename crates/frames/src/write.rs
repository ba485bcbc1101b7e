//! Frames into a file.

use crate::format::Format;
use crate::frame::Frame;
use gristmill::{Outcome, Store};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes frames behind a header, in the order in which they come: a store.
///
/// It writes to a file of another name beside the one that is wanted, which gets its name when the run has completed. So
/// there is never half a file under that name; after a run that was aborted there is none, or the old one.
#[derive(Debug)]
pub struct Writer {
    out: Option<BufWriter<File>>,
    format: Format,
    path: PathBuf,
    part: PathBuf,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// When it cannot be created or written to.
    pub fn create(path: impl AsRef<Path>, format: Format) -> Result<Self, WriteError> {
        let path = path.as_ref().to_owned();
        let mut part = OsString::from(&path);
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|source| WriteError::new(&part, source))?;
        let mut writer = Writer { out: Some(BufWriter::with_capacity(1 << 20, file)), format, path, part };
        let header = writer.format.header();
        writer.write(&[header.as_bytes()])?;
        Ok(writer)
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), WriteError> {
        let Some(out) = &mut self.out else { return Ok(()) };
        parts.iter().try_for_each(|part| out.write_all(part)).map_err(|source| WriteError::new(&self.part, source))
    }

    fn complete(&mut self) -> Result<(), WriteError> {
        let Some(out) = self.out.take() else { return Ok(()) };
        let done = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        done.and_then(|()| std::fs::rename(&self.part, &self.path))
            .map_err(|source| WriteError::new(&self.path, source))
    }
}

impl Store<Frame> for Writer {
    type Error = WriteError;

    fn store(&mut self, frame: Frame) -> Result<(), WriteError> {
        let (found, expected) = (frame.bytes().len(), self.format.frame_bytes());
        if found != expected {
            let problem = format!("a frame of {found} bytes where all have {expected}");
            return Err(WriteError::new(&self.path, io::Error::new(io::ErrorKind::InvalidInput, problem)));
        }
        self.write(&[b"FRAME\n", frame.bytes()])
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), WriteError> {
        if outcome == Outcome::Completed {
            self.complete()?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A file that was completed has its own name by now.
        if self.out.take().is_some() {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write `{}`", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl WriteError {
    fn new(path: &Path, source: io::Error) -> Self {
        WriteError { path: path.to_owned(), source }
    }
}
