//! Getting at the bytes of a file.

use crate::map;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// How much is read at once: it stays in the cache of a core until it is hashed, and a system call for it costs nothing.
const BLOCK: usize = 256 << 10;
/// How much of a file is mapped at once: what bounds the memory that a map takes.
pub(crate) const WINDOW: usize = 8 << 20;
/// Smaller files are read even where maps are allowed: making a map costs as much as reading this.
const LEAST_MAPPED: u64 = 1 << 20;

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Read,
    /// Whoever chose this has promised that nobody changes the files.
    Mapped,
}

/// A worker's memory for what it reads: 256 KiB, made once and filled again and again.
#[derive(Debug)]
pub struct Buffer {
    block: Box<[u8]>,
    seen: Option<Arc<AtomicU64>>,
}

impl Buffer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Buffer { block: vec![0; BLOCK].into(), seen: None }
    }

    /// An empty one that adds each block of a file above 256 KiB to `seen` as it comes, and smaller files as a whole: for
    /// a progress bar.
    #[must_use]
    pub fn counting(seen: &Arc<AtomicU64>) -> Self {
        Buffer { seen: Some(Arc::clone(seen)), ..Buffer::new() }
    }

    /// An empty one that counts where this does.
    pub(crate) fn another(&self) -> Self {
        Buffer { seen: self.seen.clone(), ..Buffer::new() }
    }

    fn count(&self, bytes: usize) {
        if let Some(seen) = &self.seen {
            seen.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer::new()
    }
}

/// What tells whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Stamp { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Opens a file, without waiting should it have become a fifo since it was looked at.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    options.open(path)
}

/// Lets `take` see the bytes of a file from `offset` on, block by block: `limit` of them, or fewer if the file ends
/// before. `expected` is how many there should be; if as many were read in one go, no further read asks for the end.
pub(crate) fn each_block(
    file: &File,
    origin: Origin,
    offset: u64,
    limit: u64,
    expected: u64,
    buffer: &mut Buffer,
    mut take: impl FnMut(&[u8]),
) -> io::Result<u64> {
    if origin == Origin::Mapped && expected >= LEAST_MAPPED {
        each_window(file, offset, expected, buffer, take)?;
        return Ok(expected);
    }
    let mut seen = 0;
    while seen < limit {
        let most = (limit - seen).min(BLOCK as u64) as usize;
        let read = read_at(file, &mut buffer.block[..most], offset + seen)?;
        take(&buffer.block[..read]);
        buffer.count(read);
        seen += read as u64;
        if read == 0 || (read < most && seen == expected) {
            break;
        }
    }
    Ok(seen)
}

/// All of a file of so many bytes if one read gets them, and nothing more is there.
pub(crate) fn at_once<'a>(file: &File, len: u64, buffer: &'a mut Buffer) -> io::Result<Option<&'a [u8]>> {
    if len >= BLOCK as u64 {
        return Ok(None);
    }
    let read = read_at(file, &mut buffer.block, 0)?;
    if read as u64 != len {
        return Ok(None);
    }
    buffer.count(read);
    Ok(Some(&buffer.block[..read]))
}

fn each_window(file: &File, offset: u64, len: u64, buffer: &Buffer, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let end = offset + len;
    if file.metadata()?.len() < end {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut at = offset;
    while at < end {
        let window = (end - at).min(WINDOW as u64) as usize;
        // SAFETY: `Origin::Mapped` is only made by `Files::mapped`, whose caller keeps the files as they are.
        unsafe { map::with_mapped(file, at, window, &mut take)? };
        buffer.count(window);
        at += window as u64;
    }
    Ok(())
}

/// Reads at a place, without moving any cursor, so that several threads can share a file.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, buffer, offset);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset);
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
