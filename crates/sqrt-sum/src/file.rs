//! Files of numbers.

use crate::kernel::Kernel;
use crate::lanes::BLOCK;
use crate::map::Mapped;
use crate::span::{Spans, spans};
use crate::sum::RootSum;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Blocks that are read at once: 256 KiB, which stay in a core's cache until they are added.
const READ_BLOCKS: u32 = 8;
/// Blocks of a map that are added before their pages are let go of: 8 MiB. With 256 KiB it takes twice as long.
const MAPPED_BLOCKS: u32 = 256;
/// In how many spans a map is cut at least, so that all cores have some, if they are not smaller than those that are read.
const LEAST_MAPPED_SPANS: u64 = 128;

/// A file of little-endian 64-bit floating-point numbers and nothing else, in pieces from any place.
///
/// *Read* ([`open`](Self::open)): the workers read, each into a buffer of its own, so nothing is handed over. If others
/// change numbers meanwhile, some will be old and some new; if they cut the file off, that is an error.
///
/// *Mapped* ([`map`](Self::map)): without a copy, so faster when the file is in memory. It is `unsafe`, as
/// nobody may change the file meanwhile.
///
/// # Examples
///
/// ```
/// use gristmill::prelude::*;
/// use gristmill_sqrt_sum::{FileError, Floats, Kernel, RootSum};
///
/// let path = std::env::temp_dir().join("gristmill-doc-floats.f64");
/// let bytes: Vec<u8> = (0..10_000).flat_map(|number| f64::from(number).to_le_bytes()).collect();
/// std::fs::write(&path, bytes).unwrap();
///
/// let (floats, kernel) = (Floats::open(&path).unwrap(), Kernel::detect());
/// let report = Pipeline::extract(floats.spans())
///     .try_map_init(|| Ok::<_, FileError>(floats.reader()), |reader, span| reader.sum(kernel, span))
///     .fold(RootSum::default, |total, part| total.merge(&part), |total, other| total.merge(&other))
///     .run()?;
/// assert_eq!(report.output, RootSum::of_range(kernel, 0..10_000));
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Debug)]
pub struct Floats {
    origin: Origin,
    path: PathBuf,
    count: u64,
}

#[derive(Debug)]
enum Origin {
    Read(File),
    Mapped(Mapped),
}

impl Floats {
    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is no regular file, or its length is no multiple of eight bytes. An empty file is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref().to_owned();
        let failed = |source| FileError::Io { path: path.clone(), action: "open", source };
        let file = File::open(&path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if found.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if !found.is_file() {
            return Err(FileError::NotRegular { path });
        }
        match found.len() {
            bytes if bytes % 8 != 0 => Err(FileError::Length { path, bytes }),
            bytes => Ok(Floats { origin: Origin::Read(file), path, count: bytes / 8 }),
        }
    }

    /// Maps a file into memory.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and when it cannot be mapped.
    ///
    /// # Safety
    ///
    /// No process may write to or truncate the file while the value lives. Touching what was truncated away kills the
    /// program with SIGBUS, and bytes that change are undefined behaviour.
    #[allow(unsafe_code)]
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let mut floats = Self::open(path)?;
        if let (Origin::Read(file), 1..) = (&floats.origin, floats.count) {
            // SAFETY: the caller keeps the file as it is, as documented above.
            let mapped = unsafe { Mapped::new(file) };
            let failed = |source| FileError::Io { path: floats.path.clone(), action: "map", source };
            floats.origin = Origin::Mapped(mapped.map_err(failed)?);
        }
        Ok(floats)
    }

    /// How many numbers it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Pieces of it, by the index of their numbers: 256 KiB to be read at once, or up to 8 MiB of a map.
    pub fn spans(&self) -> Spans {
        let blocks = match self.origin {
            Origin::Read(_) => READ_BLOCKS,
            Origin::Mapped(_) => {
                let share = self.count / LEAST_MAPPED_SPANS / BLOCK as u64;
                share.clamp(READ_BLOCKS.into(), MAPPED_BLOCKS.into()) as u32
            }
        };
        spans(0..self.count).blocks(blocks)
    }

    /// What a worker reads with.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader { floats: self, buffer: Vec::new(), mapped: 0..0 }
    }
}

/// Gets at pieces of a file, read into a buffer that is used again if it is not mapped.
#[derive(Debug)]
pub struct Reader<'a> {
    floats: &'a Floats,
    buffer: Vec<[u8; 8]>,
    /// The bytes of a map that were asked for last.
    mapped: Range<usize>,
}

impl Reader<'_> {
    /// The sum of the roots of a span of the file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn sum(&mut self, kernel: Kernel, span: Range<u64>) -> Result<RootSum, FileError> {
        let first = span.start;
        Ok(RootSum::of_numbers(kernel, first, self.read(span)?))
    }

    /// The numbers of a span of indexes.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or has become too short, or the span is not inside it.
    pub fn read(&mut self, span: Range<u64>) -> Result<&[[u8; 8]], FileError> {
        let Floats { origin, path, count } = self.floats;
        let failed = |source| FileError::Io { path: path.clone(), action: "read", source };
        if span.start > span.end || span.end > *count {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        let len = (span.end - span.start) as usize;
        match origin {
            Origin::Mapped(mapped) => {
                let bytes = span.start as usize * 8..span.end as usize * 8;
                mapped.forget(std::mem::replace(&mut self.mapped, bytes.clone()));
                Ok(mapped.bytes(bytes).as_chunks().0)
            }
            Origin::Read(file) => {
                if self.buffer.len() < len {
                    self.buffer.resize(len.max(READ_BLOCKS as usize * BLOCK), [0; 8]);
                }
                let numbers = &mut self.buffer[..len];
                read_exact_at(file, numbers.as_flattened_mut(), span.start * 8).map_err(failed)?;
                Ok(numbers)
            }
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => (buffer, offset) = (&mut buffer[read..], offset + read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Why a file of numbers cannot be summed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It could not be opened or read.
    #[error("could not {action} `{}`", path.display())]
    #[expect(missing_docs, reason = "as in the message")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    /// It is a pipe or a device, which cannot be read at any place.
    #[error("`{}` is no regular file", path.display())]
    #[expect(missing_docs, reason = "as in the message")]
    NotRegular { path: PathBuf },
    /// It does not end with a whole number.
    #[error("`{}` has {bytes} bytes, which is no multiple of the 8 that a number has", path.display())]
    #[expect(missing_docs, reason = "as in the message")]
    Length { path: PathBuf, bytes: u64 },
}
