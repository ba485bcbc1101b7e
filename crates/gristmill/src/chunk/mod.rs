//! Record-aligned pieces of a file.
//!
//! A [`Chunk`] is a handle to bytes that nobody changes: cheap to clone, to cut and to send. [`Chunks`] opens a file and
//! cuts it where records end. The bytes come from one of two places, and the type is the same:
//!
//! - *read* ([`Chunks::open`]): into buffers of the program. Safe whatever others do to the file. The default.
//! - *mapped* ([`Chunks::map`]): no copy, but whoever truncates the file meanwhile kills the program, so it is `unsafe`.

mod buffer;
mod lines;
mod map;
mod mark;
mod source;
mod split;

pub use lines::{IntoLines, Lines};
pub use source::Pieces;
pub use split::{BadRecord, CsvRows, Delimited, DelimitedBy, FixedSize, LengthPrefixed, Splitter, Whole};

use crate::weight::{Bytes, Weight};
use buffer::Buffer;
use map::{Mapped, Piece};
use std::fs::File;
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
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
}

#[derive(Clone)]
enum Storage {
    Owned(Arc<Buffer>),
    Mapped(Arc<Piece>),
}

impl Chunk {
    fn new(bytes: Storage, range: Range<usize>) -> Self {
        Chunk { bytes, start: range.start, len: range.len() }
    }

    /// Where in its file the chunk begins, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match &self.bytes {
            Storage::Owned(buffer) => buffer.offset + self.start as u64,
            Storage::Mapped(_) => self.start as u64,
        }
    }

    /// The file that the chunk is a part of; `None` for bytes that came from elsewhere.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.bytes {
            Storage::Owned(buffer) => buffer.file.as_deref(),
            Storage::Mapped(piece) => Some(piece.map().file()),
        }
    }

    /// The number of the line that the chunk begins in, counted from one as editors do.
    ///
    /// Counted when it is asked for: from the beginning of what was read, or, in a map, from the nearest place whose number
    /// is known. So ask for it when something is wrong with a record, and not for each. In what was read with a splitter that
    /// [has no lines](Splitter::has_lines) it is always 1.
    #[must_use]
    pub fn first_line(&self) -> u64 {
        let line_ends = match &self.bytes {
            Storage::Owned(buffer) => match buffer.line_ends {
                Some(before) => before + memchr::memchr_iter(b'\n', &buffer.bytes[..self.start]).count() as u64,
                None => 0,
            },
            Storage::Mapped(piece) => piece.map().line_ends_before(self.start),
        };
        line_ends + 1
    }

    /// Whether all bytes of the chunk were there when they were read: to be asked after that. It can fail for a chunk of
    /// [`Chunks::map_guarded`] only.
    ///
    /// # Errors
    ///
    /// When the file was truncated and the chunk, or a part of it, is gone: what was made of it is worth nothing.
    pub fn check_intact(&self) -> Result<(), ChunkError> {
        match &self.bytes {
            Storage::Owned(_) => Ok(()),
            Storage::Mapped(piece) => piece.map().check(&(self.start..self.start + self.len)),
        }
    }

    /// A part of the chunk, without copying.
    ///
    /// # Panics
    ///
    /// When the range is not inside, as slices do.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Chunk {
        let from = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            // The last number that there is cannot be a place in a chunk, and is not inside either way.
            Bound::Included(&end) => end.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        assert!(from <= to && to <= self.len, "range {from}..{to} is not inside a chunk of {} bytes", self.len);
        Chunk::new(self.bytes.clone(), self.start + from..self.start + to)
    }

    /// The lines of the chunk. Line ends (`\n` or `\r\n`) are left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::Chunk;
    ///
    /// let chunk = Chunk::from(b"a\r\n\nbc".to_vec());
    /// assert_eq!(chunk.lines().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc"]);
    /// ```
    pub fn lines(&self) -> Lines<'_> {
        Lines(self)
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
            Storage::Owned(buffer) => &buffer.bytes,
            Storage::Mapped(piece) => piece.map().bytes(),
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
        let buffer = Buffer { bytes, offset: 0, line_ends: Some(0), file: None, home: None };
        Chunk::new(Storage::Owned(Arc::new(buffer)), 0..len)
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("offset", &self.offset()).field("len", &self.len).finish_non_exhaustive()
    }
}

/// A chunk that was read weighs its bytes. Those of a mapped one are no memory of the program's: the report counts them
/// apart.
impl Weight for Chunk {
    fn heap(&self) -> usize {
        match self.bytes {
            Storage::Owned(_) => self.len,
            Storage::Mapped(_) => 0,
        }
    }
}

