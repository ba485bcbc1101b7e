//! Cutting at line ends.

use super::{Chunk, ChunkError, Chunks, Mapped, Origin, Storage};
use crate::source::Source;
use crate::weight::Weight;
use memchr::{memchr, memchr_iter, memrchr};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// The chunks of a file, cut at line ends: a source.
///
/// Joining them gives the file back; a line is never cut in two, so one longer than the target makes a chunk of its own.
/// The last line need not end. An empty file has no chunks.
#[derive(Debug)]
pub struct LineChunks {
    cutter: Cutter,
    path: PathBuf,
    target: usize,
    offset: u64,
    lines: u64,
    skip: u64,
}

#[derive(Debug)]
enum Cutter {
    Read {
        file: File,
        carry: Vec<u8>,
        ended: bool,
    },
    Mapped {
        map: Arc<Mapped>,
        at: usize,
    },
    /// Reading has failed.
    Ended,
}

impl LineChunks {
    pub(super) fn new(chunks: Chunks) -> Self {
        let Chunks { origin, path, target } = chunks;
        let cutter = match origin {
            Origin::Read(file) => Cutter::Read { file, carry: Vec::new(), ended: false },
            Origin::Mapped(map) => Cutter::Mapped { map, at: 0 },
        };
        LineChunks { cutter, path, target, offset: 0, lines: 0, skip: 0 }
    }

    /// Leaves out the first lines, a header for instance. They are counted, so line numbers stay those of the file.
    #[must_use]
    pub fn skip_lines(mut self, lines: u64) -> Self {
        self.skip = lines;
        self
    }

    fn cut(&mut self) -> std::io::Result<Option<Chunk>> {
        let (storage, range) = match &mut self.cutter {
            Cutter::Ended => return Ok(None),
            Cutter::Read { file, carry, ended } => match read_lines(file, carry, ended, self.target)? {
                Some(bytes) => {
                    let len = bytes.len();
                    (Storage::Owned(Arc::new(bytes)), 0..len)
                }
                None => return Ok(None),
            },
            Cutter::Mapped { map, at } => {
                let bytes = map.bytes();
                if *at == bytes.len() {
                    return Ok(None);
                }
                let start = *at;
                *at = end_of_line(bytes, start.saturating_add(self.target).min(bytes.len()));
                (Storage::Mapped(Arc::clone(map)), start..*at)
            }
        };
        let chunk = Chunk::new(storage, range, self.offset, self.lines);
        self.offset += chunk.len() as u64;
        self.lines += memchr_iter(b'\n', &chunk).count() as u64;
        Ok(Some(chunk))
    }

    /// What is left of a chunk when the lines to be skipped are gone.
    fn without_skipped(&mut self, chunk: &Chunk) -> Chunk {
        let mut start = 0;
        let skipped = self.skip.min(self.lines - chunk.lines_before);
        for _ in 0..skipped {
            start += memchr(b'\n', &chunk[start..]).map_or(chunk.len() - start, |end| end + 1);
        }
        self.skip -= skipped;
        // A last line without an end is a line, too.
        let start = if self.skip > 0 { chunk.len() } else { start };
        chunk.cut(start..chunk.len(), chunk.lines_before + skipped)
    }
}

impl Source for LineChunks {
    type Item = Chunk;
    type Error = ChunkError;

    fn pull(&mut self) -> Option<Result<Chunk, ChunkError>> {
        loop {
            let chunk = match self.cut() {
                Ok(chunk) => chunk?,
                Err(source) => {
                    // The file cannot be trusted from here on: one failure, then the end.
                    self.cutter = Cutter::Ended;
                    return Some(Err(ChunkError { path: self.path.clone(), action: "read", source }));
                }
            };
            let chunk = if self.skip > 0 { self.without_skipped(&chunk) } else { chunk };
            if !chunk.is_empty() {
                return Some(Ok(chunk));
            }
        }
    }

    fn may_wait(&self) -> bool {
        matches!(self.cutter, Cutter::Read { .. })
    }

    fn weigher() -> Option<fn(&Chunk) -> usize> {
        Some(Chunk::weight)
    }
}

/// The end of the line that the byte before `from` is in.
fn end_of_line(bytes: &[u8], from: usize) -> usize {
    if from == 0 || bytes[from - 1] == b'\n' {
        return from;
    }
    memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |end| from + end + 1)
}

/// Reads whole lines, about `target` bytes of them; what follows the last line end is carried over.
fn read_lines(
    file: &mut impl Read,
    carry: &mut Vec<u8>,
    ended: &mut bool,
    target: usize,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = std::mem::take(carry);
    let mut searched = 0;
    while !*ended {
        let wanted = target.saturating_sub(bytes.len()).max(target.min(64 << 10)).max(1);
        bytes.reserve(wanted);
        let read = file.by_ref().take(wanted as u64).read_to_end(&mut bytes)?;
        *ended = read < wanted;
        if bytes.len() < target {
            continue;
        }
        if let Some(end) = memrchr(b'\n', &bytes[searched..]) {
            *carry = bytes.split_off(searched + end + 1);
            return Ok(Some(bytes));
        }
        searched = bytes.len();
    }
    Ok(if bytes.is_empty() { None } else { Some(bytes) })
}

