//! A file in memory: the only unsafe code of the crate.
//!
//! A map is divided into *regions*. One whose last chunk is dropped is given back at once, so a file larger than memory
//! streams through a small resident set. Reading ahead is left to the system, which is told that the map is read in order.

use super::MappedBytes;
use memchr::memchr_iter;
use memmap2::{Advice, Mmap, UncheckedAdvice};
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
        let _ = map.advise(Advice::Sequential);
        let holders = (0..map.len().div_ceil(REGION)).map(|_| AtomicU32::new(1)).collect();
        Ok(Mapped { map, file: path, holders, line_ends: Mutex::new(BTreeMap::new()), gauge })
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
            let start = region * REGION;
            let len = REGION.min(self.map.len() - start);
            // SAFETY: the map is read-only and backed by a file that nobody changes (see `new`), so a page that is given
            // back has the same bytes when somebody looks at it again.
            let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, len) };
        }
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
