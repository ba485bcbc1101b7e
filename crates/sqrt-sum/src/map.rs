//! A file of numbers in memory. Mapping hands its contract on to the caller.

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

    /// The bytes of a range. Their pages come by faults, sixteen at a time: asking for all of them at once takes longer, by
    /// a tenth. Panics when it is not inside.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.0[range]
    }

    /// Lets go of pages that will hardly be read again, so that little of a large file is resident. They can be read
    /// nevertheless. Every core that has worked on the map is interrupted for it, so let it be many pages at once.
    pub(crate) fn forget(&self, range: Range<usize>) {
        // SAFETY: nothing was ever written to the map, so a page comes back from the file with the same bytes.
        #[cfg(target_os = "linux")]
        let _ = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }
}