/// Files to be cut into chunks.
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
    origins: Vec<Origin>,
    target: usize,
    largest: usize,
    gauge: MappedBytes,
}

/// Where the bytes of a file come from.
#[derive(Debug)]
enum Origin {
    Read(File, Arc<Path>),
    Mapped(Arc<Mapped>),
    /// One of several, to be opened when it is its turn.
    Closed(Arc<Path>, Access),
}

#[derive(Debug, Clone, Copy)]
enum Access {
    Read,
    Map,
    #[cfg(target_os = "linux")]
    MapGuarded,
}

/// A record may be so large, unless told otherwise.
const LARGEST: usize = 1 << 30;

impl Chunks {
    fn new(origins: Vec<Origin>, gauge: MappedBytes) -> Self {
        Chunks { origins, target: default_target(), largest: LARGEST, gauge }
    }

    /// Opens a file to be read in chunks: anything that can be read from the beginning, a pipe or a file of `/proc` too.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is a directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ChunkError> {
        let gauge = MappedBytes::default();
        let origin = open(&path.as_ref().into(), Access::Read, &gauge)?;
        Ok(Chunks::new(vec![origin], gauge))
    }

    /// Several files as one stream, each opened when it is its turn. One that cannot be opened is one failure of the extract
    /// stage.
    pub fn open_all<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        let closed = |path: P| Origin::Closed(path.into().into(), Access::Read);
        Chunks::new(paths.into_iter().map(closed).collect(), MappedBytes::default())
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
        let gauge = MappedBytes::default();
        let origin = open(&path.as_ref().into(), Access::Map, &gauge)?;
        Ok(Chunks::new(vec![origin], gauge))
    }

    /// Maps a file as [`map`](Chunks::map) does, and survives when it is truncated: what is gone reads as zeros, and
    /// [`Chunk::check_intact`] says so afterwards.
    ///
    /// It takes the process's handler of SIGBUS, and hands on what is not about such a file.
    ///
    /// # Errors
    ///
    /// Those of [`map`](Chunks::map), and when the handler cannot be installed.
    ///
    /// # Safety
    ///
    /// No process may write to the file while a chunk of it lives: bytes that change are undefined behaviour. Only that it
    /// gets shorter is provided for. Nobody else in this process may install a handler of SIGBUS later that does not hand
    /// on what is not its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::{Chunks, prelude::*};
    ///
    /// # let path = std::env::temp_dir().join("gristmill-doc-guarded.txt");
    /// # std::fs::write(&path, "one\ntwo\n").unwrap();
    /// // SAFETY: whoever writes this file appends to it or makes it shorter, and never changes what is there.
    /// let chunks = unsafe { Chunks::map_guarded(&path) }.unwrap();
    /// let report = Pipeline::extract(chunks.lines())
    ///     .try_map(|chunk| {
    ///         let lines = chunk.lines().count();
    ///         chunk.check_intact()?; // after the bytes were read
    ///         Ok::<_, gristmill::ChunkError>(lines)
    ///     })
    ///     .reduce(|left, right| left + right)
    ///     .run()?;
    /// assert_eq!(report.output, Some(2));
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    #[cfg(target_os = "linux")]
    pub unsafe fn map_guarded(path: impl AsRef<Path>) -> Result<Self, ChunkError> {
        let gauge = MappedBytes::default();
        let origin = open(&path.as_ref().into(), Access::MapGuarded, &gauge)?;
        Ok(Chunks::new(vec![origin], gauge))
    }

    /// Maps several files, each when it is its turn, to be cut as one stream.
    ///
    /// # Safety
    ///
    /// That of [`map`](Chunks::map), for each of them.
    pub unsafe fn map_all<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        let closed = |path: P| Origin::Closed(path.into().into(), Access::Map);
        Chunks::new(paths.into_iter().map(closed).collect(), MappedBytes::default())
    }

    /// How large chunks should be. One is smaller if the next record does not fit, and larger if its first does not. Zero
    /// is taken for one byte, so that each chunk is a record. With more than a file has it is one chunk.
    ///
    /// # Default
    ///
    /// A quarter of a core's second cache, so that what was read is still there when it is worked on: 256 KiB where that
    /// is not known, and never less than 128 KiB or more than 1 MiB.
    #[must_use]
    pub fn target(mut self, bytes: Bytes) -> Self {
        self.target = bytes.get().max(1);
        self
    }

    /// How large a record of a file that is read may be. One that is larger is an error, as it would have to be in memory
    /// whole; but what fits into the [target](Chunks::target) is in memory anyway, and is never refused.
    ///
    /// # Default
    ///
    /// 1 GiB.
    #[must_use]
    pub fn largest_record(mut self, bytes: Bytes) -> Self {
        self.largest = bytes.get();
        self
    }

    /// Cuts at line ends.
    #[must_use]
    pub fn lines(self) -> Pieces<Delimited> {
        self.split(Delimited(b'\n'))
    }

    /// Cuts between rows of CSV: at line ends that are not within quotes.
    #[must_use]
    pub fn csv_rows(self) -> Pieces<CsvRows> {
        self.split(CsvRows::default())
    }

    /// Cuts between records of so many bytes.
    #[must_use]
    pub fn fixed_size(self, bytes: usize) -> Pieces<FixedSize> {
        self.split(FixedSize::new(bytes))
    }

    /// Gives each file as one chunk.
    #[must_use]
    pub fn whole(self) -> Pieces<Whole> {
        self.split(Whole)
    }

    /// Cuts where a splitter says.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill::chunk::DelimitedBy;
    /// use gristmill::{Chunks, prelude::*};
    ///
    /// let path = std::env::temp_dir().join("gristmill-doc-split.txt");
    /// std::fs::write(&path, "one\n--\ntwo\n--\n").unwrap();
    /// let chunks = Chunks::open(&path).unwrap().target(Bytes::new(0)).split(DelimitedBy::new("--\n"));
    /// let report = Pipeline::extract(chunks).map(|chunk| chunk.len()).ordered().collect::<Vec<_>>().run()?;
    /// assert_eq!(report.output, [7, 7]);
    /// # Ok::<(), gristmill::Error>(())
    /// ```
    #[must_use]
    pub fn split<S: Splitter>(self, splitter: S) -> Pieces<S> {
        Pieces::new(self, splitter)
    }
}

