//! Record-aligned pieces of a file.
//!
//! A [`Chunk`] is a handle to bytes that nobody changes: cheap to clone, to cut and to send. [`Chunks`] opens a file and
//! cuts it where records end. The bytes come from one of two places, and the type is the same:
//!
//! - *read* ([`Chunks::open`]): into buffers of the program. Safe whatever others do to the file. The default.
//! - *mapped* ([`Chunks::map`]): no copy, but whoever truncates the file meanwhile kills the program, so it is `unsafe`.

mod lines;
mod map;

pub use lines::{IntoLines, LineChunks};

use crate::weight::{Bytes, Weight};
use map::Mapped;
use std::fs::File;
use std::ops::{Bound, Deref, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

/// A run of whole records: a cheap handle to bytes that nobody changes.
///
/// Dereferences to `[u8]`. Clones and slices share the bytes, which live until the last of them is dropped.
///
/// # Examples
///
/// ```
/// use gristmill::Chunk;
///
/// let chunk = Chunk::from(b"key=value".to_vec());
/// let value = chunk.slice(4..);
/// assert_eq!((&value[..], value.offset()), (&b"value"[..], 4));
/// ```
#[derive(Clone)]
pub struct Chunk {
    bytes: Storage,
    start: usize,
    len: usize,
    /// Where in the file it begins.
    offset: u64,
    /// How many lines of the file are before it.
    lines_before: u64,
}

#[derive(Clone)]
enum Storage {
    Owned(Arc<Vec<u8>>),
    Mapped(Arc<Mapped>),
}

impl Chunk {
    fn new(bytes: Storage, range: std::ops::Range<usize>, offset: u64, lines_before: u64) -> Self {
        Chunk { bytes, start: range.start, len: range.len(), offset, lines_before }
    }

    /// Where in its file the chunk begins, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of its first line, counted from one as editors do. Chunks that were not cut at lines begin with one.
    #[must_use]
    pub fn first_line(&self) -> u64 {
        self.lines_before + 1
    }

    /// A part of the chunk, without copying. It knows its offset and its line; for the latter, the line ends before it
    /// are counted.
    ///
    /// # Panics
    ///
    /// When the range is not inside, as slices do.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Chunk {
        let from = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&end) => end + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        assert!(from <= to && to <= self.len, "range {from}..{to} is not inside a chunk of {} bytes", self.len);
        let lines = memchr::memchr_iter(b'\n', &self[..from]).count() as u64;
        self.cut(from..to, self.lines_before + lines)
    }

    /// A part with so many lines of the file before it.
    fn cut(&self, range: std::ops::Range<usize>, lines_before: u64) -> Chunk {
        let (start, end) = (self.start + range.start, self.start + range.end);
        Chunk::new(self.bytes.clone(), start..end, self.offset + range.start as u64, lines_before)
    }

    /// Cuts the chunk into its lines, each with its number in the file, without copying. Line ends (`\n` or `\r\n`) are
    /// left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::Chunk;
    ///
    /// let lines: Vec<(u64, Chunk)> = Chunk::from(b"a\r\nbc".to_vec()).into_lines().collect();
    /// assert_eq!((lines[0].0, &lines[0].1[..]), (1, &b"a"[..]));
    /// assert_eq!((lines[1].0, &lines[1].1[..]), (2, &b"bc"[..]));
    /// assert_eq!(lines[1].1.first_line(), 2);
    /// ```
    #[must_use]
    pub fn into_lines(self) -> IntoLines {
        IntoLines::new(self)
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes: &[u8] = match &self.bytes {
            Storage::Owned(bytes) => bytes,
            Storage::Mapped(map) => map.bytes(),
        };
        &bytes[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Chunk::new(Storage::Owned(Arc::new(bytes)), 0..len, 0, 0)
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("offset", &self.offset).field("len", &self.len).finish_non_exhaustive()
    }
}

/// A chunk weighs its bytes, mapped or not.
impl Weight for Chunk {
    fn heap(&self) -> usize {
        self.len
    }
}

/// A file to be cut into chunks.
///
/// # Examples
///
/// ```
/// use gristmill::{Chunks, prelude::*};
///
/// let path = std::env::temp_dir().join("gristmill-doc-lines.txt");
/// std::fs::write(&path, "one\ntwo\nthree").unwrap();
/// let report = Pipeline::extract(Chunks::open(&path).unwrap().lines())
///     .flat_map(|chunk| chunk.into_lines())
///     .map(|(number, line)| (number, line.len()))
///     .ordered()
///     .collect::<Vec<_>>()
///     .run()?;
/// assert_eq!(report.output, [(1, 3), (2, 3), (3, 5)]);
/// # Ok::<(), gristmill::Error>(())
/// ```
#[derive(Debug)]
pub struct Chunks {
    origin: Origin,
    path: PathBuf,
    target: usize,
}

#[derive(Debug)]
enum Origin {
    Read(File),
    Mapped(Arc<Mapped>),
}

/// Large enough that a hand-over costs nothing, small enough for a core's cache to help.
const DEFAULT_TARGET: usize = 256 << 10;

impl Chunks {
    /// Opens a file to be read in chunks: anything that can be read from the beginning, a pipe or a file of `/proc` too.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is a directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ChunkError> {
        let path = path.as_ref().to_owned();
        let file = open_file(&path)?;
        Ok(Chunks { origin: Origin::Read(file), path, target: DEFAULT_TARGET })
    }

    /// Maps a file into memory, to be cut into chunks without copying.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or mapped, as a pipe cannot.
    ///
    /// # Safety
    ///
    /// No process may write to or truncate the file while a chunk of it lives. Touching what was truncated away kills
    /// the program with SIGBUS, and bytes that change are undefined behaviour.
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self, ChunkError> {
        let path = path.as_ref().to_owned();
        let file = open_file(&path)?;
        // SAFETY: the caller keeps the file as it is, as documented above.
        let mapped = unsafe { Mapped::new(&file) };
        let mapped = mapped.map_err(|source| ChunkError { path: path.clone(), action: "map", source })?;
        Ok(Chunks { origin: Origin::Mapped(Arc::new(mapped)), path, target: DEFAULT_TARGET })
    }

    /// How large chunks should be; each is at most the rest of a record larger. Zero is taken for one byte, so that each
    /// chunk is a record.
    ///
    /// # Default
    ///
    /// 256 KiB.
    #[must_use]
    pub fn target(mut self, bytes: Bytes) -> Self {
        self.target = bytes.get().max(1);
        self
    }

    /// Cuts at line ends.
    #[must_use]
    pub fn lines(self) -> LineChunks {
        LineChunks::new(self)
    }
}

fn open_file(path: &Path) -> Result<File, ChunkError> {
    let error = |source| ChunkError { path: path.to_owned(), action: "open", source };
    let file = File::open(path).map_err(error)?;
    if file.metadata().map_err(error)?.is_dir() {
        return Err(error(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(file)
}

/// A file could not be opened, mapped or read.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{}`", path.display())]
pub struct ChunkError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

impl ChunkError {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
