//! Files as a source of chunks.

use super::buffer::{Buffer, Pool};
use super::map::{Mapped, Piece};
use super::mark::{FilePlace, fingerprint};
use super::{Access, BadRecord, Chunk, ChunkError, Chunks, MappedBytes, Origin, Splitter, Storage};
use crate::checkpoint::Mark;
use crate::error::BoxError;
use crate::source::Source;
use crate::weight::Weight;
use memchr::memchr_iter;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// The chunks of one file or of several, cut where the records of a [`Splitter`] end: a source.
///
/// Joining the chunks of a file gives the file back, and no record is cut in two: one larger than the target makes a chunk
/// of its own. No record spans two files, and an empty file has no chunks. A file that cannot be opened, read or cut is one
/// failure of the extract stage; the source goes on with the next file.
#[derive(Debug)]
pub struct Pieces<S> {
    files: VecDeque<Origin>,
    /// How many files were opened, or given up.
    passed: u64,
    current: Option<Current>,
    splitter: S,
    target: usize,
    largest: usize,
    skip: u64,
    has_lines: bool,
    pool: Arc<Pool>,
    gauge: MappedBytes,
}

/// A length that a record claims, or somebody wants, is believed up to so many bytes; beyond, what is there must grow towards
/// it.
const BELIEVED: usize = 4 << 20;

/// The file that is being cut.
#[derive(Debug)]
struct Current {
    bytes: Bytes,
    /// Records still to be left out.
    skip: u64,
}

#[derive(Debug)]
enum Bytes {
    Read(Reading),
    Mapped { map: Arc<Mapped>, at: usize },
}

/// A file as it is read.
#[derive(Debug)]
struct Reading {
    file: File,
    path: Arc<Path>,
    /// What was read beyond the last chunk.
    carry: Vec<u8>,
    /// Of what is carried.
    offset: u64,
    /// `None` if nobody wants to know.
    line_ends: Option<u64>,
    /// How large the last chunk was.
    last: usize,
    ended: bool,
    /// It is a pipe or the like.
    trickles: bool,
}

impl<S: Splitter> Pieces<S> {
    pub(super) fn new(chunks: Chunks, splitter: S) -> Self {
        let Chunks { origins, target, largest, gauge } = chunks;
        Pieces {
            files: origins.into(),
            passed: 0,
            current: None,
            has_lines: splitter.has_lines(),
            splitter,
            target,
            largest: largest.max(target),
            skip: 0,
            pool: Pool::new(target),
            gauge,
        }
    }

    /// Leaves out the first records of each file, a header for instance. Lines and offsets stay those of the file.
    #[must_use]
    pub fn skip_records(mut self, records: u64) -> Self {
        self.skip = records;
        self
    }

    /// Does not count the lines of what is read, which takes a few hundredths of the time: for who never asks a chunk for
    /// its [first line](Chunk::first_line), which is always 1 then. In a map lines are counted when they are asked for, anyway.
    #[must_use]
    pub fn without_lines(mut self) -> Self {
        self.has_lines = false;
        self
    }

    /// The next chunk, if the files have one; skipped records are still in it.
    fn cut(&mut self) -> Result<Option<Chunk>, ChunkError> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(origin) = self.files.pop_front() else { return Ok(None) };
                self.passed += 1;
                self.current = Some(Current { bytes: origin.open(self.has_lines, &self.gauge)?, skip: self.skip });
                continue;
            };
            let cut = match &mut current.bytes {
                Bytes::Read(reading) => reading.cut(&self.splitter, self.target, self.largest, &self.pool),
                Bytes::Mapped { map, at } => cut_map(map, at, &self.splitter, self.target),
            };
            match cut {
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => self.current = None,
                Err(error) => {
                    // The file cannot be trusted from here on: one failure, then the next file.
                    self.current = None;
                    return Err(error);
                }
            }
        }
    }

    /// What is left of a chunk when the records to be skipped are gone.
    fn without_skipped(&mut self, chunk: Chunk) -> Chunk {
        let Some(current) = &mut self.current else { return chunk };
        let mut start = 0;
        while current.skip > 0 && start < chunk.len() {
            current.skip -= 1;
            // A last record without an end is a record, too. What is wrong with one was found when it was cut.
            let record = self.splitter.first(&chunk[start..]).ok().flatten();
            start = record.map_or(chunk.len(), |len| start.saturating_add(len).min(chunk.len()));
        }
        if start == 0 { chunk } else { chunk.slice(start..) }
    }
}

impl<S: Splitter> Source for Pieces<S> {
    type Item = Chunk;
    type Error = ChunkError;