/// The lines of a chunk with their numbers: returned by [`Chunk::into_lines`].
#[derive(Debug, Clone)]
pub struct IntoLines {
    chunk: Chunk,
    at: usize,
    number: u64,
}

impl IntoLines {
    pub(super) fn new(chunk: Chunk) -> Self {
        IntoLines { number: chunk.first_line(), at: 0, chunk }
    }
}

impl Iterator for IntoLines {
    type Item = (u64, Chunk);

    fn next(&mut self) -> Option<(u64, Chunk)> {
        let rest = &self.chunk[self.at..];
        if rest.is_empty() {
            return None;
        }
        let (len, step) = memchr(b'\n', rest).map_or((rest.len(), rest.len()), |end| (end, end + 1));
        let text = if rest[..len].ends_with(b"\r") && step > len { len - 1 } else { len };
        let numbered = (self.number, self.chunk.cut(self.at..self.at + text, self.number - 1));
        self.at += step;
        self.number += 1;
        Some(numbered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::Bytes;
    use proptest::prelude::*;

    fn chunks_of(text: &[u8], target: usize, mapped: bool) -> Vec<Chunk> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        // SAFETY: the temporary file is this test's own, and nobody changes it.
        let chunks = if mapped { unsafe { Chunks::map(file.path()) } } else { Chunks::open(file.path()) };
        let mut source = chunks.unwrap().target(Bytes::new(target)).lines();
        std::iter::from_fn(|| source.pull().map(Result::unwrap)).collect()
    }

    fn check(text: &[u8], target: usize) {
        let expected: Vec<(u64, Vec<u8>)> = split_lines(text);
        for mapped in [false, true] {
            let chunks = chunks_of(text, target, mapped);
            let joined: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.to_vec()).collect();
            assert_eq!(joined, text, "mapped: {mapped}");
            for pair in chunks.windows(2) {
                assert!(pair[0].ends_with(b"\n"), "a line is cut in two");
                assert_eq!(pair[0].offset() + pair[0].len() as u64, pair[1].offset());
            }
            let lines: Vec<(u64, Vec<u8>)> =
                chunks.into_iter().flat_map(Chunk::into_lines).map(|(number, line)| (number, line.to_vec())).collect();
            assert_eq!(lines, expected, "mapped: {mapped}");
        }
    }

    fn split_lines(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        if lines.last().is_some_and(|last| last.is_empty()) {
            lines.pop();
        }
        let ended = |at: usize, line: &[u8]| {
            let is_last = at + 1 == text.split(|byte| *byte == b'\n').count();
            if is_last { line.to_vec() } else { line.strip_suffix(b"\r").unwrap_or(line).to_vec() }
        };
        lines.iter().enumerate().map(|(at, line)| (at as u64 + 1, ended(at, line))).collect()
    }

    proptest! {
        #[test]
        fn chunks_join_to_the_file_and_cut_no_line(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300),
            target in 1usize..80,
        ) {
            check(&text, target);
        }
    }

    #[test]
    fn odd_files_have_defined_chunks() {
        for text in ["", "\n", "\n\n\n", "no end", "one\ntwo", "a\r\nb\r\n", "\r"] {
            for target in [1, 2, 3, 1_000] {
                check(text.as_bytes(), target);
            }
        }
    }

    #[test]
    fn skipped_lines_are_counted_but_not_given() {
        let text = "head\nsecond\nthird";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        for target in [1, 7, 100] {
            for (skip, expected) in [(1, vec![(2, "second"), (3, "third")]), (2, vec![(3, "third")]), (9, vec![])] {
                let mut source = Chunks::open(file.path()).unwrap().target(Bytes::new(target)).lines().skip_lines(skip);
                let chunks = std::iter::from_fn(|| source.pull().map(Result::unwrap));
                let lines: Vec<(u64, Vec<u8>)> =
                    chunks.flat_map(Chunk::into_lines).map(|(number, line)| (number, line.to_vec())).collect();
                let lines: Vec<(u64, &str)> =
                    lines.iter().map(|(number, line)| (*number, std::str::from_utf8(line).unwrap())).collect();
                assert_eq!(lines, expected, "skip {skip}, target {target}");
            }
        }
    }

    #[test]
    fn a_directory_and_a_missing_file_are_clear_errors() {
        let missing = Chunks::open("/no/such/file").unwrap_err();
        assert_eq!(missing.to_string(), "could not open `/no/such/file`");
        assert!(Chunks::open(std::env::temp_dir()).is_err());
    }
}