fn open(path: &Arc<Path>, access: Access, gauge: &MappedBytes) -> Result<Origin, ChunkError> {
    let error = |action| move |source| ChunkError::new(path, action, source);
    let file = File::open(path).map_err(error("open"))?;
    if file.metadata().map_err(error("open"))?.is_dir() {
        return Err(error("open")(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    match access {
        Access::Read => Ok(Origin::Read(file, Arc::clone(path))),
        _ => {
            // SAFETY: such an access is given by unsafe functions of `Chunks` only, whose callers keep the file as it is.
            let mapped = unsafe { Mapped::new(&file, Arc::clone(path), gauge.clone()) };
            let mapped = mapped.map_err(error("map"))?;
            #[cfg(target_os = "linux")]
            let mapped = match access {
                Access::MapGuarded => mapped.guarded(file).map_err(error("guard"))?,
                _ => mapped,
            };
            Ok(Origin::Mapped(Arc::new(mapped)))
        }
    }
}

/// A quarter of a core's second cache.
fn default_target() -> usize {
    static TARGET: OnceLock<usize> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let size = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size").ok();
        let kib = size.and_then(|size| size.trim().strip_suffix('K')?.parse::<usize>().ok());
        kib.map_or(256 << 10, |kib| ((kib << 10) / 4).clamp(128 << 10, 1 << 20))
    })
}

/// The mapped bytes that chunks hold, now and at most.
///
/// They are no memory of the program's: the system gives them up when it needs to. So they are counted apart from what
/// the memory budget counts. A source has them, and the report says them.
#[derive(Debug, Clone, Default)]
pub struct MappedBytes(Arc<Gauge>);

#[derive(Debug, Default)]
struct Gauge {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl MappedBytes {
    /// Bytes that chunks hold now.
    #[must_use]
    pub fn now(&self) -> usize {
        self.0.now.load(Ordering::Relaxed)
    }

    /// The most they have held.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        let now = self.0.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.0.now.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A file could not be opened, mapped, read or cut.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{}`", path.display())]
pub struct ChunkError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

impl ChunkError {
    fn new(path: &Path, action: &'static str, source: io::Error) -> Self {
        ChunkError { path: path.to_owned(), action, source }
    }

    fn bad_record(path: &Path, offset: u64, bad: &BadRecord) -> Self {
        let problem = format!("at byte {offset}: {bad}");
        ChunkError::new(path, "cut", io::Error::new(io::ErrorKind::InvalidData, problem))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
