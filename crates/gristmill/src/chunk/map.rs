//! A file in memory: the only unsafe code of the crate.

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// A file mapped for reading.
#[derive(Debug)]
pub(super) struct Mapped(Mmap);

impl Mapped {
    /// Maps a whole file.
    ///
    /// # Safety
    ///
    /// No process may write to or truncate the file while the map lives.
    pub(super) unsafe fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the caller keeps the file unchanged, and nobody here ever gets `&mut` to the bytes.
        let map = unsafe { Mmap::map(file)? };
        // Advice that is not taken changes nothing but speed.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Sequential);
        Ok(Mapped(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