    fn pull(&mut self) -> Option<Result<Chunk, ChunkError>> {
        loop {
            match self.cut() {
                Ok(chunk) => {
                    let chunk = self.without_skipped(chunk?);
                    if !chunk.is_empty() {
                        return Some(Ok(chunk));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// A file, and a place in it. `None` in a pipe or the like, which cannot be gone back to.
    fn mark(&mut self) -> Option<Mark> {
        let place = match &self.current {
            None => FilePlace { file: self.passed, skip: self.skip, ..FilePlace::default() },
            Some(current) => FilePlace { file: self.passed - 1, skip: current.skip, ..current.bytes.place()? },
        };
        Some(place.into())
    }

    fn seek(&mut self, mark: &Mark) -> Result<(), BoxError> {
        let place = FilePlace::try_from(mark)?;
        let n_files = self.files.len() as u64;
        if place.file > n_files {
            return Err(format!("it is in file {} of {n_files}", place.file + 1).into());
        }
        self.files.drain(..place.file as usize);
        self.passed = place.file;
        self.current = None;
        if place.is_start(self.skip) {
            return Ok(());
        }
        let Some(origin) = self.files.pop_front() else { return Err("it is behind the last file".into()) };
        self.passed += 1;
        let bytes = origin.open(self.has_lines, &self.gauge)?.at(&place)?;
        self.current = Some(Current { bytes, skip: place.skip });
        Ok(())
    }

    /// Path, size, time of the last change and a checksum of the beginning of each file. An error if one is a pipe or the
    /// like, which would be cut elsewhere the next time.
    fn fingerprint(&mut self) -> Result<Option<String>, BoxError> {
        let files = fingerprint(self.files.iter().map(Origin::path))?;
        Ok(Some(format!("{files}\npieces of {} bytes without {} records", self.target, self.skip)))
    }

    fn may_wait(&self) -> bool {
        let reads = matches!(&self.current, Some(Current { bytes: Bytes::Read(_), .. }));
        reads || self.files.iter().any(Origin::may_wait)
    }

    fn weigher() -> Option<fn(&Chunk) -> usize> {
        Some(Chunk::weight)
    }

    fn mapped_bytes(&self) -> Option<MappedBytes> {
        Some(self.gauge.clone())
    }
}

impl Origin {
    fn may_wait(&self) -> bool {
        matches!(self, Origin::Read(..) | Origin::Closed(_, Access::Read))
    }

    fn path(&self) -> &Path {
        match self {
            Origin::Read(_, path) | Origin::Closed(path, _) => path,
            Origin::Mapped(map) => map.file(),
        }
    }

    fn open(self, has_lines: bool, gauge: &MappedBytes) -> Result<Bytes, ChunkError> {
        match self {
            Origin::Read(file, path) => Ok(Bytes::Read(Reading::new(file, path, has_lines))),
            Origin::Mapped(map) => Ok(Bytes::Mapped { map, at: 0 }),
            Origin::Closed(path, access) => super::open(&path, access, gauge)?.open(has_lines, gauge),
        }
    }
}

impl Bytes {
    fn place(&self) -> Option<FilePlace> {
        match self {
            Bytes::Read(reading) if reading.trickles => None,
            Bytes::Read(reading) => {
                let line_ends = reading.line_ends.unwrap_or_default();
                Some(FilePlace { offset: reading.offset, line_ends, ..FilePlace::default() })
            }
            // In a map lines are counted when they are asked for.
            Bytes::Mapped { at, .. } => Some(FilePlace { offset: *at as u64, ..FilePlace::default() }),
        }
    }

    /// The same file from a place on.
    fn at(self, place: &FilePlace) -> Result<Bytes, ChunkError> {
        let shorter = |path: &Path| {
            let problem = "it is shorter than the place to go on at";
            ChunkError::new(path, "seek in", io::Error::new(io::ErrorKind::UnexpectedEof, problem))
        };
        match self {
            Bytes::Read(mut reading) => {
                let reached = reach(&mut reading.file, place.offset);
                if !reached.map_err(|source| ChunkError::new(&reading.path, "seek in", source))? {
                    return Err(shorter(&reading.path));
                }
                reading.offset = place.offset;
                reading.line_ends = reading.line_ends.map(|_| place.line_ends);
                Ok(Bytes::Read(reading))
            }
            Bytes::Mapped { map, .. } => {
                let at = usize::try_from(place.offset).ok().filter(|at| *at <= map.bytes().len());
                let Some(at) = at else { return Err(shorter(map.file())) };
                map.advance(0..at);
                Ok(Bytes::Mapped { map, at })
            }
        }
    }
}

/// Goes to a place in a file, and says whether the file reaches so far: one can seek to behind its end, and finds nothing
/// there. Not by its size, as files of `/proc` have none.
fn reach(file: &mut File, offset: u64) -> io::Result<bool> {
    let Some(before) = offset.checked_sub(1) else { return file.rewind().map(|()| true) };
    file.seek(SeekFrom::Start(before))?;
    match file.read_exact(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

impl Reading {
    fn new(file: File, path: Arc<Path>, has_lines: bool) -> Self {
        let trickles = !file.metadata().is_ok_and(|metadata| metadata.is_file());
        let line_ends = has_lines.then_some(0);
        Reading { file, path, carry: Vec::new(), offset: 0, line_ends, last: 0, ended: false, trickles }
    }

    /// Reads about `target` bytes of whole records; what follows the last of them is carried over.
    fn cut(
        &mut self,
        splitter: &impl Splitter,
        target: usize,
        largest: usize,
        pool: &Arc<Pool>,
    ) -> Result<Option<Chunk>, ChunkError> {
        let mut bytes = pool.get();
        let mut filled = self.carry.len();
        // The next record is likely to be as large as the last one. With one byte more than the target it is always seen that
        // the file ends within it, so where it is cut depends on nothing but the place: a run that goes on cuts as before.
        let mut wanted = target.saturating_add(1).max(filled).max(self.last);
        if bytes.len() < filled {
            bytes.resize(filled, 0);
        }
        bytes[..filled].copy_from_slice(&self.carry);
        loop {
            let read = self.fill(&mut bytes, filled, wanted);
            filled = read.map_err(|source| ChunkError::new(&self.path, "read", source))?;
            let end = cut_records(splitter, &bytes[..filled], target, self.ended);
            match end.map_err(|bad| ChunkError::bad_record(&self.path, self.offset, &bad))? {
                Some(end) => return Ok(Some(self.take(bytes, filled, end, pool))),
                None if self.ended => return Ok(None),
                None if filled >= largest => {
                    let bad = BadRecord::new(format!("a record of more than {largest} bytes"));
                    return Err(ChunkError::bad_record(&self.path, self.offset, &bad));
                }
                None if filled == wanted => {
                    let twice = filled.saturating_mul(2);
                    let told = splitter.wanted(&bytes[..filled]).filter(|wanted| *wanted > filled);
                    wanted = told.unwrap_or(twice).min(twice.max(BELIEVED)).min(largest);
                }
                None => {}
            }
        }
    }

    /// Fills the buffer up to so many bytes, and says how many there are. It grows as it is filled: if the file has fewer, it
    /// is not made for more than twice as many.
    fn fill(&mut self, bytes: &mut Vec<u8>, mut filled: usize, wanted: usize) -> io::Result<usize> {
        while filled < wanted && !self.ended {
            let room = filled.saturating_mul(2).max(BELIEVED).min(wanted);
            if bytes.len() < room {
                bytes.resize(room, 0);
            }
            filled += self.read(&mut bytes[filled..room])?;
            if self.trickles {
                break;
            }
        }
        Ok(filled)
    }

    /// Fills the space. What is not a file may wait long for the rest, so it is read as it comes.
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < space.len() && !self.ended {
            match self.file.read(&mut space[filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.trickles {
                break;
            }
        }
        Ok(filled)
    }

    fn take(&mut self, bytes: Vec<u8>, filled: usize, end: usize, pool: &Arc<Pool>) -> Chunk {
        self.carry.clear();
        self.carry.extend_from_slice(&bytes[end..filled]);
        let (offset, line_ends) = (self.offset, self.line_ends);
        self.last = end;
        self.offset += end as u64;
        if let Some(line_ends) = &mut self.line_ends {
            *line_ends += memchr_iter(b'\n', &bytes[..end]).count() as u64;
        }
        let file = Some(Arc::clone(&self.path));
        let buffer = Buffer { bytes, offset, line_ends, file, home: Some(Arc::clone(pool)) };
        Chunk::new(Storage::Owned(Arc::new(buffer)), 0..end)
    }
}

fn cut_map(
    map: &Arc<Mapped>,
    at: &mut usize,
    splitter: &impl Splitter,
    target: usize,
) -> Result<Option<Chunk>, ChunkError> {
    let start = *at;
    let end = cut_records(splitter, &map.bytes()[start..], target, true);
    let Some(len) = end.map_err(|bad| ChunkError::bad_record(map.file(), start as u64, &bad))? else { return Ok(None) };
    *at = start + len;
    // Where a record ends was looked for in bytes that may be gone.
    map.check(&(start..*at))?;
    let piece = Piece::new(Arc::clone(map), start..*at);
    map.advance(start..*at);
    Ok(Some(Chunk::new(Storage::Mapped(Arc::new(piece)), start..*at)))
}

/// Where to cut bytes that begin with a record: after about `limit` of them. `None` if there are none, or if more are
/// needed, which cannot be when the bytes have `ended` the file.
fn cut_records(splitter: &impl Splitter, bytes: &[u8], limit: usize, ended: bool) -> Result<Option<usize>, BadRecord> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let end = splitter.last(bytes, limit)?;
    // Others write splitters, too. A record of nothing would come again and again.
    if let Some(end) = end.filter(|end| !(1..=bytes.len()).contains(end)) {
        return Err(BadRecord::new(format!("the splitter says that records end at byte {end} of {}", bytes.len())));
    }
    if !ended || end == Some(bytes.len()) {
        return Ok(end);
    }
    // The rest of the file goes with the last records if there is room for it, and if it is one.
    match end {
        Some(end) if bytes.len() > limit || splitter.first(&bytes[end..]) != Ok(None) => Ok(Some(end)),
        Some(end) if splitter.check_rest(&bytes[end..]).is_err() => Ok(Some(end)),
        Some(_) => Ok(Some(bytes.len())),
        None => splitter.check_rest(bytes).map(|()| Some(bytes.len())),
    }
}
