//! A file of numbers in memory. Its one unsafe call hands the contract on to the caller.

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::Range;

/// A file mapped for reading.
#[derive(Debug)]
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Maps a whole file.
    ///
    /// # Safety
    ///
    /// No process may write to or truncate the file while the map lives.
    pub(crate) unsafe fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the caller keeps the file unchanged, and nobody here ever gets `&mut` to the bytes.
        unsafe { Mmap::map(file) }.map(Mapped)
    }

    /// The bytes of a range, which are asked for at once rather than page by page. Panics when it is not inside.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        // Advice that is not taken changes nothing but speed.
        #[cfg(target_os = "linux")]
        let _ = self.0.advise_range(memmap2::Advice::PopulateRead, range.start, range.len());
        &self.0[range]
    }
}
