//! A file in memory: the only unsafe code of the crate.
//!
//! A map is divided into *regions*. One whose last chunk is dropped is given back at once, so a file larger than memory
//! streams through a small resident set. Reading ahead is left to the system, which is told that the map is read in order.

#[cfg(target_os = "linux")]
mod guard;

use super::{ChunkError, MappedBytes};
#[cfg(target_os = "linux")]
use guard::Guard;
use memchr::memchr_iter;
use memmap2::Mmap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Large enough that giving it back costs nothing, small enough that a few of them are little memory. A multiple of every
/// page size there is.
const REGION: usize = 8 << 20;

/// A file mapped for reading.
#[derive(Debug)]
pub(super) struct Mapped {
    /// Before the map, as it is to be dropped before it.
    #[cfg(target_os = "linux")]
    guard: Option<(Guard, File)>,
    map: Mmap,
    file: Arc<Path>,
    /// How many hold each region: its pieces, and the source until it is past.
    holders: Box<[AtomicU32]>,
    /// How many line ends are before some offsets: those that were asked for.
    line_ends: Mutex<BTreeMap<usize, u64>>,
    gauge: MappedBytes,
}

impl Mapped {
    /// Maps a whole file.
    ///
    /// # Safety
    ///
    /// No process may write to or truncate the file while the map lives.
    pub(super) unsafe fn new(file: &File, path: Arc<Path>, gauge: MappedBytes) -> io::Result<Self> {
        // SAFETY: the caller keeps the file unchanged, and nobody here ever gets `&mut` to the bytes.
        let map = unsafe { Mmap::map(file)? };
        // Advice that is not taken changes nothing but speed.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Sequential);
        let holders = (0..map.len().div_ceil(REGION)).map(|_| AtomicU32::new(1)).collect();
        Ok(Mapped {
            #[cfg(target_os = "linux")]
            guard: None,
            map,
            file: path,
            holders,
            line_ends: Mutex::new(BTreeMap::new()),
            gauge,
        })
    }

    /// Lets the program survive when the file is truncated.
    #[cfg(target_os = "linux")]
    pub(super) fn guarded(mut self, file: File) -> io::Result<Self> {
        // An empty map has no page that could be lost.
        if !self.map.is_empty() {
            self.guard = Some((Guard::new(&self.map)?, file));
        }
        Ok(self)
    }

    /// Whether the file still had all bytes of a range when they were read, as far as a guard can tell.
    pub(super) fn check(&self, range: &Range<usize>) -> Result<(), ChunkError> {
        #[cfg(target_os = "linux")]
        if let Some((guard, file)) = &self.guard {
            let size = file.metadata().map_err(|source| ChunkError::new(&self.file, "look at", source))?.len();
            // What is left of the last page reads as zeros without a signal: only the size tells.
            let whole = guard.gone_from().min(usize::try_from(size).unwrap_or(usize::MAX));
            if range.end > whole {
                let problem = format!("it was truncated to {whole} bytes while bytes up to {} were read", range.end);
                return Err(ChunkError::new(&self.file, "read", io::Error::new(io::ErrorKind::UnexpectedEof, problem)));
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub(super) fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// How many line ends are before `offset`. Counted when it is first asked for, from the nearest place that is known.
    pub(super) fn line_ends_before(&self, offset: usize) -> u64 {
        let nearest = self.line_ends.lock().range(..=offset).next_back().map(|(at, ends)| (*at, *ends));
        let (from, known) = nearest.unwrap_or((0, 0));
        let ends = known + memchr_iter(b'\n', &self.bytes()[from..offset]).count() as u64;
        self.line_ends.lock().insert(offset, ends);
        ends
    }

    /// The source goes on from one offset to another: it does not hold what it leaves behind.
    pub(super) fn advance(&self, passed: Range<usize>) {
        let end = if passed.end == self.map.len() { self.holders.len() } else { passed.end / REGION };
        (passed.start / REGION..end).for_each(|region| self.release(region));
    }

    fn release(&self, region: usize) {
        // AcqRel: who gives a region back comes after all who have read it.
        if self.holders[region].fetch_sub(1, Ordering::AcqRel) == 1 {
            #[cfg(unix)]
            self.give_back(region * REGION);
        }
    }

    #[cfg(unix)]
    fn give_back(&self, start: usize) {
        let len = REGION.min(self.map.len() - start);
        // SAFETY: the map is read-only and backed by a file that nobody changes (see `new`), so a page that is given back
        // has the same bytes when somebody looks at it again.
        let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len) };
    }
}

/// A part of a map that chunks are made of. The last of them to be dropped gives it back.
#[derive(Debug)]
pub(super) struct Piece {
    map: Arc<Mapped>,
    range: Range<usize>,
}

impl Piece {
    pub(super) fn new(map: Arc<Mapped>, range: Range<usize>) -> Self {
        for region in regions(&range) {
            map.holders[region].fetch_add(1, Ordering::Relaxed);
        }
        map.gauge.add(range.len());
        Piece { map, range }
    }

    pub(super) fn map(&self) -> &Mapped {
        &self.map
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.map.gauge.remove(self.range.len());
        regions(&self.range).for_each(|region| self.map.release(region));
    }
}

fn regions(range: &Range<usize>) -> Range<usize> {
    range.start / REGION..range.end.div_ceil(REGION)
}
